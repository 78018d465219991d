"""The step of a pipeline that loads objects as outlines instead of pixels."""

from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import TRANSFORMS

from fallen_trees.loading.outline_masks import OutlineMasks


@TRANSFORMS.register_module()
class LoadOutlineAnnotations(LoadAnnotations):
    """MMDetection's LoadAnnotations, with masks that are drawn after the pipeline has moved them.

    One word of a config turns it on or off: `type='LoadOutlineAnnotations'` for `type='LoadAnnotations'`. The steps
    behind it are the same.

    Added key: `gt_masks` (OutlineMasks); the others are those of LoadAnnotations.

    Args:
        **kwargs: Of LoadAnnotations. `poly2mask` has no effect: polygons and RLE are both taken as they come.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**(kwargs | dict(poly2mask=True)))

    def _load_masks(self, results: dict) -> None:
        results['gt_masks'] = OutlineMasks(self._process_masks(results), *results['ori_shape'])


def loads_annotations(step: dict) -> bool:
    """Whether a step of a config's pipeline loads boxes and masks: this one or MMDetection's."""
    return step['type'] in ('LoadAnnotations', 'LoadOutlineAnnotations')

"""Steps of a pipeline that load a map of segments, move it as one image, and make objects of it at the end.

    LoadLabelMap or LoadPanopticMap -> flips, resizes and crops move `gt_seg_map` -> ObjectsFromMap

Semantic: the segments are the classes, one object for each class that the image shows. Panoptic: things and stuff alike
are segments. Where the truth is scored, ObjectsFromMap is left out and the map goes on as `gt_sem_seg`.
"""

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.fileio import get
from numpy.typing import NDArray

from fallen_trees.errors import ConfigError
from fallen_trees.loading.segment_masks import NOTHING, SegmentMasks

VOID = 255  # in the maps of semantic sets: what is not scored


@TRANSFORMS.register_module()
class LoadLabelMap(BaseTransform):
    """Load the label map of a LabelMapDataset: classes by pixel, 255 for void.

    Required keys: `seg_map_path`, `map_table` (256,): the label of each value in the file, 255 void, -1 unknown.
    Added keys: `gt_seg_map` (H, W) int16; `segments` and `segment_labels`, both 0 to classes - 1; `ignore_index`.

    Args:
        backend_args: Of MMEngine's files.

    Raises:
        ConfigError: If the file is no map of one band, or holds a value that belongs to no class.
    """

    def __init__(self, backend_args: dict | None = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Load one map."""
        path = results['seg_map_path']
        values = _read(path, self.backend_args, 'unchanged')
        if values.ndim != 2 or values.dtype != np.uint8:
            raise ConfigError(f'{path} must be a label map of one band of 8 bits; it is {values.shape} {values.dtype}.')
        table = results['map_table']
        labels = table[values]
        if labels.min() < 0:
            strange = np.unique(values[labels < 0]).tolist()
            raise ConfigError(f'{path} holds {strange[:8]}, ids of no class; `python -m data_prep semantic` checks all '
                              'maps.')  # fmt: skip
        classes = np.arange(results['num_map_classes'])
        return results | dict(gt_seg_map=labels, segments=classes, segment_labels=classes, ignore_index=VOID)


@TRANSFORMS.register_module()
class LoadPanopticMap(BaseTransform):
    """Load COCO's panoptic map of a PanopticDataset: segments by pixel, counted from 0; -1 for void.

    Required keys: `seg_map_path`, `segments_info` with `id`, `category` (label) and `iscrowd`.
    Added keys: `gt_seg_map` (H, W) int16; `segments`, those that are no crowds; `segment_labels` of these;
    `all_segment_labels` and `segment_crowds` of all, by number.

    Args:
        backend_args: Of MMEngine's files.

    Raises:
        ConfigError: If the file is missing or no picture.
    """

    def __init__(self, backend_args: dict | None = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Load one map."""
        colours = _read(results['seg_map_path'], self.backend_args, 'color').astype(np.int32)
        ids = colours[..., 2] + 256 * colours[..., 1] + 65536 * colours[..., 0]  # OpenCV has blue first
        info = results['segments_info']
        numbers = _numbered(ids, np.array([item['id'] for item in info], np.int64))
        labels = np.array([item['category'] for item in info], np.int64)
        crowds = np.array([item['iscrowd'] for item in info], bool)
        segments = np.flatnonzero(~crowds)
        return results | dict(gt_seg_map=numbers, segments=segments, segment_labels=labels[segments],
                              all_segment_labels=labels, segment_crowds=crowds, ignore_index=NOTHING)  # fmt: skip


@TRANSFORMS.register_module()
class ObjectsFromMap(BaseTransform):
    """Make one object of each segment that is left in view, as the head's loss takes them; the map itself goes.

    Required keys: `gt_seg_map`, `segments`, `segment_labels`.
    Added keys: `gt_masks` (SegmentMasks), `gt_bboxes` (zeros: a Mask2Former learns from none), `gt_bboxes_labels`.

    Args:
        min_area: Pixels below which a segment is no object.
    """

    def __init__(self, min_area: int = 1) -> None:
        self.min_area = min_area

    def transform(self, results: dict) -> dict:
        """Replace the map of one sample by its objects."""
        masks = SegmentMasks(results.pop('gt_seg_map'), results.pop('segments'))
        seen = np.flatnonzero(masks.areas >= self.min_area)
        results['gt_masks'] = masks[seen]
        results['gt_bboxes'] = HorizontalBoxes(np.zeros((len(seen), 4), np.float32))
        results['gt_bboxes_labels'] = results['segment_labels'][seen].astype(np.int64)
        return results


def _read(path: str, backend_args: dict | None, flag: str) -> NDArray:
    try:
        image = mmcv.imfrombytes(get(path, backend_args=backend_args), flag=flag)
    except FileNotFoundError:
        raise ConfigError(f'the map {path} does not exist; copy it again, or take its image out of the list.') from None
    if image is None:
        raise ConfigError(f'the map {path} cannot be read as a picture; copy it again.')
    return image


def _numbered(ids: NDArray[np.int32], known: NDArray[np.int64]) -> NDArray[np.int16]:
    """Position in `known` of each pixel's id, -1 for an id that is not there."""
    if not len(known):
        return np.full(ids.shape, NOTHING, np.int16)
    order = np.argsort(known)
    place = np.minimum(np.searchsorted(known[order], ids), len(known) - 1)
    return np.where(known[order][place] == ids, order[place], NOTHING).astype(np.int16)

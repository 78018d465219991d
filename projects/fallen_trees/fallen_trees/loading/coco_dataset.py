"""CocoDataset for files whose unused root category has the name of a class, as Roboflow exports them.

    categories: [{"id": 0, "name": "log"}, {"id": 1, "name": "log", "supercategory": "log"}]

MMDetection finds the ids of a class by its name, gets both, and counts one class as two.
"""

from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.registry import DATASETS

from fallen_trees.annotations.classes import without_twin_root


class RootlessCOCO(COCO):
    """MMDetection's COCO without a root that is the twin of a class; see `classes.without_twin_root`."""

    def createIndex(self) -> None:  # noqa: N802
        """Drop the root before the file is indexed."""
        if 'categories' in self.dataset:
            self.dataset['categories'] = without_twin_root(self.dataset)
        super().createIndex()


@DATASETS.register_module()
class RootlessCocoDataset(CocoDataset):
    """CocoDataset in every other respect."""

    COCOAPI = RootlessCOCO

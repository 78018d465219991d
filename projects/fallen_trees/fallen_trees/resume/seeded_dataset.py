"""A data set whose augmentations depend on the sample and the epoch alone."""

from collections.abc import Sequence

from mmdet.registry import DATASETS
from mmengine.dataset import BaseDataset

from fallen_trees.resume.randomness import mix, seed_everything


@DATASETS.register_module()
class SeededDataset:
    """Seed each sample before its data set loads and augments it.

    Indices come from `SeededInfiniteSampler` or `SeededEpochSampler` and count on through the epochs: index
    `epoch * len(dataset) + i` is sample `i` in that epoch, and is augmented in another way in the next one.

    Args:
        dataset: The data set, or its config. Whatever it draws in `__getitem__`, partners of mosaics and copied objects
            included, follows from the seed.
        seed: Of the run.
    """

    def __init__(self, dataset: BaseDataset | dict, seed: int) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.seed = seed

    @property
    def metainfo(self) -> dict:
        """Classes and palette of the inner data set."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the inner data set's annotations, if that was put off."""
        self.dataset.full_init()

    def get_data_info(self, idx: int) -> dict:
        """Annotations of a sample."""
        return self.dataset.get_data_info(idx % len(self))

    def get_cat_ids(self, idx: int) -> Sequence[int]:
        """Classes of a sample's objects."""
        return self.dataset.get_cat_ids(idx % len(self))

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> dict:
        epoch, sample = divmod(idx, len(self))
        seed_everything(mix(self.seed, 'sample', epoch, sample))
        return self.dataset[sample]

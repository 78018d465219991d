"""What the doctor looks at: a derived config, its annotation files, and samples as the network is fed them."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import DATASETS
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from numpy.typing import NDArray

from fallen_trees.annotations.classes import read_coco
from fallen_trees.annotations.map_sets import KINDS
from fallen_trees.checks.finding import Finding
from fallen_trees.config_nodes import datasets_in

MAPS = 'does not apply: the truth are maps of classes or segments.'


@dataclass(frozen=True)
class Fed:
    """One training sample after the whole pipeline.

    Attributes:
        inputs: (C, H, W), before normalisation, in the pipeline's channel order (BGR unless it says otherwise).
        sample: With `gt_instances` (`bboxes`, `labels`, `masks` as BitmapMasks) and `metainfo`.
    """

    inputs: torch.Tensor
    sample: DetDataSample


@dataclass
class Subject:
    """A run to be.

    Attributes:
        cfg: Config after `derive`: data folders, classes, sizes and schedule are known.
        num_samples: Samples looked at where looking at all would take too long.
        seed: Which samples, and how they are augmented.
    """

    cfg: Config
    num_samples: int = 32
    seed: int = 0
    _cocos: dict[str, dict] = field(default_factory=dict, repr=False)

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """Out of 'train', 'val', 'test': those whose loader names a file that exists."""
        return tuple(
            split for split in ('train', 'val', 'test') if self._node(split) and self.ann_file(split).is_file()
        )

    def _node(self, split: str) -> ConfigDict | None:
        return next(datasets_in(self.cfg.get(f'{split}_dataloader')), None)

    @property
    def has_maps(self) -> bool:
        """Whether truth is a map of classes or segments, with neither outlines nor instances alone to be asked for."""
        return any((self._node(split) or {}).get('type') in KINDS for split in self.splits)

    @property
    def feeds_maps_alone(self) -> bool:
        """Whether maps reach the network as they are, without objects made of them."""
        return self.has_maps and not any(len(fed.sample.gt_instances) for fed in self.fed)

    def ann_file(self, split: str) -> Path:
        """Annotation file of a split."""
        node = self._node(split)
        return Path(node.get('data_root') or '.', node.ann_file)

    def image_folder(self, split: str) -> Path:
        """Folder that the file names of a split are relative to."""
        node = self._node(split)
        return Path(node.get('data_root') or '.', node.data_prefix.img)

    def coco(self, split: str) -> dict:
        """The annotation file of a split as it lies there, read once."""
        if split not in self._cocos:
            self._cocos[split] = read_coco(self.ann_file(split))
        return self._cocos[split]

    @cached_property
    def train_set(self) -> BaseDataset:
        """The training set, built as a run builds it."""
        return DATASETS.build(self.cfg.train_dataloader.dataset)

    @cached_property
    def picked(self) -> NDArray[np.int64]:
        """Indices into the training set of the samples looked at, without repetition, in random order."""
        size = len(self.train_set)
        return np.random.default_rng(self.seed).permutation(size)[: self.num_samples]

    @cached_property
    def fed(self) -> list[Fed]:
        """The picked samples after the training pipeline, seeded: the same for every check and every call."""
        with torch.random.fork_rng(devices=[]):
            state = np.random.get_state()
            try:
                return [self._feed(int(index)) for index in self.picked]
            finally:
                np.random.set_state(state)

    def _feed(self, index: int) -> Fed:
        random.seed(self.seed + index)
        np.random.seed(self.seed + index)
        torch.manual_seed(self.seed + index)
        packed = self.train_set[index]
        return Fed(packed['inputs'], packed['data_samples'])


Check = Callable[[Subject], Iterable[Finding]]

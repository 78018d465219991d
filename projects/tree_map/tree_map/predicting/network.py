"""The network behind one call: pictures in, instances with small masks out.

Any instance segmentation model of MMDetection works: this project's fusion head gives its masks cropped to their boxes,
other heads give them in full or as run lengths, and they are cropped here.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.structures import DetDataSample
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from numpy.typing import NDArray
from pycocotools import mask as pycoco

from data_prep.errors import DataError
from tree_map.tuning.stored import SceneSettings


@dataclass(frozen=True)
class Instances:
    """What the network saw in one picture; n of each.

    Attributes:
        masks: (h, w) bool, cropped to their boxes, none empty.
        origins_xy: First column and row of each mask in the picture, (n, 2) int.
        scores: 0..1, (n,).
        labels: From 0, (n,).
    """

    masks: list[NDArray[np.bool_]]
    origins_xy: NDArray[np.int64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.masks)


@dataclass
class Model:
    """A network that is ready to predict, and what is known about it.

    Attributes:
        network: In evaluation mode, on its device.
        cfg: Derived config.
        classes: Names, by label.
        palette: A colour (r, g, b) for each class.
        score_thr: Instances that score lower are left out.
        chosen_thr: What the checkpoint was tuned for, or else validated with: from there on trees are to count.
        tuned: What `tree_map.tuning.stored` reads in a checkpoint that was tuned; None for others.
        bands: Bands of a picture.
        tiles: How the tiles of training were cut (`fallen_trees.annotations.tile_facts`); None for older checkpoints.
        sha256: Of the checkpoint's bytes.
        notes: Lines for the user.
    """

    network: torch.nn.Module
    cfg: Config
    classes: tuple[str, ...]
    palette: list[tuple[int, int, int]]
    score_thr: float
    bands: int
    tiles: dict | None
    sha256: str
    chosen_thr: float = 0.3
    tuned: SceneSettings | None = None
    amp: torch.dtype | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def shaping(self) -> list[dict]:
        """What of the config decides on what is seen: the model, then the steps of the test pipeline."""
        return [self.cfg.model.to_dict(), *(dict(step) for step in self._steps())]

    @property
    def input_side(self) -> int:
        """Shorter side in px at which the test pipeline shows a picture to the network."""
        sides = [side for step in self._steps() for side in np.ravel(step.get('scale') or [])]
        return int(min(sides, default=1024))

    def pipeline(self, window_px: int | None) -> Compose:
        """Make the test pipeline of the config for windows in memory.

        Args:
            window_px: Side of the square windows; they are enlarged as the tiles of training were. None leaves the
                pipeline as the config has it.
        """
        steps = [dict(step) for step in self._steps()]
        if window_px is not None:
            tile = min(self.tiles['size_px']) if self.tiles else self.input_side
            side = round(window_px * self.input_side / tile)
            for step in steps:
                if step.get('scale') is not None:
                    step['scale'] = (side, side)
        steps[0] = dict(type='mmdet.LoadImageFromNDArray', to_float32=steps[0].get('to_float32', False))
        return Compose(steps)

    def _steps(self) -> list[dict]:
        first, *others = get_test_pipeline_cfg(self.cfg)
        return [first, *(step for step in others if 'Load' not in step['type'])]  # no truth is there to be loaded

    @torch.no_grad()
    def __call__(self, pictures: Sequence[NDArray], pipeline: Compose) -> list[Instances]:
        """Predict a batch.

        Args:
            pictures: (H, W, bands) each, in the scene's order of bands.
            pipeline: Of `pipeline`.
        """
        packed = [pipeline(dict(img=_as_loaded(picture), img_id=n)) for n, picture in enumerate(pictures)]
        batch = {key: [item[key] for item in packed] for key in ('inputs', 'data_samples')}
        half = torch.autocast(self.device.type, self.amp) if self.amp else nullcontext()
        with half, warnings.catch_warnings():
            warnings.filterwarnings('ignore', 'torch.meshgrid')  # MMDetection's call, of no concern to a user
            samples = self.network.test_step(batch)
        return [_instances(sample, self.score_thr) for sample in samples]


def _as_loaded(picture: NDArray) -> NDArray:
    """The order of bands that training read: OpenCV's for three of them."""
    return np.ascontiguousarray(picture[..., ::-1] if picture.shape[-1] == 3 else picture)


def _instances(sample: DetDataSample, threshold: float) -> Instances:
    found = sample.pred_instances
    if 'masks' not in found:
        raise DataError(
            'the model must predict masks, and this one predicts boxes; pass an instance segmentation config'
        )
    scores, labels = (found[key].float().cpu().numpy() for key in ('scores', 'labels'))
    boxes = found.bboxes.float().cpu().numpy()
    whole = tuple(sample.ori_shape[:2])
    kept, masks, origins = [], [], []
    for index in np.flatnonzero(scores >= threshold):
        cropped = _cropped(found.masks[index], boxes[index], whole)
        if cropped is not None:
            kept.append(index)
            masks.append(cropped[0])
            origins.append(cropped[1])
    origins_xy = np.array(origins, np.int64).reshape(-1, 2)
    return Instances(masks, origins_xy, scores[kept].astype(np.float64), labels[kept].astype(np.int64))


def _cropped(mask: object, box: NDArray, whole: tuple[int, int]) -> tuple[NDArray[np.bool_], tuple[int, int]] | None:
    """A mask in any form, cropped to its pixels, and where the crop begins (x, y); None where it has no pixel."""
    at = (0, 0)
    if isinstance(mask, dict):
        mask = pycoco.decode(mask)
    mask = mask.cpu().numpy() if isinstance(mask, torch.Tensor) else np.asarray(mask)
    if mask.shape != whole:  # cropped already, and its place is the box
        at = (int(box[0]), int(box[1]))
    mask = mask.astype(bool)
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.ascontiguousarray(crop), (at[0] + int(columns[0]), at[1] + int(rows[0]))

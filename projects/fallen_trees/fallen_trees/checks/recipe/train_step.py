"""One real training step on noise, at any size, and what it holds in memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import mmcv.ops.multi_scale_deform_attn as attention
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch.utils.checkpoint import checkpoint

from fallen_trees.checks.recipe.live_bytes import LiveBytes
from fallen_trees.checks.recipe.model import build_model, build_optimiser


@dataclass(frozen=True)
class Batch:
    """What a step is fed.

    Attributes:
        tiles: Images at once, of one process.
        objects: In each of them.
        classes: Labels are below this.
        bands: Of an image.
    """

    tiles: int
    objects: int
    classes: int
    bands: int = 3


@dataclass(frozen=True)
class Peaks:
    """Most bytes alive in each phase of a step, weights and optimiser included."""

    forward: int
    backward: int
    update: int


class Stepper:
    """A model with optimiser states, as it is from the second step on.

    Args:
        cfg: A derived config.
        batch: What each step is fed.
        fused_attention: Count deformable attention as its CUDA operator does, which keeps its inputs only. On a CPU
            plain operations stand in for it, and keep their intermediate results too.
    """

    def __init__(self, cfg: Config, batch: Batch, fused_attention: bool):
        self._batch, self._fused = batch, fused_attention
        self._accumulates = cfg.optim_wrapper.get('accumulative_counts', 1) > 1
        with torch.random.fork_rng(devices=[]):
            self._model = build_model(cfg)
            self._optimiser = build_optimiser(cfg, self._model).optimizer
            self._make_states()

    @property
    def fixed(self) -> int:
        """Bytes of weights, buffers, optimiser states and, where they are accumulated, gradients."""
        return LiveBytes(self._held()).live

    def peaks(self, size_hw: tuple[int, int]) -> Peaks:
        """Run a step at a size and count; takes as long as the step."""
        counter, marks = LiveBytes(self._held()), []
        with torch.random.fork_rng(devices=[]), counter:
            self._run(size_hw, lambda: marks.append(counter.mark()))
        return Peaks(*marks)

    def _make_states(self) -> None:
        for weight in self._model.parameters():
            weight.grad = torch.zeros_like(weight) if weight.requires_grad else None
        self._optimiser.step()
        if not self._accumulates:
            self._optimiser.zero_grad()

    def _run(self, size_hw: tuple[int, int], after_phase: Callable[[], None]) -> None:
        torch.manual_seed(0)
        with _kept_inputs_only() if self._fused else _as_it_is():
            data = self._model.data_preprocessor(_noise(size_hw, self._batch), True)
            losses = self._model(**data, mode='loss')
            loss, _ = self._model.parse_losses(losses)
            after_phase()
            loss.backward()
            after_phase()
        self._optimiser.step()
        if not self._accumulates:
            self._optimiser.zero_grad()
        after_phase()

    def _held(self) -> Iterator[torch.Tensor]:
        yield from self._model.parameters()
        yield from self._model.buffers()
        yield from (weight.grad for weight in self._model.parameters() if weight.grad is not None)
        for state in self._optimiser.state.values():
            yield from (value for value in state.values() if isinstance(value, torch.Tensor))


@contextmanager
def _kept_inputs_only() -> Iterator[None]:
    """Let deformable attention keep what its CUDA operator keeps, by computing it again in the backward pass."""
    plain = attention.multi_scale_deformable_attn_pytorch
    attention.multi_scale_deformable_attn_pytorch = lambda *inputs: checkpoint(plain, *inputs, use_reentrant=False)
    try:
        yield
    finally:
        attention.multi_scale_deformable_attn_pytorch = plain


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


def _noise(size_hw: tuple[int, int], batch: Batch) -> dict[str, list]:
    """Random pixels with upright boxes as objects; memory depends on their number, not on their form."""
    height, width = size_hw
    inputs = [torch.randint(0, 256, (batch.bands, height, width), dtype=torch.uint8) for _ in range(batch.tiles)]
    return dict(inputs=inputs, data_samples=[_sample(size_hw, batch) for _ in inputs])


def _sample(size_hw: tuple[int, int], batch: Batch) -> DetDataSample:
    height, width = size_hw
    corners = np.random.default_rng(0).uniform(0, 0.5, (batch.objects, 2)) * (width, height)
    boxes = np.hstack([corners, corners + (width / 4, height / 4)]).astype(np.float32)
    masks = np.zeros((batch.objects, height, width), np.uint8)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int), strict=True):
        mask[y0:y1, x0:x1] = 1
    sample = DetDataSample(metainfo=dict(img_shape=size_hw, ori_shape=size_hw, scale_factor=(1.0, 1.0), img_id=0))
    sample.gt_instances = InstanceData(
        bboxes=torch.from_numpy(boxes),
        labels=torch.arange(batch.objects) % batch.classes,
        masks=BitmapMasks(masks, height, width),
    )
    return sample

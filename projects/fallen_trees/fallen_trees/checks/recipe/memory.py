"""Whether a training step fits into the memory of the device, from two real steps at a fraction of the size.

What a step holds is the weights, gradients and optimiser states, which do not depend on the size of a tile, and the
intermediate results, which grow with its pixels. Two steps on small tiles give the line; the full size lies on it.
Each phase has its own line, and the highest of them at the full size is the peak.
"""

import os
from collections.abc import Iterator
from dataclasses import asdict
from math import ceil

import numpy as np
import torch

from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.recipe.train_step import Batch, Stepper
from fallen_trees.checks.subject import MAPS, Subject

NAME = 'memory'
GIB = 2**30
FULL = 0.9  # of a device's memory: the rest goes to workspaces and gaps between blocks


def memory(subject: Subject) -> Iterator[Finding]:
    """Predict the peak of a training step and hold it against the device: `memory`."""
    if subject.feeds_maps_alone:
        yield Finding(NAME, Verdict.OK, MAPS)
        return
    fused, total = torch.cuda.is_available(), _device_bytes()
    batch, size_hw = what_a_step_sees(subject)
    peak, fixed = predict_peak(Stepper(subject.cfg, batch, fused), size_hw)
    height, width = size_hw
    figures = dict(
        peak_gib=round(peak / GIB, 3),
        weights_and_states_gib=round(fixed / GIB, 3),
        device_gib=round(total / GIB, 1),
        tiles=batch.tiles,
        objects_per_tile=batch.objects,
        height_px=height,
        width_px=width,
    )
    objects = 'object' if batch.objects == 1 else 'objects'
    device = 'the GPU' if fused else 'this machine (a GPU takes less: its attention operator keeps less)'
    message = (
        f'a step of {batch.tiles} tiles of {width} x {height} px with {batch.objects} {objects} each holds about '
        f'{peak / GIB:.2f} GiB of float32 tensors; {device} has {total / GIB:.1f} GiB'
    )
    if peak > FULL * total:
        message += '; lower train_dataloader.batch_size and raise accumulative_counts, or lower image_size.'
        yield Finding(NAME, Verdict.ERROR if fused and peak > total else Verdict.WARNING, message, figures)
    else:
        yield Finding(NAME, Verdict.OK, f'{message}.', figures)


def what_a_step_sees(subject: Subject) -> tuple[Batch, tuple[int, int]]:
    """The batch of one process, with as many objects as nine of ten tiles have at most, and its height and width."""
    divisor = subject.cfg.model.data_preprocessor.get('pad_size_divisor', 1)
    objects = np.percentile([len(fed.sample.gt_instances) for fed in subject.fed], 90)
    sides = np.max([fed.inputs.shape[-2:] for fed in subject.fed], axis=0)
    batch = Batch(
        tiles=subject.cfg.train_dataloader.batch_size,
        objects=max(1, ceil(objects)),
        classes=len(subject.cfg.metainfo.classes),
        bands=subject.fed[0].inputs.shape[0],
    )
    height, width = (int(ceil(side / divisor) * divisor) for side in sides)
    return batch, (height, width)


def predict_peak(stepper: Stepper, size_hw: tuple[int, int]) -> tuple[int, int]:
    """Predict what a step holds at a size.

    Returns:
        Bytes at the peak, and those of them that do not depend on the size.
    """
    small, large = (_smaller(size_hw, share, least) for share, least in ((1 / 8, 64), (1 / 4, 96)))
    pixels = np.prod(size_hw)
    if pixels <= np.prod(large):
        return max(asdict(stepper.peaks(size_hw)).values()), stepper.fixed
    low, high = asdict(stepper.peaks(small)), asdict(stepper.peaks(large))
    share = (pixels - np.prod(small)) / (np.prod(large) - np.prod(small))
    return max(int(low[phase] + (high[phase] - low[phase]) * share) for phase in low), stepper.fixed


def _smaller(size_hw: tuple[int, int], share: float, least: int) -> tuple[int, int]:
    """A size of about a share of each side, in steps of 32 px, which is what the deepest features are to a pixel."""
    height, width = (max(least, round(side * share / 32) * 32) for side in size_hw)
    return height, width


def _device_bytes() -> int:
    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')

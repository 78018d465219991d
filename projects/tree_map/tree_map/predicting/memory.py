"""Keeping a run under a limit: what the network needs is measured once, what is left is shared out to reading ahead."""

from __future__ import annotations

import resource
from dataclasses import replace

import numpy as np

from data_prep.errors import DataError
from data_prep.imagery.rasters import MAX_PIXELS
from tree_map.predicting.look import Pace, look
from tree_map.predicting.network import Model
from tree_map.predicting.reading import GDAL_CACHE_MB
from tree_map.predicting.scene import Scene
from tree_map.predicting.windows import Plan

MB = 1 << 20
RESERVE = 0.1  # of the limit, for pieces, the table at the end and what nobody counted
RESAMPLING = 20  # bytes of working memory for each source pixel and band: float32, a copy or two, a mask


def fitted(model: Model, scene: Scene, plan: Plan, pace: Pace, max_ram: int | None) -> tuple[Pace, list[str]]:
    """Lower batch size and reading ahead until a run fits its limit.

    One window is shown to the network for that, and how far the process's memory grows is taken for what each window
    of a batch needs.

    Args:
        model: The network.
        scene: To be looked at.
        plan: Of its windows.
        pace: As wished.
        max_ram: In bytes; None sets no limit.

    Returns:
        The pace that fits, and a line for the user where it is slower.

    Raises:
        DataError: If not even one window at a time fits.
    """
    if max_ram is None or not plan.blocks:
        return pace, []
    before = peak_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (*plan.windows_xywh[0, :1:-1], model.bands), np.uint8)
    look(model, model.pipeline(plan.side), [noise], pace.tta)
    window = max(peak_bytes() - before, noise.nbytes * 16)
    block, reader = block_bytes(scene, plan)
    free = int(max_ram * (1 - RESERVE)) - before - GDAL_CACHE_MB * MB
    least = window + block + reader
    if free < least:
        needed = (before + GDAL_CACHE_MB * MB + least) / (1 - RESERVE)
        enough = int(1.05 * needed) // MB + 1
        raise DataError(
            f'--max-ram {max_ram // MB}M is too little for a window of {plan.windows_xywh[0, 2]} px with this network; '
            f'pass --max-ram {enough}M, or a smaller --window'
        )
    batch = min(pace.batch_size, (free - block - reader) // window)
    left = free - batch * window
    workers = min(pace.workers, left // (block + reader))
    ahead = min(pace.ahead, (left - workers * reader) // block)
    found = replace(pace, batch_size=int(batch), workers=int(workers), ahead=max(int(ahead), 1))
    if found == pace:
        return pace, []
    return found, [f'--max-ram {max_ram // MB}M: batch {found.batch_size}, {found.workers} readers, '
                   f'{found.ahead} blocks ahead.']  # fmt: skip


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def block_bytes(scene: Scene, plan: Plan) -> tuple[int, int]:
    """Bytes of a block that lies read, and of work besides while it is being read."""
    indexes = max(plan.blocks, key=len)
    read, (across, down) = plan.read_of(indexes), plan.grid.step_xy
    bands, itemsize = len(scene.bands), np.dtype(scene.info.dtype).itemsize
    pixels = read.width * read.height
    pictures = int(plan.windows_xywh[list(indexes), 2:].prod(axis=1).sum()) * bands
    pictures *= 1 if scene.limits is not None else itemsize
    working = pixels * (2 * bands * itemsize + bands)
    if plan.grid.scale != 1:
        working += min(MAX_PIXELS, int(pixels * across * down)) * (bands + 1) * RESAMPLING
    if scene.limits is not None:
        working += int(plan.windows_xywh[0, 2:].prod()) * bands * 8 * 2
    return pictures, working

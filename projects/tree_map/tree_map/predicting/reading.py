"""Windows of a scene read ahead of the network, a block at a time, by threads.

GDAL and NumPy let go of Python's lock while they decode, resample and stretch, so threads keep the network fed without
copies between processes. A handle of GDAL belongs to one thread: each block is read through one of its own.

What cannot be read costs its own windows and no more: after a failure the windows of the block are read one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import rasterio
from numpy.typing import NDArray

from data_prep.errors import DataError, one_line
from data_prep.grid import Window
from data_prep.imagery.pixels import place
from data_prep.imagery.rasters import open_raster, read_window
from tree_map.predicting.scene import Scene
from tree_map.predicting.windows import Plan

GDAL_CACHE_MB = 32  # decoded blocks that GDAL keeps; a block is read once here, so more would be of no use


@dataclass
class Block:
    """Windows that were read together.

    Attributes:
        pictures: (H, W, bands) of each window that holds data, by its row in the plan.
        empty: Windows without a pixel that holds data.
        unreadable: Why a window could not be read.
    """

    pictures: dict[int, NDArray] = field(default_factory=dict)
    empty: list[int] = field(default_factory=list)
    unreadable: dict[int, str] = field(default_factory=dict)


def read_ahead(scene: Scene, plan: Plan, wanted: Sequence[Sequence[int]], workers: int, ahead: int) -> Iterator[Block]:
    """Read blocks while others are worked on.

    Args:
        scene: Whose raster is read.
        plan: Of its windows.
        wanted: Blocks, each as rows of the plan's windows.
        workers: Threads; 0 reads in this one, when asked.
        ahead: Blocks, at least 1, that may lie read or be under way at a time: memory is bounded by it.

    Yields:
        A block for each of `wanted`, in order.
    """
    if not workers:
        yield from (read_block(scene, plan, indexes) for indexes in wanted)
        return
    pool, waiting, rest = ThreadPoolExecutor(workers, 'reader'), deque[Future[Block]](), iter(wanted)
    try:
        for indexes in rest:
            waiting.append(pool.submit(read_block, scene, plan, indexes))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def read_block(scene: Scene, plan: Plan, indexes: Sequence[int]) -> Block:
    """Read some windows at once, or those one by one that can be read."""
    try:
        return _read(scene, plan, indexes)
    except DataError as error:
        if len(indexes) == 1:
            return Block(unreadable={indexes[0]: one_line(error)})
    whole = Block()
    for index in indexes:
        part = read_block(scene, plan, [index])
        whole.pictures |= part.pictures
        whole.empty += part.empty
        whole.unreadable |= part.unreadable
    return whole


def _read(scene: Scene, plan: Plan, indexes: Sequence[int]) -> Block:
    read, block = plan.read_of(indexes), Block()
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_MB), open_raster(scene.path) as dataset:
        pixels, valid = read_window(dataset, read, scene.bands, scale=plan.grid.scale)
    for index in indexes:
        window = plan.window(index)
        inside = window.intersect(plan.grid.window)
        rows = slice(inside.y - read.y, inside.bottom - read.y)
        columns = slice(inside.x - read.x, inside.right - read.x)
        if valid[rows, columns].any():
            block.pictures[index] = _picture(pixels[:, rows, columns], valid[rows, columns], window, inside, scene)
        else:
            block.empty.append(index)
    return block


def _picture(pixels: NDArray, valid: NDArray[np.bool_], window: Window, inside: Window, scene: Scene) -> NDArray:
    """A window as the network takes it, as a tile of training would have been cut: stretched, black without data."""
    return place(pixels, valid, window, inside, scene.limits).transpose(1, 2, 0)

"""On which picture a tree is corrected: the whole scene, or one of the crops, which overlap; it lies on it whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data_prep.grid import Window

OVERLAP = 0.25  # of a crop's side
MARGIN = 32  # pixels around a tree that needs a crop of its own


@dataclass
class Sheet:
    """A picture with the trees that are corrected on it.

    Attributes:
        name: Of its files, without suffix.
        scene: It shows.
        window: In source pixels, inside the scene.
        image: Its file, as seen from the folder of the review.
        whole: Whether it is the raster itself.
        rows: Of the trees in their table.
    """

    name: str
    scene: str
    window: Window
    image: str
    whole: bool = True
    rows: list[int] = field(default_factory=list)


def crops(scene: str, size_wh: tuple[int, int], bounds: NDArray[np.float64], side: int) -> list[Sheet]:
    """Cut a scene into crops that overlap by a quarter, and give each tree to exactly one that holds it whole.

    It is the crop in which the tree lies farthest from the edges. A tree that none holds whole gets a crop around it,
    so that no tree is ever cut, however long it is.

    Args:
        scene: Its name.
        size_wh: In source pixels.
        bounds: Of the trees, (n, 4) as x0 y0 x1 y1; what reaches past the scene does not count.
        side: Of a crop, in source pixels.

    Returns:
        Crops in rows from the top left, those without a tree too, then the extra ones. Each row of ``bounds`` is in
        exactly one.
    """
    windows = [Window(x, y, min(side, size_wh[0]), min(side, size_wh[1]))
               for y in starts(size_wh[1], side) for x in starts(size_wh[0], side)]  # fmt: skip
    boxes = np.clip(np.asarray(bounds, float).reshape(-1, 4), 0, (*size_wh, *size_wh))
    rows: list[list[int]] = [[] for _ in windows]
    for row, box in enumerate(boxes):
        room = [_room(window, box) for window in windows]
        best = int(np.argmax(room))
        if room[best] < 0:
            windows.append(_around(box, size_wh, side))
            rows.append([])
            best = len(windows) - 1
        rows[best].append(row)
    names = [f'{scene}_{window.x:06d}_{window.y:06d}' for window in windows]
    names = [name if names.index(name) == n else f'{name}_{n}' for n, name in enumerate(names)]
    return [Sheet(name, scene, window, f'{name}.jpg', False, mine)
            for name, window, mine in zip(names, windows, rows, strict=True)]  # fmt: skip


def starts(length: int, side: int) -> list[int]:
    """First pixels of spans that cover a length, none reaching past it; neighbours share a quarter or more."""
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) / (side * (1 - OVERLAP)))) + 1
    return [int(start) for start in np.linspace(0, length - side, count).round()]


def _room(window: Window, box: Sequence[float]) -> float:
    """Distance of a box inside a window to its nearest edge, below 0 where it reaches past one."""
    x0, y0, x1, y1 = box
    return min(x0 - window.x, y0 - window.y, window.x + window.width - x1, window.y + window.height - y1)


def _around(box: Sequence[float], size_wh: tuple[int, int], side: int) -> Window:
    """A window of at least a crop's side around a box, with some margin, inside the scene."""
    found = []
    for low, high, length in zip(box[:2], box[2:], size_wh, strict=True):
        span = min(max(side, int(np.ceil(high - low)) + 2 * MARGIN), length)
        start = min(max(int(np.floor((low + high - span) / 2)), 0), length - span)
        found.append((start, span))
    (x, width), (y, height) = found
    return Window(x, y, width, height)

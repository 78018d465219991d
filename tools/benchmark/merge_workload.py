"""Workloads for joining: the same drawn trunks as many windows would show them, and as copies of a whole map.

W6: trunks on a square scene, cut into overlapping tiles; each tile's piece is moved by normal noise and cut again.
W5: each trunk three times, a little moved, stretched and turned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from tree_map.pieces import Pieces

PX_PER_M = 20  # 5 cm


@dataclass(frozen=True)
class Scene:
    """True trunks, and what the windows show of them.

    Attributes:
        trunks: (t,) polygons, pixels.
        pieces: With random scores, one class.
        seen_of: Row of the trunk that a piece shows, (n,).
    """

    trunks: np.ndarray
    pieces: Pieces
    seen_of: np.ndarray


def windthrow(
    count: int, *, side: int = 10_000, tile: int = 1024, stride: int = 819, jitter: float = 1.5, bent: bool = False,
    seed: int = 1,
) -> Scene:  # fmt: skip
    """W6: straight or bent trunks of length U(100, 500) and width U(6, 24) px at any angle.

    Trunks of less than 300 px^2 inside the scene are left out; so are pieces of less than 150 px^2.
    A bent trunk is an arc that turns by up to 0.8 radians from end to end.
    """
    rng = np.random.default_rng(seed)
    centre, angle = rng.uniform(0, side, (count, 2)), rng.uniform(0, np.pi, count)
    length, width = rng.uniform(100, 500, count), rng.uniform(6, 24, count)
    turn = rng.uniform(-0.8, 0.8, count) if bent else np.zeros(count)
    trunks = shapely.intersection(arcs(centre, angle, length, width, turn), shapely.box(0, 0, side, side))
    trunks = trunks[shapely.area(trunks) >= 300]
    windows = grid(side, tile, stride)
    boxes = shapely.box(*windows[:, :2].T, *(windows[:, :2] + windows[:, 2:]).T)
    seen, window = shapely.STRtree(boxes).query(trunks, predicate='intersects')
    views = shapely.intersection(trunks[seen], boxes[window])
    if jitter:
        views = shapely.intersection(moved(views, rng.normal(0, jitter, (len(views), 2))), boxes[window])
    keep = (shapely.area(views) >= 150) & (shapely.get_dimensions(views) == 2)
    pieces = as_pieces(views[keep], rng.uniform(0.3, 1, keep.sum()), window[keep], windows)
    return Scene(trunks, pieces, seen[keep])


def copies(count: int, *, tile: int = 1024, stride: int = 170, seed: int = 0) -> Scene:
    """W5: `count` polygons, three copies of each trunk of length U(5, 25) m and width U(0.3, 1.2) m, 3600 m^2 a trunk.

    Noise: 0.05 m in position and width, 0.5 m in length, 0.01 rad. Each copy is what another window saw, of those
    windows of a grid of tiles (1024 px, 170 px apart, so that four or more hold any trunk) that hold the copy whole.
    """
    rng = np.random.default_rng(seed)
    trunks, side = count // 3, np.sqrt(count / 3 * 3600) * PX_PER_M
    of = np.repeat(np.arange(trunks), 3)
    centre, angle = rng.uniform(0, side, (trunks, 2)), rng.uniform(0, np.pi, trunks)
    length, width = rng.uniform(5, 25, trunks) * PX_PER_M, rng.uniform(0.3, 1.2, trunks) * PX_PER_M
    noise = rng.normal(0, 1, (5, 3 * trunks))
    views = arcs(
        centre[of] + 0.05 * PX_PER_M * noise[:2].T, angle[of] + 0.01 * noise[2],
        np.maximum(length[of] + 0.5 * PX_PER_M * noise[3], 40),
        np.maximum(width[of] + 0.05 * PX_PER_M * noise[4], 3), np.zeros(3 * trunks),
    )  # fmt: skip
    bounds = shapely.bounds(views)
    first = np.ceil((bounds[:, 2:] - tile) / stride).astype(int)  # window n of an axis begins at n x stride
    room = np.floor(bounds[:, :2] / stride).astype(int) - first + 1
    if room.min() < 2:
        raise ValueError(
            f'every trunk must fit into 4 windows, one fits into {room.min()} on an axis; take larger tiles'
        )
    start = rng.integers(0, 4, trunks)[of]
    corner = (start + np.tile(np.arange(3), trunks)) % 4  # three of four windows, a different one for each copy
    steps = np.stack([corner % 2, corner // 2], 1)
    xywh = np.hstack([(first + steps) * stride, np.full((3 * trunks, 2), tile)])
    windows, window = np.unique(xywh, axis=0, return_inverse=True)
    true = arcs(centre, angle, length, width, np.zeros(trunks))
    return Scene(true, as_pieces(views, rng.uniform(0, 1, len(views)), window, windows), of)


def as_pieces(polygons: np.ndarray, scores: np.ndarray, window: np.ndarray, windows: np.ndarray) -> Pieces:
    """Pieces of class 0."""
    return Pieces(polygons, scores, np.zeros(len(polygons), int), window, windows)


def grid(side: int, tile: int, stride: int) -> np.ndarray:
    """Windows x y w h of a square scene; the last of a row is moved back inside."""
    starts = np.unique(np.minimum(np.arange(0, side - tile + stride, stride), side - tile))
    x, y = (axis.ravel() for axis in np.meshgrid(starts, starts))
    return np.stack([x, y, np.full(len(x), tile), np.full(len(x), tile)], 1)


def moved(polygons: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Each polygon moved by its own step, (n, 2)."""
    xy, row = shapely.get_coordinates(polygons, return_index=True)
    return shapely.set_coordinates(polygons.copy(), xy + by[row])


def arcs(centre: np.ndarray, angle: np.ndarray, length: np.ndarray, width: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Strips along arcs that turn by `turn` radians, 8 segments long; straight ones are rectangles of 4 corners."""
    steps = np.linspace(-0.5, 0.5, 9 if np.any(turn) else 2)
    heading = angle[:, None] + turn[:, None] * steps
    along = np.stack([np.cos(heading), np.sin(heading)], -1)
    middle = np.diff(steps)[:, None] * (along[:, 1:] + along[:, :-1]) / 2 * length[:, None, None]
    line = np.concatenate([np.zeros((len(length), 1, 2)), np.cumsum(middle, 1)], 1)
    line += centre[:, None] - line.mean(1, keepdims=True)
    across = np.stack([-along[..., 1], along[..., 0]], -1) * width[:, None, None] / 2
    return shapely.polygons(np.concatenate([line + across, (line - across)[:, ::-1]], 1))

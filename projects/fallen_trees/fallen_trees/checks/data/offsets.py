"""By how much masks would have to be moved to lie on what they mean."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

REACH_PX = 8  # masks are tried up to this far from where they are, in x and y
ROUNDS = 300  # of the bootstrap
OUTLINE_PX = 1.0  # sigma; hand-drawn outlines are no sharper
LEAST_ACROSS = 0.02  # gradient of the softened mask where it counts as outline
LEAST_OUTLINE_PX, MOST_OUTLINE_PX = 30, 600


@dataclass(frozen=True)
class Offset:
    """An estimate from many objects.

    Attributes:
        dx_px: From where the masks are to where they fit best; right is positive.
        dy_px: Down is positive.
        length_px: Of the two together.
        low_px: Length that 95 % of bootstrap samples of the objects exceed.
        spread_px: Root mean square distance of the bootstrap samples from the estimate.
    """

    dx_px: float
    dy_px: float
    length_px: float
    low_px: float
    spread_px: float


def score_map(edges: NDArray[np.float32], mask: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Score every place of one mask by the edges that its outline would lie on there.

    At each place, gradients are summed along the outline, across it and with their sign: the edge of an object against
    its ground adds up, texture and things that are cut through do not.

    Args:
        edges: (2, axes, H, W) of `colour_edges`.
        mask: (H, W) of 0 and 1. Its outline is not used within `REACH_PX` of the border, where the tile may cut it.

    Returns:
        (2 REACH_PX + 1, 2 REACH_PX + 1), by dy and dx, of mean 1. None for outlines with hardly a pixel to use.
    """
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), OUTLINE_PX)
    across = np.stack([cv2.Sobel(soft, cv2.CV_32F, *order, ksize=3, scale=1 / 8) for order in ((1, 0), (0, 1))])
    margin, width = REACH_PX + 2, mask.shape[1]
    rows, columns = np.nonzero(np.hypot(*across)[margin:-margin, margin:-margin] > LEAST_ACROSS)
    if len(rows) < LEAST_OUTLINE_PX:
        return None
    taken = np.linspace(0, len(rows) - 1, min(len(rows), MOST_OUTLINE_PX)).astype(int)
    rows, columns = rows[taken] + margin, columns[taken] + margin
    steps = np.arange(-REACH_PX, REACH_PX + 1)
    places = (steps[:, None] * width + steps).ravel()[:, None] + rows * width + columns
    flat = edges.reshape(*edges.shape[:2], -1)
    sums = sum(flat[k][:, places] @ across[k, rows, columns] for k in (0, 1))  # (axes, places)
    scores = (sums.astype(np.float64) ** 2).sum(axis=0).reshape(len(steps), len(steps))
    return scores / max(scores.mean(), 1e-12)


def estimate(scores: NDArray[np.float64], groups: NDArray[np.int64], seed: int = 0) -> Offset:
    """Find the offset at which all masks together fit best, and how sure that is.

    Args:
        scores: (N, S, S) of `score_map`.
        groups: (N,); views of one object share a number, as they are drawn or left out together.
        seed: Of the bootstrap.
    """
    names, index = np.unique(groups, return_inverse=True)
    summed = np.zeros((len(names), *scores.shape[1:]))
    np.add.at(summed, index, scores)
    best = _peak(summed.sum(axis=0))
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=ROUNDS)
    drawn = np.array([_peak(total) for total in np.tensordot(weights, summed, axes=1)])
    low = float(np.quantile(np.hypot(*drawn.T), 0.05))
    spread = float(np.sqrt(((drawn - best) ** 2).sum(axis=1).mean()))
    return Offset(float(best[0]), float(best[1]), float(np.hypot(*best)), low, spread)


def _peak(total: NDArray) -> NDArray[np.float64]:
    """Place (dx, dy) of the highest score, between pixels by a parabola through its neighbours."""
    y, x = np.unravel_index(total.argmax(), total.shape)
    place = [float(x), float(y)]
    for axis, (at, line) in enumerate(((x, total[y]), (y, total[:, x]))):
        if 0 < at < len(line) - 1:
            before, here, after = line[at - 1 : at + 2]
            bend = before - 2 * here + after
            place[axis] += 0.5 * (before - after) / bend if bend < 0 else 0.0
    return np.array(place) - REACH_PX

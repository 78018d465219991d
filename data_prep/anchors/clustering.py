"""k-means on widths and heights with 1 - IoU as distance (Redmon and Farhadi 2016, YOLO9000), freely and on a grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_prep.anchors.boxes import Sizes, ious, mean_best_iou

RESTARTS, ROUNDS = 8, 100


def cluster(sizes: Sizes, count: int, seed: int) -> Sizes:
    """Find the sizes that fit best.

    Args:
        sizes: (N, 2) width, height.
        count: Number of clusters; at most the number of different sizes, else fewer are found.
        seed: Of the starts, as in k-means++ with this distance. The best of eight is kept.

    Returns:
        (count, 2) by rising area.
    """
    random = np.random.default_rng(seed)
    count = min(count, len(np.unique(sizes, axis=0)))
    found = [_settle(sizes, _start(sizes, count, random)) for _ in range(RESTARTS)]
    best = max(found, key=lambda anchors: mean_best_iou(sizes, anchors))
    return best[np.argsort(best.prod(1), kind='stable')]


def _start(sizes: Sizes, count: int, random: np.random.Generator) -> Sizes:
    chosen = [int(random.integers(len(sizes)))]
    for _ in range(count - 1):
        distance = 1 - ious(sizes, sizes[chosen]).max(1)
        distance = np.where(distance < 1e-12, 0, distance)
        chosen.append(int(random.choice(len(sizes), p=distance / distance.sum())))
    return sizes[chosen]


def _settle(sizes: Sizes, anchors: Sizes) -> Sizes:
    """Assign and average in turn until nothing changes; the best on the way, as a mean need not lower this distance."""
    best, best_iou, before = anchors, -1.0, None
    for _ in range(ROUNDS):
        table = ious(sizes, anchors)
        fit, nearest = float(table.max(1).mean()), table.argmax(1)
        if fit > best_iou:
            best, best_iou = anchors, fit
        if before is not None and (nearest == before).all():
            break
        before = nearest
        anchors = np.array([sizes[nearest == k].mean(0) if (nearest == k).any() else anchors[k]
                            for k in range(len(anchors))])  # fmt: skip
    return best


def grid(sizes: Sizes, clusters: Sizes, levels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit anchors that share their ratios over all levels, as MMDetection's `AnchorGenerator` makes them.

    Args:
        sizes: (N, 2) width, height.
        clusters: (levels x ratios, 2) by rising area, where the fit starts.
        levels: Of the feature pyramid.

    Returns:
        Side of a square anchor by level (levels,), and ratios height / width, rising.
    """
    groups = clusters.reshape(levels, -1, 2)
    sides = np.log(groups.prod(2)).mean(1) / 2
    ratios = np.sort(np.log(groups[..., 1] / groups[..., 0]), axis=1).mean(0)
    best, best_iou = (sides, ratios), -1.0
    area, shape = np.log(sizes.prod(1)) / 2, np.log(sizes[:, 1] / sizes[:, 0])
    for _ in range(ROUNDS):
        table = ious(sizes, grid_sizes(np.exp(sides), np.exp(ratios)))
        fit = float(table.max(1).mean())
        if fit <= best_iou + 1e-9:
            break
        best, best_iou = (sides, ratios), fit
        level, ratio = np.divmod(table.argmax(1), len(ratios))
        sides = np.array([area[level == n].mean() if (level == n).any() else sides[n] for n in range(levels)])
        ratios = np.array([shape[ratio == n].mean() if (ratio == n).any() else ratios[n] for n in range(len(ratios))])
    return np.exp(np.sort(best[0])), np.exp(np.sort(best[1]))


def grid_sizes(sides: NDArray[np.float64], ratios: NDArray[np.float64]) -> Sizes:
    """Anchors (levels x ratios, 2) of `AnchorGenerator`: width = side / root of the ratio, height = side x root."""
    root = np.sqrt(ratios)
    return np.stack([sides[:, None] / root, sides[:, None] * root], 2).reshape(-1, 2)

"""Test-time views: the same window flipped and turned, and what was seen in each merged by agreement of masks.

    window -> 8 views -> network -> masks turned back -> groups that agree -> a vote on each pixel

A fallen tree has no upper side in a picture from above, so all eight views are as likely as the one that was taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as pycoco

from tree_map.predicting.network import Instances

View = tuple[int, bool]  # quarter turns counter-clockwise, then flipped left to right or not
VIEWS: tuple[View, ...] = tuple((turns, flip) for flip in (False, True) for turns in range(4))
SAME = 0.5  # IoU from which on masks of two views show one tree


def seen_from(picture: NDArray, view: View) -> NDArray:
    """Turn and flip a picture (H, W, bands)."""
    turned = np.rot90(picture, view[0])
    return np.ascontiguousarray(turned[:, ::-1] if view[1] else turned)


def turned_back(found: Instances, view: View, size_hw: tuple[int, int]) -> Instances:
    """Put what was seen in a view back into the picture.

    Args:
        found: In pixels of the view.
        view: That it was seen in.
        size_hw: Of the picture, before it was turned.
    """
    masks, origins = [], []
    for mask, (x, y) in zip(found.masks, found.origins_xy.tolist(), strict=True):
        height, width = size_hw if view[0] % 2 == 0 else size_hw[::-1]
        if view[1]:
            mask, x = mask[:, ::-1], width - x - mask.shape[1]
        for _ in range(view[0]):
            x, y = height - y - mask.shape[0], x
            mask, height, width = np.rot90(mask, -1), width, height
        masks.append(np.ascontiguousarray(mask))
        origins.append((x, y))
    return Instances(masks, np.array(origins, np.int64).reshape(-1, 2), found.scores, found.labels)


def merged(seen: Sequence[Instances], size_hw: tuple[int, int], score_thr: float) -> Instances:
    """Merge what several views showed of one picture.

    The best-scored mask gathers, of each other view, the mask of its label that overlaps it most, from an IoU of one
    half. A pixel belongs to the tree where masks of at least half of the group's score cover it. The score is the mean
    over all views; those that saw nothing count 0.

    Args:
        seen: Of each view, turned back.
        size_hw: Of the picture.
        score_thr: Trees that score lower are left out.
    """
    masks = [mask for found in seen for mask in found.masks]
    if not masks:
        return seen[0]
    origins = np.concatenate([found.origins_xy for found in seen])
    scores, labels = (np.concatenate([getattr(found, key) for found in seen]) for key in ('scores', 'labels'))
    views = np.repeat(np.arange(len(seen)), [len(found) for found in seen])
    overlaps = _overlaps(masks, origins, size_hw)
    overlaps[labels[:, None] != labels] = 0
    free, trees = np.ones(len(masks), bool), []
    for best in np.argsort(-scores, kind='stable'):
        if not free[best]:
            continue
        group = [int(best)]
        for view in set(views) - {views[best]}:
            others = np.flatnonzero(free & (views == view))
            if len(others) and overlaps[best, others].max() >= SAME:
                group.append(int(others[overlaps[best, others].argmax()]))
        free[group] = False
        score = float(scores[group].sum() / len(seen))
        if score >= score_thr:
            trees.append((*_vote([masks[n] for n in group], origins[group], scores[group]), score, int(labels[best])))
    crops, places, kept, names = zip(*trees, strict=True) if trees else ((),) * 4
    return Instances(
        list(crops), np.array(places, np.int64).reshape(-1, 2), np.array(kept, np.float64), np.array(names, np.int64)
    )


def _overlaps(masks: Sequence[NDArray], origins: NDArray[np.int64], size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """IoU of each with each, (n, n)."""
    runs, canvas = [], np.zeros(size_hw, np.uint8, order='F')
    for mask, (x, y) in zip(masks, origins, strict=True):
        place = canvas[y : y + mask.shape[0], x : x + mask.shape[1]]
        place[:] = mask
        runs.append(pycoco.encode(canvas))
        place[:] = 0
    return np.asarray(pycoco.iou(runs, runs, [0] * len(runs)))


def _vote(
    masks: Sequence[NDArray], origins: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Pixels that at least half of the weight covers, cropped, and where the crop begins (x, y)."""
    ends = origins + [mask.shape[::-1] for mask in masks]
    left, top = origins.min(axis=0)
    votes = np.zeros(tuple((ends.max(axis=0) - (left, top))[::-1]))
    for mask, (x, y), weight in zip(masks, origins - (left, top), weights, strict=True):
        votes[y : y + mask.shape[0], x : x + mask.shape[1]] += weight * mask
    # A group of masks that overlap the first by half has pixels that all cover, so the vote is never empty.
    won = votes >= weights.sum() / 2 - 1e-9
    rows, columns = np.flatnonzero(won.any(axis=1)), np.flatnonzero(won.any(axis=0))
    crop = won[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.ascontiguousarray(crop), (int(left + columns[0]), int(top + rows[0]))

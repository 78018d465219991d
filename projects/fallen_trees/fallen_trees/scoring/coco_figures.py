"""COCO's figures from matches, equal to those of pycocotools: the same sums of the same numbers in the same order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import Params

from fallen_trees.scoring.coco_matching import Detections, Grid, Matches

RECALLS = Params(iouType='segm').recThrs  # the 101 recalls at which COCO reads precision


@dataclass(frozen=True)
class CocoFigures:
    """Precision and recall at T thresholds, of K classes, in A ranges of areas, with M limits; -1 without an object.

    Attributes:
        precision: At each of COCO's 101 recalls, (T, 101, K, A, M).
        recall: Of all detections within the limit, (T, K, A, M).
        thresholds: IoU from which on a detection is a hit, (T,).
        limits: Detections of an image and class that count, ascending, M of them.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    limits: tuple[int, ...]

    def stats(self) -> NDArray[np.float64]:
        """COCO's 12 figures, not rounded, as `COCOeval.stats` has them.

        AP: mean, at 0.5, at 0.75, of small, medium and large objects; AR: with the first, second and third limit, and
        of small, medium and large objects. The first AP counts 100 detections, or the third limit where that is none;
        the others count the third limit. With fewer limits, the last stands for those that are missing.
        """
        limits = [min(n, len(self.limits) - 1) for n in range(3)]
        first = self.limits.index(100) if 100 in self.limits else limits[2]
        at_half, at_three_quarters = (np.flatnonzero(self.thresholds == value) for value in (0.5, 0.75))
        precisions = [
            self.precision[..., 0, first],
            self.precision[at_half][..., 0, limits[2]],
            self.precision[at_three_quarters][..., 0, limits[2]],
            *(self.precision[..., area, limits[2]] for area in (1, 2, 3)),
        ]
        recalls = [self.recall[..., 0, limit] for limit in limits]
        recalls += [self.recall[..., area, limits[2]] for area in (1, 2, 3)]
        return np.array([mean(values) for values in (*precisions, *recalls)])

    def limited(self, limits: Sequence[int]) -> 'CocoFigures':
        """The same with the first of the limits only."""
        count = len(limits)
        return replace(
            self, precision=self.precision[..., :count], recall=self.recall[..., :count], limits=self.limits[:count]
        )

    def average_precision(self, limit: int) -> float:
        """AP with one of the limits, not rounded."""
        return mean(self.precision[..., 0, self.limits.index(limit)])

    def class_figures(self, number: int) -> list[float]:
        """AP of one class with the last limit: mean, at the first and sixth threshold, by area; NaN without an object.

        The sixth of COCO's own thresholds is 0.75. Where there are fewer, its place is NaN.
        """
        precision = self.precision[:, :, number, :, -1]
        of_class = [precision[..., 0], precision[0:1, :, 0], precision[5:6, :, 0]]
        of_class += [precision[..., area] for area in (1, 2, 3)]
        means = [mean(values) for values in of_class]
        return [float('nan') if value == -1 else value for value in means]


def mean(values: NDArray[np.float64]) -> float:
    """Mean of what is defined; -1 if nothing is."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0


def accumulate(
    detections: Detections, matches: Matches, grid: Grid, thresholds: NDArray[np.float64], limits: Sequence[int]
) -> CocoFigures:
    """Make precision and recall of matches.

    Args:
        detections: What was matched.
        matches: At the T thresholds, and maybe at others behind them, which do not count here.
        grid: Classes and images.
        thresholds: (T,).
        limits: Detections of an image and class that count, M numbers.
    """
    limits, num_areas, num_classes = tuple(sorted(limits)), len(matches.hits), len(grid.cat_ids)
    precision = -np.ones((len(thresholds), len(RECALLS), num_classes, num_areas, len(limits)))
    recall = -np.ones((len(thresholds), num_classes, num_areas, len(limits)))
    borders = np.searchsorted(detections.groups, np.arange(num_classes + 1) * len(grid.img_ids))
    for k, (begin, end) in enumerate(zip(borders[:-1], borders[1:], strict=True)):
        for m, limit in enumerate(limits):
            within = begin + np.flatnonzero(detections.ranks[begin:end] < limit)
            within = within[np.argsort(-detections.scores[within], kind='stable')]
            for a in np.flatnonzero(matches.countable[:, k]):
                hits, ignored = (x[a, : len(thresholds)][:, within] for x in (matches.hits, matches.ignored))
                precision[:, :, k, a, m], recall[:, k, a, m] = curve(hits, ignored, matches.countable[a, k])
    return CocoFigures(precision, recall, np.asarray(thresholds), limits)


def curve(
    hits: NDArray[np.bool_], ignored: NDArray[np.bool_], countable: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision at COCO's recalls, the best from there on, and the recall reached.

    Args:
        hits: Of detections from the highest score down, at T thresholds, (T, D).
        ignored: Which of them do not count, (T, D).
        countable: Objects to be found, at least 1.

    Returns:
        (T, 101), 0 where a recall is not reached, and (T,).
    """
    if not hits.shape[1]:
        return np.zeros((len(hits), len(RECALLS))), np.zeros(len(hits))
    right = np.cumsum(hits & ~ignored, axis=1, dtype=float)
    wrong = np.cumsum(~hits & ~ignored, axis=1, dtype=float)
    recall = right / countable
    precision = right / (wrong + right + np.spacing(1))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.append(best, np.zeros((len(hits), 1)), axis=1)
    at = [np.searchsorted(line, RECALLS) for line in recall]
    return np.take_along_axis(best, np.array(at), axis=1), recall[:, -1]

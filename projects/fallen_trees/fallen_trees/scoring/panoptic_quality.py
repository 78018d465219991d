"""Panoptic quality (Kirillov et al. 2019, Panoptic Segmentation, section 4.1), by COCO's rules, without panopticapi.

    PQ = sum of IoU over matched pairs / (pairs + half the wrong segments + half the missed ones) = SQ x RQ

A predicted and a true segment of one class are a pair where their IoU is above one half; void pixels count in no union.
A predicted segment that is half void or crowd of its class is not wrong, and a crowd is never missed.
MMDetection's CocoPanopticMetric has the same rules, and needs a package that is not on PyPI.
"""

from collections.abc import Sequence

import numpy as np
from mmdet.registry import METRICS
from mmdet.structures import INSTANCE_OFFSET
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from numpy.typing import NDArray
from terminaltables import AsciiTable


@METRICS.register_module()
class PanopticQualityMetric(BaseMetric):
    """Score `pred_panoptic_seg` against the map of LoadPanopticMap in `gt_sem_seg`, which are of one size.

    Needs `segment_crowds` and `all_segment_labels` among the `meta_keys` of the packing step, and `classes` and
    `thing_classes` in the data set's metainfo. Figures from 0 to 1: `PQ`, `SQ`, `RQ`, the same with `_things` and
    `_stuff`, and `PQ/CLASS`; means over the classes that truth or prediction shows.
    """

    default_prefix = 'panoptic'

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Match the segments of a batch."""
        classes = len(self.dataset_meta['classes'])
        for sample in data_samples:
            found = sample['pred_panoptic_seg']['sem_seg'].cpu().numpy()[0]
            truth = sample['gt_sem_seg']['sem_seg'].cpu().numpy()[0]
            ids, numbers = np.unique(found, return_inverse=True)
            labels = ids % INSTANCE_OFFSET
            void = labels >= classes
            places = np.where(void, -1, np.cumsum(~void) - 1)
            self.results.append(
                match_segments(
                    truth,
                    np.asarray(sample['all_segment_labels'], np.int64),
                    np.asarray(sample['segment_crowds'], bool),
                    places[numbers].reshape(found.shape),
                    labels[~void],
                    classes,
                )
            )

    def compute_metrics(self, results: list[NDArray[np.float64]]) -> dict[str, float]:
        """Sum over all images, write a table to the log, and give the figures."""
        classes = self.dataset_meta['classes']
        things = np.isin(classes, self.dataset_meta['thing_classes'])
        figures, of_classes = {}, qualities(sum(results))
        seen = ~np.isnan(of_classes[:, 0])
        for ending, chosen in (('', seen), ('_things', seen & things), ('_stuff', seen & ~things)):
            if chosen.any():
                means = of_classes[chosen].mean(0).tolist()
                figures |= {f'{name}{ending}': mean for name, mean in zip(('PQ', 'SQ', 'RQ'), means, strict=True)}
        shown = [(name, row) for name, row in zip(classes, of_classes, strict=True) if not np.isnan(row[0])]
        table = [['class', 'PQ, %', 'SQ, %', 'RQ, %']]
        table += [[name, *(f'{100 * value:.2f}' for value in row)] for name, row in shown]
        MMLogger.get_current_instance().info('\n' + AsciiTable(table).table)
        return figures | {f'PQ/{name}': float(row[0]) for name, row in shown}


def match_segments(
    truth: NDArray[np.integer],
    true_labels: NDArray[np.integer],
    crowds: NDArray[np.bool_],
    found: NDArray[np.integer],
    found_labels: NDArray[np.integer],
    num_classes: int,
) -> NDArray[np.float64]:
    """Match the segments of one image.

    Args:
        truth: Number of the true segment of each pixel, -1 for void; (H, W).
        true_labels: Class of each true segment, (T,).
        crowds: Which of them are crowds, (T,).
        found: Number of the predicted segment of each pixel, -1 for none; (H, W).
        found_labels: Class of each predicted segment, (P,).
        num_classes: Of the data set.

    Returns:
        Of each class the sum of IoU over pairs, pairs, wrong and missed segments, (classes, 4).
    """
    shape = len(true_labels) + 1, len(found_labels) + 1
    both = (truth.astype(np.int64) + 1) * shape[1] + found + 1
    pairs = np.bincount(both.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
    void, inside = pairs[0, 1:], pairs[1:, 1:]
    true_areas, found_areas = pairs[1:].sum(1), pairs[:, 1:].sum(0)
    same = true_labels[:, None] == found_labels
    unions = true_areas[:, None] + found_areas - inside - void
    iou = inside / np.maximum(unions, 1)
    matched = same & ~crowds[:, None] & (iou > 0.5)  # at most one in a row or column: segments do not overlap
    excused = void + (inside * (same & crowds[:, None])).sum(0) > 0.5 * found_areas
    wrong, missed = ~matched.any(0) & ~excused, ~matched.any(1) & ~crowds
    rows, _ = np.nonzero(matched)
    counts = np.zeros((num_classes, 4))
    counts[:, 0] = np.bincount(true_labels[rows], iou[matched], num_classes)
    counts[:, 1] = np.bincount(true_labels[rows], minlength=num_classes)
    counts[:, 2] = np.bincount(found_labels[wrong], minlength=num_classes)
    counts[:, 3] = np.bincount(true_labels[missed], minlength=num_classes)
    return counts


def qualities(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """PQ, SQ and RQ of each class from the sums of `match_segments`.

    Returns:
        (classes, 3); nan for a class that is nowhere, SQ 0 for one without a pair.
    """
    iou, hits, wrong, missed = counts.T
    with np.errstate(invalid='ignore', divide='ignore'):
        found = hits + (wrong + missed) / 2
        table = np.stack([iou / found, np.where(hits > 0, iou / hits, 0.0), hits / found], 1)
    table[found == 0] = np.nan
    return table

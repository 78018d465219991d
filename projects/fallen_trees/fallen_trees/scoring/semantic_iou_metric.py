"""Intersection over union of each class, over the pixels of a whole data set, in the pixels of its files.

    IoU of a class = pixels that are it and are called it / pixels that are it or are called it

void left out. MMDetection's SemSegMetric counts the same pixels; what it hands on are means alone, rounded, and its
accuracy of all pixels is the mean of the classes' (its `aAcc` equals its `mAcc`).
"""

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.evaluation import SemSegMetric
from mmdet.registry import METRICS
from mmengine.logging import MMLogger
from numpy.typing import NDArray
from terminaltables import AsciiTable
from torch import Tensor

from fallen_trees.errors import ConfigError

VOID = 255


@METRICS.register_module()
class SemanticIoUMetric(SemSegMetric):
    """Score `pred_sem_seg` against `gt_sem_seg`, which are of one size.

    Figures, as shares from 0 to 1: `mIoU` and `mAcc`, the means over classes that truth or prediction shows (`mAcc`:
    that the truth shows); `aAcc`, of all scored pixels; and `IoU/CLASS` of each. What is defined nowhere is left out.

    Args:
        prefix: Before the names of the figures.
        **kwargs: Of SemSegMetric: `output_dir` for the predicted maps as PNG, `collect_device`.
    """

    default_prefix = 'semantic'

    def __init__(self, prefix: str | None = None, **kwargs) -> None:
        super().__init__(prefix=prefix or self.default_prefix, **kwargs)

    def _compute_pred_stats(
        self, pred_label: Tensor, label: Tensor, num_classes: int, ignore_index: int
    ) -> NDArray[np.int64]:
        """Pixels by (true, predicted) class of one image, (classes, classes).

        Raises:
            ConfigError: If the two differ in size, or the truth holds a label of no class.
        """
        if pred_label.shape != label.shape:
            raise ConfigError(
                f'prediction and truth must be of one size; got {tuple(pred_label.shape)} and {tuple(label.shape)}: '
                'load the truth after the resize in the test pipeline.'
            )
        truth, found = label.long(), pred_label.long()
        scored = truth != ignore_index
        truth, found = truth[scored], found[scored]
        if len(truth) and not 0 <= int(truth.min()) <= int(truth.max()) < num_classes:
            raise ConfigError(f'the truth must hold labels from 0 to {num_classes - 1} and {ignore_index} for void; '
                              f'it holds {int(truth.min())} to {int(truth.max())}.')  # fmt: skip
        counts = torch.bincount(truth * num_classes + found, minlength=num_classes**2)
        return counts.view(num_classes, num_classes).cpu().numpy()

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch.

        Raises:
            ConfigError: If an image has no truth.
        """
        for sample in data_samples:
            if 'gt_sem_seg' not in sample and not self.format_only:
                raise ConfigError(f'{sample.get("img_path")} has no label map, so nothing can be scored on it.')
            # Labels of uint8 could not hold a larger void.
            sample['pred_sem_seg']['sem_seg'] = sample['pred_sem_seg']['sem_seg'].to(torch.int16)
            sample['pred_sem_seg'].setdefault('ignore_index', VOID)
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list[NDArray[np.int64]]) -> dict[str, float]:
        """Sum over all images, write a table to the log, and give the figures."""
        logger = MMLogger.get_current_instance()
        if self.format_only:
            return super().compute_metrics(results)
        classes = self.dataset_meta['classes']
        figures = semantic_figures(sum(results), classes)
        rows = [[name, *(_percent(figures[f'{kind}/{name}']) for kind in ('IoU', 'Acc'))] for name in classes]
        rows.append(['all', *(_percent(figures[f'm{kind}']) for kind in ('IoU', 'Acc'))])
        logger.info('\n' + AsciiTable([['class', 'IoU, %', 'found, %'], *rows]).table)
        kept = {name: value for name, value in figures.items() if not name.startswith('Acc/')}
        return {name: value for name, value in kept.items() if not np.isnan(value)}


def semantic_figures(confusion: NDArray[np.int64], classes: Sequence[str]) -> dict[str, float]:
    """Figures of a confusion matrix.

    Args:
        confusion: Pixels by (true, predicted) class.
        classes: Names, in order.

    Returns:
        `mIoU`, `mAcc`, `aAcc`, then `IoU/CLASS` and `Acc/CLASS`; nan where a class is nowhere.
    """
    confusion = np.asarray(confusion, np.float64)
    hits, truth, found = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    with np.errstate(invalid='ignore', divide='ignore'):
        iou, accuracy = hits / (truth + found - hits), hits / truth
        overall = hits.sum() / truth.sum()
    figures = dict(mIoU=_mean(iou), mAcc=_mean(accuracy), aAcc=float(overall))
    for kind, values in (('IoU', iou), ('Acc', accuracy)):
        figures |= {f'{kind}/{name}': float(value) for name, value in zip(classes, values, strict=True)}
    return figures


def _mean(values: NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float('nan')


def _percent(value: float) -> str:
    return '' if np.isnan(value) else f'{100 * value:.2f}'

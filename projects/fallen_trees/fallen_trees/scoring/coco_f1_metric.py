"""COCO's figures, and what a user of the map sees: precision, recall and F1 of the masks at one score threshold.

    threshold given -> the figures at that threshold
    none given      -> the threshold with the best F1, remembered in the checkpoint

A threshold chosen on the scenes it is judged on flatters itself. So validation chooses, the choice travels with the
checkpoint, and testing uses it.

COCO counts the best 100 detections of an image and class, and so do all figures here that bear its names. A model may
keep more; then `segm_mAP_all` (and `bbox_mAP_all`) say what all of them are worth. F1, precision and recall count all.
One matching of masks and one of boxes serve all of these.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation.metrics import CocoMetric, FasterCocoMetric
from mmdet.registry import METRICS
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from numpy.typing import NDArray
from terminaltables import AsciiTable

from fallen_trees.annotations.classes import without_twin_root
from fallen_trees.errors import ConfigError
from fallen_trees.scoring.coco_figures import CocoFigures, accumulate
from fallen_trees.scoring.coco_matching import Detections, Grid, Truths, match
from fallen_trees.scoring.score_threshold import KEY, best_threshold, counts_at

IOU = 0.5
STOCK = {'pycocotools': CocoMetric, 'faster': FasterCocoMetric}
BACKENDS = ('batched', *STOCK)
AP_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
# MMDetection's names of COCO's 12 figures, whatever the limits are.
ITEMS = (*AP_ITEMS, 'AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000')
COCO_LIMITS = (1, 10, 100)  # COCO's maxDets: detections of an image and class that its figures count


@METRICS.register_module()
class CocoF1Metric(CocoMetric):
    """`CocoMetric` that adds `segm_F1_50`, `segm_precision_50`, `segm_recall_50` and `score_threshold` to its figures.

    Detections of all classes are matched to truth as COCO does at IoU 0.5, and counted together.

    Args:
        score_threshold: Detections from this score on count; None takes the threshold with the best F1.
        backend: What COCO's figures come from: 'batched' (`coco_matching`, which gives those of pycocotools to the last
            bit), 'pycocotools' (CocoMetric) or 'faster' (FasterCocoMetric). Proposals are for the last two: with
            'batched', they and all beside them come from pycocotools.
        proposal_nums: COCO's maxDets. By default COCO's own; MMDetection's where proposals or recalls are asked for,
            whose names state its limits.
        *args: Of CocoMetric.
        **kwargs: Of CocoMetric.

    Attributes:
        figures: Of the last evaluation, for 'bbox' and 'segm', not rounded.

    Raises:
        ConfigError: If there is no such back end, or pycocotools would report -1 because 100 is no limit.
    """

    def __init__(
        self,
        *args: object,
        score_threshold: float | None = None,
        backend: str = 'batched',
        proposal_nums: Sequence[int] | None = None,
        **kwargs: object,
    ) -> None:
        if backend not in BACKENDS:
            raise ConfigError(f'backend of CocoF1Metric must be one of {", ".join(BACKENDS)}, not {backend!r}.')
        super().__init__(*args, **kwargs)
        if self._coco_api is not None:  # classes are found by name, and Roboflow's root may have the name of one
            self._coco_api.dataset['categories'] = without_twin_root(self._coco_api.dataset)
        proposals = any('proposal' in metric for metric in self.metrics)
        if proposals and backend == 'batched':
            backend = 'pycocotools'
        if backend == 'pycocotools' and 100 not in (proposal_nums or COCO_LIMITS):
            raise ConfigError(f'proposal_nums must hold 100 for pycocotools, not {proposal_nums}; it reports -1 else.')
        if proposal_nums is not None or not (proposals or any('AR' in item for item in self.metric_items or ())):
            self.proposal_nums = list(proposal_nums or COCO_LIMITS)
        self.score_threshold = score_threshold
        self.backend = backend
        self.figures: dict[str, CocoFigures] = {}
        self._truths: dict[str, Truths] = {}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute COCO's figures, those of all detections where an image has more than COCO counts, and F1's."""
        metrics = {}
        if self.format_only or self.backend in STOCK:
            # FasterCocoMetric's code reads settings that every CocoMetric has, so that one class can offer both.
            metrics = STOCK.get(self.backend, CocoMetric).compute_metrics(self, results)
            if self.format_only:
                return metrics
        else:
            self._prepare(results)
        predictions = [prediction for _, prediction in results]
        for metric in [name for name in ('bbox', 'segm') if name in self.metrics]:
            # Without any detection CocoMetric reports nothing.
            reported = any(name.startswith(f'{metric}_') for name in metrics)
            metrics |= self._figures_of(metric, predictions, reported)
        return metrics

    def _prepare(self, results: list) -> None:
        """Do what CocoMetric does before it evaluates: find classes and images, and write a file that is asked for."""
        unknown = [item for item in self.metric_items or () if item not in ITEMS]
        if unknown:
            raise KeyError(f'metric item "{unknown[0]}" is not supported')
        if self._coco_api is None:
            with TemporaryDirectory() as folder:
                file = self.gt_to_coco_json([truth for truth, _ in results], str(Path(folder, 'truth')))
                self._coco_api = COCO(file)
        if self.cat_ids is None:
            self.cat_ids = self._coco_api.get_cat_ids(cat_names=self.dataset_meta['classes'])
        if self.img_ids is None:
            self.img_ids = self._coco_api.get_img_ids()
        if self.outfile_prefix is not None:
            self.results2json([prediction for _, prediction in results], self.outfile_prefix)

    def _truths_of(self, metric: str, grid: Grid) -> Truths:
        """The truth as masks or boxes, drawn once for all validations."""
        if metric not in self._truths:
            self._truths[metric] = truths = Truths.of_coco(self._coco_api, grid, metric)
            if truths.lost.any():
                MMLogger.get_current_instance().warning(
                    'An annotation has the id 0. COCO counts it as never found; number annotations from 1.'
                )
        return self._truths[metric]

    def _figures_of(self, metric: str, predictions: Sequence[dict], reported: bool) -> dict[str, float]:
        """Compute the figures of the masks or of the boxes, those of COCO only if they are not reported yet."""
        grid = Grid.of_ids(self.cat_ids, self.img_ids)
        truths, thresholds = self._truths_of(metric, grid), np.asarray(self.iou_thrs, float).reshape(-1)
        detections = Detections.of_predictions(predictions, grid, self.cat_ids, metric)
        matches = match(truths, detections, grid, np.append(thresholds, IOU))
        most = int(detections.ranks.max(initial=-1)) + 1
        limits = sorted(self.proposal_nums)
        beyond = [most] if most > limits[-1] else []
        figures = accumulate(detections, matches, grid, thresholds, limits + beyond)
        self.figures[metric] = figures.limited(limits)
        metrics = {} if reported else self._named(metric, self.figures[metric])
        if beyond:
            metrics[f'{metric}_mAP_all'] = round(figures.average_precision(most), 3)
        if metric == 'segm':
            counted = ~matches.ignored[0, -1]
            metrics |= self._f1(detections.scores[counted], matches.hits[0, -1, counted], int((~truths.crowds).sum()))
        return metrics

    def _named(self, metric: str, figures: CocoFigures) -> dict[str, float]:
        """Give figures the names that MMDetection gives them, and log them."""
        stats, metrics = dict(zip(ITEMS, figures.stats(), strict=True)), {}
        if self.classwise:
            metrics |= self._by_class(figures)
        metrics |= {f'{metric}_{item}': round(float(stats[item]), 3) for item in self.metric_items or AP_ITEMS}
        copypaste = ' '.join(f'{stats[item]:.3f}' for item in AP_ITEMS)
        MMLogger.get_current_instance().info(f'{metric}_mAP_copypaste: {copypaste}')
        return metrics

    def _by_class(self, figures: CocoFigures) -> dict[str, float]:
        names = [self._coco_api.cats[cat_id]['name'] for cat_id in sorted(self.cat_ids)]
        rows = [[round(value, 3) for value in figures.class_figures(k)] for k in range(len(names))]
        table = [['category', *AP_ITEMS], *([name, *map(str, row)] for name, row in zip(names, rows, strict=True))]
        MMLogger.get_current_instance().info('\n' + AsciiTable(table).table)
        return {f'{name}_precision': row[0] for name, row in zip(names, rows, strict=True)}

    def _f1(self, scores: NDArray[np.float64], hits: NDArray[np.bool_], num_truths: int) -> dict[str, float]:
        threshold = self.score_threshold
        if threshold is None:
            threshold = best_threshold(scores, hits, num_truths)
            MessageHub.get_current_instance().update_info(KEY, threshold)
        figures = counts_at(threshold, scores, hits, num_truths)
        return {f'segm_{name}_50': round(value, 3) for name, value in figures.items()} | {KEY: threshold}


def use_chosen_threshold(cfg: Config, checkpoint: dict) -> str | None:
    """Score and draw at the threshold that validation chose for a checkpoint, unless the config states one.

    Returns:
        A line for the log, or None when the checkpoint holds no threshold.
    """
    threshold = checkpoint.get('message_hub', {}).get('runtime_info', {}).get(KEY)
    if threshold is None or cfg.test_evaluator.get('type') != 'CocoF1Metric':
        return None
    cfg.test_evaluator.setdefault(KEY, threshold)
    cfg.default_hooks.visualization.setdefault('score_thr', threshold)
    return f'Score threshold {threshold:.3f}, chosen on the validation scenes.'

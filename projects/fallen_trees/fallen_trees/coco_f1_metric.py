"""COCO's figures, and what a user of the map sees: precision, recall and F1 of the masks at one score threshold.

    threshold given -> the figures at that threshold
    none given      -> the threshold with the best F1, remembered in the checkpoint

A threshold chosen on the scenes it is judged on flatters itself. So validation chooses, the choice travels with the
checkpoint, and testing uses it.

COCO counts the best 100 detections of an image and class, and so do all figures here that bear its names. A model may
keep more; then `segm_mAP_all` (and `bbox_mAP_all`) say what all of them are worth. F1, precision and recall count all.
"""

from collections.abc import Sequence

import numpy as np
from faster_coco_eval import COCOeval_faster
from mmdet.datasets.api_wrappers import COCO, COCOeval
from mmdet.evaluation.metrics import CocoMetric, FasterCocoMetric
from mmdet.registry import METRICS
from mmengine.config import Config
from mmengine.logging import MessageHub
from numpy.typing import NDArray

from fallen_trees.errors import ConfigError

IOU = 0.5
KEY = 'score_threshold'
BACKENDS = {'faster': (FasterCocoMetric, COCOeval_faster), 'pycocotools': (CocoMetric, COCOeval)}
AP_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
COCO_LIMITS = (1, 10, 100)  # COCO's maxDets: detections of an image and class that its figures count


@METRICS.register_module()
class CocoF1Metric(CocoMetric):
    """`CocoMetric` that adds `segm_F1_50`, `segm_precision_50`, `segm_recall_50` and `score_threshold` to its figures.

    Detections of all classes are matched to truth as COCO does at IoU 0.5, and counted together.

    Args:
        score_threshold: Detections from this score on count; None takes the threshold with the best F1.
        backend: 'faster' (faster-coco-eval) or 'pycocotools', whose figures are the same.
        proposal_nums: COCO's maxDets. By default COCO's own; MMDetection's where proposals or recalls are asked for,
            whose names state its limits.
        *args: Of CocoMetric.
        **kwargs: Of CocoMetric.

    Raises:
        ConfigError: If there is no such back end, or pycocotools would report -1 because 100 is no limit.
    """

    def __init__(
        self,
        *args: object,
        score_threshold: float | None = None,
        backend: str = 'faster',
        proposal_nums: Sequence[int] | None = None,
        **kwargs: object,
    ) -> None:
        if backend not in BACKENDS:
            raise ConfigError(f'backend of CocoF1Metric must be one of {", ".join(BACKENDS)}, not {backend!r}.')
        if backend == 'pycocotools' and 100 not in (proposal_nums or COCO_LIMITS):
            raise ConfigError(f'proposal_nums must hold 100 for pycocotools, not {proposal_nums}; it reports -1 else.')
        super().__init__(*args, **kwargs)
        recalls = any('AR' in item for item in self.metric_items or ()) or 'proposal' in ' '.join(self.metrics)
        if proposal_nums is not None or not recalls:
            self.proposal_nums = list(proposal_nums or COCO_LIMITS)
        self.score_threshold = score_threshold
        self.backend = backend

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute COCO's figures, those of all detections where an image has more than COCO counts, and F1's."""
        # FasterCocoMetric's code reads settings that every CocoMetric has, so that one class can offer both.
        metrics = BACKENDS[self.backend][0].compute_metrics(self, results)
        predictions = [prediction for _, prediction in results]
        if self.format_only:
            return metrics
        for metric in [name for name in self.metrics if name in ('bbox', 'segm')]:
            # Without any detection CocoMetric reports nothing.
            for item in self.metric_items or AP_ITEMS:
                metrics.setdefault(f'{metric}_{item}', 0.0)
        metrics |= self._figures_of_all(predictions)
        if 'segm' not in self.metrics:
            return metrics
        scores, hits, num_truths = match_masks(self._coco_api, predictions, self.cat_ids, self.img_ids)
        threshold = self.score_threshold
        if threshold is None:
            threshold = best_threshold(scores, hits, num_truths)
            MessageHub.get_current_instance().update_info(KEY, threshold)
        figures = counts_at(threshold, scores, hits, num_truths)
        return {**metrics, **{f'segm_{name}_50': round(value, 3) for name, value in figures.items()}, KEY: threshold}

    def _figures_of_all(self, predictions: Sequence[dict]) -> dict[str, float]:
        most = max((np.bincount(p['labels']).max() for p in predictions if len(p['labels'])), default=0)
        if most <= self.proposal_nums[-1]:
            return {}
        return {
            f'{metric}_mAP_all': round(
                average_precision(
                    self._coco_api,
                    as_detections(predictions, self.cat_ids, metric),
                    self.cat_ids,
                    self.img_ids,
                    metric,
                    limit=int(most),
                    backend=self.backend,
                    iou_thrs=self.iou_thrs,
                ),
                3,
            )
            for metric in self.metrics
            if metric in ('bbox', 'segm')
        }


def as_detections(predictions: Sequence[dict], cat_ids: Sequence[int], metric: str) -> list[dict]:
    """Turn predictions, as in `match_masks` and with `bboxes` (x0, y0, x1, y1), into detections as COCO loads them."""
    detections = []
    for prediction in predictions:
        shapes = prediction['masks'] if metric == 'segm' else prediction['bboxes'].tolist()
        scores = prediction.get('mask_scores', prediction['scores']) if metric == 'segm' else prediction['scores']
        for label, score, shape in zip(prediction['labels'], scores, shapes, strict=True):
            found = dict(image_id=prediction['img_id'], category_id=cat_ids[label], score=float(score))
            if metric == 'segm':
                found['segmentation'] = shape
            else:
                found['bbox'] = [shape[0], shape[1], shape[2] - shape[0], shape[3] - shape[1]]
            detections.append(found)
    return detections


def average_precision(
    coco: COCO,
    detections: list[dict],
    cat_ids: Sequence[int],
    img_ids: Sequence[int],
    metric: str,
    *,
    limit: int,
    backend: str = 'faster',
    iou_thrs: Sequence[float] | None = None,
) -> float:
    """Compute COCO's AP with another limit than 100 detections of an image and class.

    Args:
        coco: The truth.
        detections: At least one, of `as_detections`.
        cat_ids: Categories to look at.
        img_ids: Images to look at.
        metric: 'segm' or 'bbox'.
        limit: Detections that count, the best of each image and class.
        backend: 'faster' or 'pycocotools'.
        iou_thrs: Thresholds to average over; COCO's by default.

    Returns:
        AP, not rounded; -1 without any truth.
    """
    evaluation = BACKENDS[backend][1](coco, coco.loadRes(detections), metric)
    evaluation.params.imgIds, evaluation.params.catIds = list(img_ids), list(cat_ids)
    evaluation.params.maxDets = [limit]
    if iou_thrs is not None:
        evaluation.params.iouThrs = np.asarray(iou_thrs)
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval['precision'][:, :, :, 0, -1]
    return float(precision[precision > -1].mean()) if (precision > -1).any() else -1.0


def match_masks(
    coco: COCO, predictions: Sequence[dict], cat_ids: Sequence[int], img_ids: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], int]:
    """Match predicted masks to the truth of a data set, greedily by score, as COCO does.

    Args:
        coco: The truth.
        predictions: Of each image `img_id`, and `scores`, `labels`, `masks` (RLE) of its N detections.
        cat_ids: Category of each label.
        img_ids: Images to look at.

    Returns:
        Score of each detection (D,), whether it hits an object of its own (D,), and the number of objects.
        Crowd regions are no objects, and detections on them are left out.
    """
    detections = as_detections(predictions, cat_ids, 'segm')
    truths = coco.load_anns(coco.get_ann_ids(img_ids=list(img_ids), cat_ids=list(cat_ids)))
    num_truths = sum(not truth.get('iscrowd', 0) for truth in truths)
    if not detections:
        return np.zeros(0), np.zeros(0, bool), num_truths
    # At one threshold pycocotools is as fast as faster-coco-eval, and tells which detections fell on a crowd.
    evaluation = COCOeval(coco, coco.loadRes(detections), 'segm')
    evaluation.params.imgIds, evaluation.params.catIds = list(img_ids), list(cat_ids)
    evaluation.params.iouThrs = np.array([IOU])
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ['all']
    evaluation.params.maxDets = [max(len(p['scores']) for p in predictions)]
    evaluation.evaluate()
    found = [entry for entry in evaluation.evalImgs if entry is not None]
    counted = np.concatenate([~entry['dtIgnore'][0].astype(bool) for entry in found])
    scores = np.concatenate([np.asarray(entry['dtScores'], float) for entry in found])
    hits = np.concatenate([entry['dtMatches'][0] > 0 for entry in found])
    return scores[counted], hits[counted], num_truths


def best_threshold(scores: NDArray[np.float64], hits: NDArray[np.bool_], num_truths: int) -> float:
    """Find the score from which on detections have the best F1; 0.5 where there is nothing to choose from."""
    if not hits.any():
        return 0.5
    order = np.argsort(-scores, kind='stable')
    f1 = 2 * np.cumsum(hits[order]) / (np.arange(1, len(order) + 1) + num_truths)
    # A cut lies between two different scores, never inside a tie.
    last_of_tie = np.append(scores[order][1:] < scores[order][:-1], True)
    return float(scores[order][np.argmax(np.where(last_of_tie, f1, -1))])


def counts_at(
    threshold: float, scores: NDArray[np.float64], hits: NDArray[np.bool_], num_truths: int
) -> dict[str, float]:
    """Compute F1, precision and recall of the detections from a threshold on; 0 where one is not defined."""
    kept = scores >= threshold
    num_hits, num_kept = int(hits[kept].sum()), int(kept.sum())
    return dict(
        F1=2 * num_hits / max(1, num_kept + num_truths),
        precision=num_hits / max(1, num_kept),
        recall=num_hits / max(1, num_truths),
    )


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

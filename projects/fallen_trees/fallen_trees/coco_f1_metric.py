"""COCO's figures, and what a user of the map sees: precision, recall and F1 of the masks at one score threshold.

    threshold given -> the figures at that threshold
    none given      -> the threshold with the best F1, remembered in the checkpoint

A threshold chosen on the scenes it is judged on flatters itself. So validation chooses, the choice travels with the
checkpoint, and testing uses it.
"""

from collections.abc import Sequence

import numpy as np
from mmdet.datasets.api_wrappers import COCO, COCOeval
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.config import Config
from mmengine.logging import MessageHub
from numpy.typing import NDArray

IOU = 0.5
KEY = 'score_threshold'


@METRICS.register_module()
class CocoF1Metric(CocoMetric):
    """`CocoMetric` that adds `segm_F1_50`, `segm_precision_50`, `segm_recall_50` and `score_threshold` to its figures.

    Detections of all classes are matched to truth as COCO does at IoU 0.5, and counted together.

    Args:
        score_threshold: Detections from this score on count; None takes the threshold with the best F1.
    """

    def __init__(self, *args: object, score_threshold: float | None = None, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.score_threshold = score_threshold

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute COCO's figures, then those at the threshold."""
        metrics = super().compute_metrics(results)
        if self.format_only or 'segm' not in self.metrics:
            return metrics
        predictions = [prediction for _, prediction in results]
        scores, hits, num_truths = match_masks(self._coco_api, predictions, self.cat_ids, self.img_ids)
        threshold = self.score_threshold
        if threshold is None:
            threshold = best_threshold(scores, hits, num_truths)
            MessageHub.get_current_instance().update_info(KEY, threshold)
        figures = counts_at(threshold, scores, hits, num_truths)
        return {**metrics, **{f'segm_{name}_50': round(value, 3) for name, value in figures.items()}, KEY: threshold}


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
    detections = [
        dict(image_id=p['img_id'], category_id=cat_ids[label], score=float(score), segmentation=mask)
        for p in predictions
        for label, score, mask in zip(p['labels'], p['scores'], p['masks'], strict=True)
    ]
    truths = coco.load_anns(coco.get_ann_ids(img_ids=list(img_ids), cat_ids=list(cat_ids)))
    num_truths = sum(not truth.get('iscrowd', 0) for truth in truths)
    if not detections:
        return np.zeros(0), np.zeros(0, bool), num_truths
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

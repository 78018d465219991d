"""The score from which on detections count: the one with the best F1, and precision, recall and F1 at any."""

import numpy as np
from numpy.typing import NDArray

KEY = 'score_threshold'


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

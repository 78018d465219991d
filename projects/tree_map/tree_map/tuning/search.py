"""A coordinate search: score threshold coarse then fine, then each setting of joining, then the threshold once more.

It tries a fixed list of values, so that the same scenes give the same answer. A few labelled trees do not tell values
apart that are nearly as good: of all that the best one beats by no more than a standard error the nearest to the
default is taken (the one-standard-error rule of Breiman et al., Classification and Regression Trees, 1984).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tree_map.joining.settings import BRIDGE_M, JoinSettings
from tree_map.tuning.trials import Trial

COARSE = tuple(round(0.1 * step, 2) for step in range(1, 10))
FINE = 0.02  # step around the best coarse threshold
# The settings that decide on most trees. What windows saw of one tree agrees more or less, as masks are more or less
# sharp: `min_zone_iou`. How far apart the seen parts of one trunk lie follows from crowns and from what the network
# misses: `max_bridge_m`. All others moved F1 of the demo's validation scene by less than 0.005 (docs/metrics.md).
AXES: dict[str, tuple[float, ...]] = {
    'min_zone_iou': (0.1, 0.15, 0.2, 0.3, 0.4, 0.5),
    'max_bridge_m': (0.0, 1.0, 2.0, 3.5, 5.0, 7.0, 10.0),
}
DEFAULTS = {'min_zone_iou': JoinSettings().min_zone_iou, 'max_bridge_m': BRIDGE_M}
ROUNDS = 2
FLAT = 0.01  # of F1: thresholds that cost no more are as good

Try = Callable[[float, Mapping[str, float]], Trial]


@dataclass(frozen=True)
class Best:
    """What the search found.

    Attributes:
        score_thr: Threshold that was chosen.
        joining: Settings that differ from the defaults.
        f1: There.
        default_f1: At the threshold that the search began with, joined by default.
        flat_from: Least threshold tried from which on up to the best one none cost more than `FLAT`.
        flat_to: Likewise, the greatest.
        joining_costs: By setting, what F1 loses with the next value below and above; None at the end of the list.
    """

    score_thr: float
    joining: dict[str, float]
    f1: float
    default_f1: float
    flat_from: float
    flat_to: float
    joining_costs: dict[str, tuple[float | None, float | None]]


def search(trial: Try, start_thr: float, lowest: float, say: Callable[[str], object] = lambda line: None) -> Best:
    """Find the settings with the best F1.

    Args:
        trial: Takes a score threshold and what joining does otherwise than by default.
        start_thr: What the checkpoint says so far; ties go to the nearest.
        lowest: Score that the pieces begin at.
        say: Is told each stage.
    """
    tried: dict[float, Trial] = {}
    joining: dict[str, float] = {}
    coarse = sorted({start_thr, *(value for value in COARSE if value >= lowest)})
    for number in range(ROUNDS):
        tried = {value: trial(value, joining) for value in coarse}
        middle = _best(tried, start_thr)
        for step in range(-4, 5):
            value = round(middle + step * FINE, 4)
            if lowest <= value < 1:
                tried[value] = trial(value, joining)
        threshold = _best(tried, start_thr)
        say(f'round {number + 1}: score threshold {threshold:.3f}, F1 {tried[threshold].f1:.4f}')
        changed = _joined(trial, threshold, joining)
        if changed == joining:
            break
        joining = changed
        say(f'round {number + 1}: joining {joining}, F1 {trial(threshold, joining).f1:.4f}')
    tried = {value: trial(value, joining) for value in sorted(tried)}
    threshold = _best(tried, start_thr)
    low, high = _flat(tried, threshold)
    costs = {name: _costs(trial, threshold, joining, name) for name in AXES}
    return Best(threshold, joining, tried[threshold].f1, trial(start_thr, {}).f1, low, high, costs)


def _best(tried: Mapping[float, Trial], default: float) -> float:
    """The value nearest to the default among those that the best one does not beat by more than a standard error."""
    best = max(tried.values(), key=lambda item: item.f1)
    near = [value for value, item in tried.items() if best.f1 - item.f1 <= best.noise(item)]
    return min(near, key=lambda value: (abs(value - default), -tried[value].f1, value))


def _joined(trial: Try, threshold: float, joining: Mapping[str, float]) -> dict[str, float]:
    """Go once over all settings of joining, each with the others as they are."""
    found = dict(joining)
    for name, values in AXES.items():
        tried = {value: trial(threshold, _with(found, name, value)) for value in values}
        found = _with(found, name, _best(tried, DEFAULTS[name]))
    return found


def _with(joining: Mapping[str, float], name: str, value: float) -> dict[str, float]:
    """Settings with one of them changed; a default is left out."""
    changed = {**joining, name: value}
    return {key: entry for key, entry in changed.items() if entry != DEFAULTS[key]}


def _flat(tried: Mapping[float, Trial], best: float) -> tuple[float, float]:
    """Ends of the thresholds around the best one that cost no more than `FLAT`."""
    values = sorted(tried)
    low = high = values.index(best)
    enough = tried[best].f1 - FLAT
    while low > 0 and tried[values[low - 1]].f1 >= enough:
        low -= 1
    while high < len(values) - 1 and tried[values[high + 1]].f1 >= enough:
        high += 1
    return values[low], values[high]


def _costs(trial: Try, threshold: float, joining: Mapping[str, float], name: str) -> tuple[float | None, float | None]:
    """What F1 loses when a setting takes the next value below and above."""
    values: Sequence[float] = AXES[name]
    place, here = values.index(joining.get(name, DEFAULTS[name])), trial(threshold, joining).f1
    beside = [values[at] if 0 <= at < len(values) else None for at in (place - 1, place + 1)]
    low, high = (None if v is None else round(here - trial(threshold, _with(joining, name, v)).f1, 4) for v in beside)
    return low, high

"""Pruners by name, in iterations of the full-length run.

A rung is a place in that run where a trial is held against the others. Nothing of the run itself follows from it: no
schedule is shortened, so that what is compared at a rung is what the whole run shows there.
"""

import inspect
import math
from collections.abc import Callable, Mapping

from optuna import pruners

from sweep.errors import SweepError

# Of two trials at a rung one goes on, first after three eighths of a run: of the ladders that tools/benchmark/sweep.py
# replayed the one that saves steps on all curves, recorded and drawn. Sooner, or with one of three, winners are lost
# where curves cross.
HALF, FIRST_RUNG = 2, 0.375
THIRD = 3  # of Hyperband, whose ladders begin at several places


def _median(first: int, last: int, **kwargs: object) -> pruners.BasePruner:
    return pruners.MedianPruner(**{'n_startup_trials': 4, 'n_warmup_steps': first, **kwargs})


def _halving(first: int, last: int, **kwargs: object) -> pruners.BasePruner:
    rung = max(first, math.ceil(FIRST_RUNG * last))
    return pruners.SuccessiveHalvingPruner(**{'min_resource': rung, 'reduction_factor': HALF, **kwargs})


def _hyperband(first: int, last: int, **kwargs: object) -> pruners.BasePruner:
    given = {'min_resource': first, 'max_resource': last, 'reduction_factor': THIRD, **kwargs}
    return pruners.HyperbandPruner(**given)


PRUNERS: Mapping[str, Callable[..., pruners.BasePruner]] = {
    'none': lambda first, last, **kwargs: pruners.NopPruner(**kwargs),
    'median': _median,
    'sha': _halving,
    'hyperband': _hyperband,
}


def make_pruner(name: str, kwargs: Mapping[str, object], first: int, last: int) -> pruners.BasePruner:
    """Make a pruner.

    Args:
        name: Out of PRUNERS.
        kwargs: Of Optuna's class, beside what follows from the run.
        first: Iteration of the first validation.
        last: Iterations of a whole run.

    Raises:
        SweepError: If it takes other arguments.
    """
    try:
        return PRUNERS[name](first, last, **kwargs)
    except (TypeError, ValueError) as error:
        takes = ', '.join(inspect.signature(CLASSES[name]).parameters) or 'no argument'
        raise SweepError(f'pruner {name} does not take {dict(kwargs)}: {error}; it takes {takes}.') from error


CLASSES = {
    'none': pruners.NopPruner,
    'median': pruners.MedianPruner,
    'sha': pruners.SuccessiveHalvingPruner,
    'hyperband': pruners.HyperbandPruner,
}

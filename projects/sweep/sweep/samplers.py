"""Samplers by name, seeded by the number of the trial they choose for.

Optuna keeps no sampler's state in its storage. One that is made anew for every trial, from the study's seed and the
trial's number, chooses the same in a sweep that was stopped ten times as in one that was not, and never the same as
another worker at the same time.
"""

import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from sweep.errors import SweepError
from sweep.space import Space

Make = Callable[[int], BaseSampler]


def _grid(space: Space, seed: int, **kwargs: object) -> BaseSampler:
    return optuna.samplers.GridSampler(grid_of(space), seed=seed, **kwargs)


# The grid is drawn in one order, whichever trial asks; the others take a seed of their trial.
SAMPLERS: Mapping[str, Callable[..., BaseSampler]] = {
    'tpe': lambda space, seed, **kwargs: optuna.samplers.TPESampler(seed=seed, **kwargs),
    'random': lambda space, seed, **kwargs: optuna.samplers.RandomSampler(seed=seed, **kwargs),
    'grid': _grid,
    'cmaes': lambda space, seed, **kwargs: optuna.samplers.CmaEsSampler(seed=seed, **kwargs),
    'gp': lambda space, seed, **kwargs: optuna.samplers.GPSampler(seed=seed, **kwargs),
}
NEEDS = {'cmaes': 'cmaes', 'gp': 'torch'}


def grid_of(space: Space) -> dict[str, list]:
    """All values of every dimension.

    Raises:
        SweepError: If one is continuous.
    """
    cells = {dimension.name: dimension.cells() for dimension in space.dimensions}
    for name, values in cells.items():
        if values is None:
            raise SweepError(f"sampler grid: '{name}' is continuous; give it a step (and no log), or make it a choice.")
    return cells


def make_sampler(name: str, kwargs: Mapping[str, object], space: Space, seed: int, objectives: int = 1) -> BaseSampler:
    """Make a sampler.

    Args:
        name: Out of SAMPLERS.
        kwargs: Of Optuna's class.
        space: What is searched.
        seed: Of the study.
        objectives: Number of figures.

    Raises:
        SweepError: If it takes other arguments, cannot search this space, or lacks a package.
    """
    if name == 'cmaes' and objectives > 1:
        raise SweepError(f'sampler cmaes goes by one objective; the sweep has {objectives}. Use tpe, gp or random.')

    def make(trial_seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', optuna.exceptions.ExperimentalWarning)
            return SAMPLERS[name](space, trial_seed, **kwargs)

    try:
        make(seed)
    except (TypeError, ValueError) as error:
        if isinstance(error, SweepError):
            raise
        raise SweepError(f'sampler {name} does not take {dict(kwargs)}: {error}') from error
    except ImportError as error:
        raise SweepError(f'sampler {name} needs a package: pip install {NEEDS.get(name, error.name)}.') from error
    return ByNumber(make, seed, one_order=name == 'grid')


class ByNumber(BaseSampler):
    """Another sampler, made anew for each trial.

    Args:
        make: Makes it from a seed.
        seed: Of the study.
        one_order: The sampler goes through one order of all trials, so that all have the study's seed.
    """

    def __init__(self, make: Make, seed: int, one_order: bool) -> None:
        self._make, self._seed, self._one_order = make, seed, one_order
        self._number, self._sampler = -1, make(seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """See `BaseSampler`."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, object]:
        """See `BaseSampler`."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> object:
        """See `BaseSampler`."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """See `BaseSampler`."""
        self._of(trial).before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """See `BaseSampler`. A grid that is done wants to stop Optuna's own loop; ours sees for itself."""
        if not self._one_order:
            self._of(trial).after_trial(study, trial, state, values)

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if trial.number != self._number:
            own = zlib.crc32(f'{self._seed}/{trial.number}'.encode())
            self._number, self._sampler = trial.number, self._make(self._seed if self._one_order else own)
        return self._sampler

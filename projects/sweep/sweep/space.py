"""The search space: what a sampler may choose, and which keys of the config that sets."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)  # fmt: skip

from sweep.errors import SweepError, require_known

DATA_ROOT = 'data_root'
DATA = 'data'  # an entry of a choice that is no key: how the data set of this choice is made
PLAIN = (type(None), bool, int, float, str)
NUMBER_KEYS = ('type', 'low', 'high', 'log', 'step')

Settings = dict[str, object]


@dataclass(frozen=True)
class Dimension:
    """One thing the sampler chooses.

    Attributes:
        name: Of Optuna's parameter: a dotted key, or the name of a choice that moves several.
        distribution: What may be chosen.
        moves: Of a choice, the keys that each label sets; empty for numbers, which set the key of their name.
        data: Of a choice, the arguments of `data_prep` that make a label's data set, for labels that have one.
    """

    name: str
    distribution: BaseDistribution
    moves: Mapping[object, Settings]
    data: Mapping[object, tuple[str, ...]]

    @property
    def keys(self) -> set[str]:
        """Dotted keys of the config that it sets."""
        own = {key for keys in self.moves.values() for key in keys} if self.moves else {self.name}
        return own | {DATA_ROOT} if self.data else own

    def suggest(self, trial: optuna.Trial) -> object:
        """Let the sampler choose."""
        asked = self.distribution
        if isinstance(asked, CategoricalDistribution):
            return trial.suggest_categorical(self.name, asked.choices)
        suggest = trial.suggest_int if isinstance(asked, IntDistribution) else trial.suggest_float
        return suggest(self.name, asked.low, asked.high, step=asked.step, log=asked.log)

    def settings(self, chosen: object) -> Settings:
        """Values by dotted key."""
        return dict(self.moves[chosen]) if self.moves else {self.name: chosen}

    def examples(self) -> Iterator[Settings]:
        """Settings of every label, or of both ends: if these can be set, all can."""
        ends = self.moves or dict.fromkeys((self.distribution.low, self.distribution.high))
        return map(self.settings, ends)

    def cells(self) -> list | None:
        """All values there are, None for one that is continuous."""
        if self.moves:
            return list(self.moves)
        low, high, step = self.distribution.low, self.distribution.high, self.distribution.step
        if step is None or self.distribution.log:
            return None
        return [low + step * index for index in range(math.floor((high - low) / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Space:
    """All dimensions; no two set the same key."""

    dimensions: tuple[Dimension, ...]

    def suggest(self, trial: optuna.Trial) -> Settings:
        """Let the sampler choose; values by dotted key, in the order of the file."""
        settings: Settings = {}
        for dimension in self.dimensions:
            settings |= dimension.settings(dimension.suggest(trial))
        return settings

    def data_of(self, params: Mapping[str, object]) -> tuple[str, ...] | None:
        """How the data set of chosen parameters is made; None where the config's own is used."""
        found = (dimension.data.get(params[dimension.name]) for dimension in self.dimensions if dimension.data)
        return next((arguments for arguments in found if arguments is not None), None)

    def examples(self) -> Iterator[tuple[str, Settings]]:
        """Settings of each dimension by its name, one after another."""
        return ((dimension.name, given) for dimension in self.dimensions for given in dimension.examples())

    @property
    def size(self) -> int | None:
        """Number of different trials there are, None without end."""
        cells = [dimension.cells() for dimension in self.dimensions]
        return None if None in cells else math.prod(map(len, cells))

    def as_text(self) -> dict[str, str]:
        """What was asked for, one line for each dimension, for comparison and for people."""
        return {
            item.name: optuna.distributions.distribution_to_json(item.distribution)
            + (f' {dict(item.moves)} {dict(item.data)}' if item.moves else '')
            for item in self.dimensions
        }


def read_space(given: object, place: str) -> Space:
    """Read a search space.

    Args:
        given: `{key: dict(type='float'|'int'|'choice', ...)}`.
        place: Said in errors.

    Raises:
        SweepError: If there is nothing to choose, an entry cannot be meant, or two set the same key.
    """
    if not isinstance(given, Mapping) or not given:
        raise SweepError(
            f"{place}: search_space must name at least one key, as {{'optim_wrapper.optimizer.lr': dict(type='float', "
            f'low=1e-5, high=1e-3, log=True)}}; got {given!r}.'
        )
    dimensions = tuple(_dimension(name, entry, f'{place}: search_space {name}') for name, entry in given.items())
    for one, other in itertools.combinations(dimensions, 2):
        both = one.keys & other.keys
        if both:
            raise SweepError(
                f"{place}: '{one.name}' and '{other.name}' both set {sorted(both)[0]}; leave it in one of them."
            )
    if sum(bool(dimension.data) for dimension in dimensions) > 1:
        raise SweepError(f'{place}: two choices make data sets; a trial trains on one, so merge them.')
    return Space(dimensions)


def _dimension(name: str, entry: object, place: str) -> Dimension:
    kinds = {'float': _number, 'int': _number, 'choice': _choice}
    if not isinstance(entry, Mapping) or entry.get('type') not in kinds:
        raise SweepError(f"{place}: must be dict(type='float'|'int'|'choice', ...); got {entry!r}.")
    return kinds[entry['type']](name, dict(entry), place)


def _number(name: str, entry: dict, place: str) -> Dimension:
    require_known(entry, NUMBER_KEYS, place)
    kind, log, step = entry['type'], entry.get('log', False), entry.get('step')
    numbers = {key: entry.get(key) for key in ('low', 'high')} | ({} if step is None else {'step': step})
    for key, value in numbers.items():
        fits = type(value) is int or (kind == 'float' and type(value) is float and math.isfinite(value))
        if not fits:
            word = 'a whole number' if kind == 'int' else 'a number'
            raise SweepError(f'{place}: {key} must be {word}; got {value!r}.')
    if numbers['low'] >= numbers['high']:
        raise SweepError(f'{place}: low must be below high; got {numbers["low"]} and {numbers["high"]}.')
    if log and (numbers['low'] <= 0 or step is not None):
        raise SweepError(f'{place}: log=True needs low above 0 and no step; got low={numbers["low"]}, step={step}.')
    if step is not None and step <= 0:
        raise SweepError(f'{place}: step must be above 0; got {step}.')
    low, high = numbers['low'], numbers['high']
    if kind == 'int':
        step = step or 1
        high = low + (high - low) // step * step  # Optuna warns of a range that is no multiple
        return Dimension(name, IntDistribution(low, high, log=bool(log), step=step), {}, {})
    if step is not None:
        high = low + math.floor((high - low) / step + 1e-9) * step
    return Dimension(name, FloatDistribution(low, high, log=bool(log), step=step), {}, {})


def _choice(name: str, entry: dict, place: str) -> Dimension:
    require_known(entry, ('type', 'choices'), place)
    choices = entry.get('choices')
    if not isinstance(choices, Mapping | list | tuple) or not choices:
        raise SweepError(f'{place}: choices must be a list of values or a dict of settings by name; got {choices!r}.')
    if not isinstance(choices, Mapping):
        labels = [value if isinstance(value, PLAIN) else repr(value) for value in choices]
        if len({repr(label) for label in labels}) < len(labels):
            raise SweepError(f'{place}: the same value stands twice in {list(choices)!r}; leave it once.')
        moves = {label: {name: value} for label, value in zip(labels, choices, strict=True)}
        return Dimension(name, CategoricalDistribution(labels), moves, {})
    moves, data = {}, {}
    for label, settings in choices.items():
        if not isinstance(label, str) or not isinstance(settings, Mapping) or not settings:
            raise SweepError(
                f"{place}: choices by name must be {{'name': {{'dotted.key': value}}}}; got {label!r}: {settings!r}."
            )
        moves[label] = {key: value for key, value in settings.items() if key != DATA}
        if DATA in settings:
            data[label] = _arguments(settings[DATA], f'{place}: {label}: {DATA}')
    _require_same_keys(moves, place)
    return Dimension(name, CategoricalDistribution(list(moves)), moves, data)


def _arguments(given: object, place: str) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not given:
        raise SweepError(f"{place}: must be arguments of data_prep, as ['tile', 'scenes', ...]; got {given!r}.")
    words = tuple(map(str, given))
    if '--out' in words or any(word.startswith('--out=') for word in words):
        raise SweepError(f'{place}: --out is chosen by the sweep; leave it out.')
    return words


def _require_same_keys(moves: Mapping[str, Settings], place: str) -> None:
    """A key that only some labels set would keep the base's value in the others, which is seldom meant; say so."""
    every = set().union(*moves.values())
    for label, settings in moves.items():
        missing = sorted(every - set(settings))
        if missing:
            raise SweepError(f"{place}: '{label}' does not set {missing[0]}, which others set; state it there too.")

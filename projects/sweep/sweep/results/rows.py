"""What each trial came to, read once from the study for the table, the CSV, the page and the rest."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.space import Space

WORDS = {
    TrialState.COMPLETE: 'done',
    TrialState.PRUNED: 'pruned',
    TrialState.FAIL: 'failed',
    TrialState.RUNNING: 'running',
    TrialState.WAITING: 'waiting',
}
ORDER = ('done', 'pruned', 'running', 'waiting', 'infeasible', 'failed', 'retried', 'skipped')


class SweepFacts(Protocol):
    """What the results need to know of a sweep file.

    Attributes:
        base: The config that the sweep inherits.
        space: What was searched.
        objectives: Name and 'maximize' or 'minimize' of each figure, the first one first.
        options: Values by dotted key that all trials have.
        enqueue: Parameters that were tried first; the first of them are the default.
        finalists: How many of the best are trained anew.
        final: Options that change for these.
    """

    base: str | Path
    space: Space
    objectives: Sequence[tuple[str, str]]
    options: Mapping[str, object]
    enqueue: Sequence[Mapping[str, object]]
    finalists: int
    final: Mapping[str, object]


@dataclass(frozen=True)
class Row:
    """One trial. What is not known is None.

    Attributes:
        number: As Optuna counts.
        state: One of ORDER.
        params: What the sampler chose, by the names of the search space.
        values: What that sets, by dotted key of the config.
        figures: One for each objective; of a pruned trial the last one that it reported.
        best_iteration: Where the first objective was best.
        iterations: How far it trained.
        seconds: Of training, all attempts together.
        seconds_per_image: Of a test image.
        memory_mb: Most memory held at once.
        retries: How often it was begun again after its process had died.
        reason: Why there is no figure, in words.
    """

    number: int
    state: str
    params: Mapping[str, object]
    values: Mapping[str, object]
    figures: tuple[float | None, ...]
    best_iteration: int | None = None
    iterations: int | None = None
    seconds: float | None = None
    seconds_per_image: float | None = None
    memory_mb: float | None = None
    retries: int = 0
    reason: str = ''
    curve: tuple[tuple[int, float], ...] = field(default=(), repr=False)


def rows_of(study: optuna.Study, sweep_file: SweepFacts) -> list[Row]:
    """All trials of a study, the best on top: by state as in ORDER, then by the first objective.

    A trial that Optuna began again under another number after its process had died stays in the list as 'retried'.
    """
    trials = study.get_trials(deepcopy=False)
    # What Optuna's retry callback notes; its own readers of it warn of being experimental at each call.
    again = {number: trial.number for trial in trials for number in trial.system_attrs.get('retry_history', ())}
    rows = [_row(trial, sweep_file, again.get(trial.number)) for trial in trials]
    sign = -1 if sweep_file.objectives[0][1] == 'maximize' else 1

    def place(row: Row) -> tuple:
        first = row.figures[0]
        return ORDER.index(row.state), math.inf if first is None else sign * first, row.number

    return sorted(rows, key=place)


def best_row(rows: Sequence[Row]) -> Row | None:
    """The trial that has run to its end with the best first objective; None while there is none."""
    return rows[0] if rows and rows[0].state == 'done' else None


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a trial has run to its end within its constraints."""
    within = all(value <= 0 for value in trial.constraints.values())
    refused = trial.user_attrs.get('infeasible') or trial.user_attrs.get('skipped')
    return trial.state == TrialState.COMPLETE and not refused and within


def _row(trial: FrozenTrial, sweep_file: SweepFacts, retried_as: int | None) -> Row:
    said, curve = trial.user_attrs, tuple(sorted(trial.intermediate_values.items()))
    state = WORDS[trial.state]
    if said.get('skipped'):  # not trained: the same as another trial, or outside the constraints
        state = 'skipped'
    elif said.get('infeasible') or (state == 'done' and not is_feasible(trial)):
        state = 'infeasible'
    elif retried_as is not None and state == 'failed':
        state = 'retried'
    better = max if sweep_file.objectives[0][1] == 'maximize' else min
    finite = [point for point in curve if math.isfinite(point[1])]
    best = better(finite, key=lambda point: point[1])[0] if finite else said.get('best_iteration')
    return Row(
        number=trial.number,
        state=state,
        params=dict(trial.params),
        values=_values(trial, sweep_file.space),
        figures=_figures(trial, len(sweep_file.objectives)),
        best_iteration=best,
        iterations=said.get('iterations') or (curve[-1][0] if curve else None),
        seconds=said.get('seconds'),
        seconds_per_image=said.get('seconds_per_image'),
        memory_mb=said.get('memory_mb'),
        retries=said.get('retries') or 0,
        reason=_reason(trial, state, retried_as),
        curve=curve,
    )


def _values(trial: FrozenTrial, space: Space) -> dict[str, object]:
    """What the trial set, as the space says it: a storage keeps JSON, which turns tuples into lists."""
    values = dict(trial.user_attrs.get('values') or {})
    for dimension in space.dimensions:
        if dimension.name in trial.params:
            values |= dimension.settings(trial.params[dimension.name])
    return values


def _figures(trial: FrozenTrial, count: int) -> tuple[float | None, ...]:
    values = trial.values or [None] * count
    return tuple(value if value is not None and math.isfinite(value) else None for value in values)


def _reason(trial: FrozenTrial, state: str, retried_as: int | None) -> str:
    if state == 'retried':
        return f'its process died; goes on as trial {retried_as}'
    said = trial.user_attrs.get('skipped') or trial.user_attrs.get('infeasible') or trial.user_attrs.get('reason')
    broken = [name for name, value in trial.constraints.items() if value > 0]
    if not said and broken:
        said = f'constraint not met: {", ".join(map(str, broken))}'
    return one_line(said or '')


def short_names(names: Sequence[str]) -> dict[str, str]:
    """The shortest end of each dotted key that no other one has, for the heads of tables."""
    short = {}
    for name in names:
        parts = name.split('.')
        ends = ('.'.join(parts[-n:]) for n in range(1, len(parts) + 1))
        short[name] = next(
            (end for end in ends if not any(o != name and f'.{o}'.endswith(f'.{end}') for o in names)), name
        )
    return short


def param_names(rows: Sequence[Row]) -> list[str]:
    """Names of all that was sampled, in the order of the first trial that has them."""
    return list(dict.fromkeys(name for row in sorted(rows, key=lambda row: row.number) for name in row.params))


def shown(value: object) -> str:
    """A value as a short text: four figures of a number, one line of anything else, nothing for None."""
    if value is None:
        return ''
    if isinstance(value, float):
        return f'{value:.4g}'
    return one_line(value if isinstance(value, str) else json.dumps(value, default=str))


def one_line(text: object) -> str:
    """Text without line ends and control characters, so that a name cannot draw on a terminal."""
    return ' '.join(''.join(c if c.isprintable() else ' ' for c in str(text)).split())

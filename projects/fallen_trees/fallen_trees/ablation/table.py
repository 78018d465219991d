"""The one table of an ablation: mean and spread over the seeds, and the difference to the first arm.

Spread is the standard deviation over seeds, with n - 1. Differences are taken seed by seed, arms of one seed having
the same order of samples, and their spread is over the seeds that both arms have. What is not there is left empty, and
so is a figure that COCO gives as -1, having nothing to measure.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from data_prep.atomic import atomic_write
from fallen_trees.ablation.ablation_file import VALIDATION, Ablation
from fallen_trees.ablation.record import read_record

Column = tuple[str, str]  # set, figure
RECORDED = ('seed', 'trained', 'tests', 'spent', 'failed')


@dataclass(frozen=True)
class Cell:
    """A figure of an arm, None where it is unknown.

    Attributes:
        n: Seeds that have it.
        mean: Over them.
        spread: Standard deviation over them.
        difference: To the first arm, mean over the seeds both have.
        difference_spread: Standard deviation of that.
    """

    n: int = 0
    mean: float | None = None
    spread: float | None = None
    difference: float | None = None
    difference_spread: float | None = None

    def __str__(self) -> str:
        text = '' if self.mean is None else f'{self.mean:.3f}{_plus_minus(self.spread)}'
        if self.difference is None:
            return text
        return f'{text} ({self.difference:+.3f}{_plus_minus(self.difference_spread)})'


@dataclass(frozen=True)
class Row:
    """One arm: its seeds that are done with training, its cells, the commits and the mean minutes of a unit."""

    arm: str
    n: int
    cells: Mapping[Column, Cell]
    commits: tuple[str, ...]
    minutes: float | None


def columns_of(ablation: Ablation) -> list[Column]:
    """Figures of the table, in its order."""
    sets = [(VALIDATION, ablation.metrics), *((item.name, item.metrics) for item in ablation.tests)]
    return [(name, metric) for name, metrics in sets for metric in metrics]


def rows_of(ablation: Ablation, folder: Path) -> list[Row]:
    """Collect what all arms of an ablation have come to.

    Args:
        ablation: Its arms, seeds and figures.
        folder: Where its units lie.
    """
    records = {
        arm: {seed: read_record(folder / arm / f'seed_{seed}') for seed in ablation.seeds} for arm in ablation.arms
    }
    first = next(iter(ablation.arms))
    rows = []
    for arm, units in records.items():
        against = None if arm == first else records[first]
        cells = {column: _cell(column, units, against) for column in columns_of(ablation)}
        trained = [unit for unit in units.values() if 'trained' in unit]
        minutes = [sum(unit['spent'].values()) / 60 for unit in trained]
        commits = {done['commit'] for unit in trained for done in (unit['trained'], *unit.get('tests', {}).values())}
        commits = tuple(sorted(filter(None, commits)))
        rows.append(Row(arm, len(trained), cells, commits, statistics.fmean(minutes) if minutes else None))
    return rows


def _cell(column: Column, units: Mapping[int, dict], against: Mapping[int, dict] | None) -> Cell:
    values = {seed: value for seed, unit in units.items() if (value := figure(unit, column)) is not None}
    if not values:
        return Cell()
    base = {seed: figure(unit, column) for seed, unit in (against or {}).items()}
    differences = [value - base[seed] for seed, value in values.items() if base.get(seed) is not None]
    return Cell(len(values), *_mean_and_spread([*values.values()]), *_mean_and_spread(differences))


def figure(record: Mapping, column: Column) -> float | None:
    """One figure of a unit's record."""
    name, metric = column
    done = record.get('trained', {}) if name == VALIDATION else record.get('tests', {}).get(name, {})
    value = done.get('figures', {}).get(metric)
    return None if value == -1 else value


def _mean_and_spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    if not values:
        return None, None
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _plus_minus(spread: float | None) -> str:
    return '' if spread is None else f' ± {spread:.3f}'


def missing_figures(ablation: Ablation, folder: Path) -> list[str]:
    """Say which columns stay empty because their name is not among the figures of their set."""
    lines = {}
    for name, metric in columns_of(ablation):
        for arm in ablation.arms:
            record = read_record(folder / arm / f'seed_{ablation.seeds[0]}')
            done = record.get('trained') if name == VALIDATION else record.get('tests', {}).get(name)
            if done and metric not in done['figures']:
                there = ', '.join(done['figures'])
                lines[name, metric] = f'{name}: there is no figure {metric}, so its column is empty; there are {there}.'
    return list(lines.values())


def markdown(ablation: Ablation, rows: Sequence[Row], command: str) -> str:
    """The table, with the command that makes it."""
    columns = columns_of(ablation)
    head = ['arm', 'n', *(f'{name} {metric.removeprefix("coco/")}' for name, metric in columns), 'minutes', 'commit']
    body = [
        [row.arm, str(row.n), *(str(row.cells[column]) for column in columns),
         '' if row.minutes is None else f'{row.minutes:.1f}', ' '.join(row.commits)]
        for row in rows
    ]  # fmt: skip
    lines = '\n'.join(f'| {" | ".join(line)} |' for line in [head, ['---'] * len(head), *body])
    note = (
        f'Mean ± standard deviation over up to {len(ablation.seeds)} seeds; in brackets the difference to '
        f'`{next(iter(ablation.arms))}`, seed by seed. n: seeds that are trained; minutes: of a unit, tests included.'
    )
    return f'{lines}\n\n{note}\n```\n{command}\n```\n'


def write_results(ablation: Ablation, folder: Path, command: str) -> str:
    """Write `results.md` and `results.json` into the folder of an ablation; returns the Markdown."""
    rows = rows_of(ablation, folder)
    text = markdown(ablation, rows, command)
    content = dict(ablation=str(ablation.path), command=command, seeds=ablation.seeds, arms=[])
    for row in rows:
        units = {seed: read_record(folder / row.arm / f'seed_{seed}') for seed in ablation.seeds}
        cells = [dict(set=name, figure=metric, **asdict(cell)) for (name, metric), cell in row.cells.items()]
        runs = [{key: unit.get(key) for key in RECORDED} for unit in units.values() if unit]
        facts = dict(arm=row.arm, options=ablation.arms[row.arm], n=row.n, minutes=row.minutes, commits=row.commits)
        content['arms'].append(dict(facts, cells=cells, units=runs))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / 'results.json') as file:
        json.dump(content, file, indent=1, default=repr)
    with atomic_write(folder / 'results.md') as file:
        file.write(text)
    return text

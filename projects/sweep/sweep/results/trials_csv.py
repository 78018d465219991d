"""All trials as one CSV, for spreadsheets and pandas."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from data_prep.atomic import atomic_write
from sweep.results.rows import Row, SweepFacts, param_names

FACTS = ('best_iteration', 'iterations', 'seconds', 'seconds_per_image', 'memory_mb', 'retries', 'reason')


def write_csv(rows: Sequence[Row], sweep_file: SweepFacts, path: Path) -> None:
    """Write one line for each trial, in the order of their numbers; its folder must exist.

    Columns: number, state, each objective, each parameter of the search space, each key of the config that these set
    and that has another name, then FACTS. Unknown is empty; lists and dicts are JSON; numbers have all their digits.
    """
    params = param_names(rows)
    keys = [key for key in _keys(rows) if key not in params]
    objectives = [name for name, _ in sweep_file.objectives]
    with atomic_write(path) as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow(['number', 'state', *objectives, *params, *keys, *FACTS])
        for row in sorted(rows, key=lambda row: row.number):
            chosen = [row.params.get(name) for name in params] + [row.values.get(key) for key in keys]
            facts = [getattr(row, name) for name in FACTS]
            table.writerow([row.number, row.state, *map(_cell, [*row.figures, *chosen, *facts])])


def _keys(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row.values))


def _cell(value: object) -> object:
    if value is None:
        return ''
    return json.dumps(value, default=str) if isinstance(value, list | tuple | dict | bool) else value

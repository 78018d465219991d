"""The trials as aligned lines for a terminal, and as Markdown with the best on top."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import optuna

from data_prep.atomic import atomic_write
from sweep.results.pareto import front_of
from sweep.results.rows import Row, SweepFacts, best_row, one_line, param_names, rows_of, short_names, shown

FACTS = ('best at', 'iterations', 'minutes', 's/image', 'MB', 'retries', 'reason')


def table_lines(study: optuna.Study, sweep_file: SweepFacts, width: int | None = None, most: int = 20) -> list[str]:
    """The state of a study as lines for a terminal, the best trial on top, running ones always among them.

    Args:
        study: The study.
        sweep_file: Its objectives.
        width: Characters of a line; None takes the terminal's. Longer lines are cut.
        most: Trials to show at most; how many more there are stands in the last line.

    Returns:
        Lines without line ends and control characters.
    """
    rows = rows_of(study, sweep_file)
    width = width or shutil.get_terminal_size((120, 24)).columns
    running = [row for row in rows if row.state == 'running']
    others = [row for row in rows if row.state != 'running']
    chosen = sorted(running + others[: max(most - len(running), 1)], key=rows.index)
    lines = cells_of(chosen, sweep_file)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ['  '.join(cell.ljust(size) for cell, size in zip(line, widths, strict=True)).rstrip() for line in lines]
    if len(rows) > len(chosen):
        text.append(f'and {len(rows) - len(chosen)} more')
    return [line[:width] for line in [summary(study.study_name, rows, sweep_file), *(text if rows else [])]]


class LiveTable:
    """A table that is drawn over itself on a terminal; elsewhere each trial that ends adds one plain line."""

    def __init__(self, stream: TextIO, sweep_file: SweepFacts) -> None:
        self._stream, self._sweep_file = stream, sweep_file
        self._drawn, self._told = 0, set[int]()

    def update(self, study: optuna.Study) -> None:
        """Show what has changed."""
        if self._stream.isatty():
            size = shutil.get_terminal_size((120, 24))
            lines = table_lines(study, self._sweep_file, size.columns - 1, most=max(size.lines - 5, 3))
            back = f'\x1b[{self._drawn}F\x1b[J' if self._drawn else ''
            self._stream.write(back + '\n'.join(lines) + '\n')
            self._drawn = len(lines)
        else:
            self._tell(rows_of(study, self._sweep_file))
        self._stream.flush()

    def _tell(self, rows: Sequence[Row]) -> None:
        ended = [row for row in rows if row.state not in ('running', 'waiting') and row.number not in self._told]
        for row in sorted(ended, key=lambda row: row.number):
            head, line = cells_of([row], self._sweep_file)
            said = ', '.join(f'{name} {cell}' for name, cell in zip(head[2:], line[2:], strict=True) if cell)
            self._stream.write(f'trial {row.number} {row.state}{": " if said else ""}{said}\n')
            self._told.add(row.number)


def summary(study: str, rows: Sequence[Row], sweep_file: SweepFacts) -> str:
    """How many trials there are of each state, and the best, in one line."""
    states = [row.state for row in rows]
    counts = ', '.join(f'{states.count(state)} {state}' for state in dict.fromkeys(states)) or 'no trials'
    best, (name, _) = best_row(rows), sweep_file.objectives[0]
    so_far = f'; best {one_line(name)} {_figure(best.figures[0])}, trial {best.number}' if best else ''
    return f'{one_line(study)}: {counts}{so_far}'


def write_markdown(study: str, rows: Sequence[Row], sweep_file: SweepFacts, path: Path) -> None:
    """Write `results.md`: all trials, the best on top, and with several objectives the front; its folder must exist."""
    best, (name, _) = best_row(rows), sweep_file.objectives[0]
    parts = [f'# {_escaped(study)}', _escaped(summary(study, rows, sweep_file)) + '.']
    if best is None:
        parts.append(f'No trial has run to its end, so there is no best {_escaped(name)} and no `best.py`.')
    if len(sweep_file.objectives) > 1:
        parts.append(
            f'## Pareto front\n{_markdown(front_of(rows, sweep_file.objectives), sweep_file)}\n\n## All trials'
        )
    parts.append(_markdown(rows, sweep_file))
    parts.append(
        'A pruned trial shows the last figure that it reported; it does not compete with those that ran to the end.'
    )
    with atomic_write(path) as file:
        file.write('\n\n'.join(parts) + '\n')


def _markdown(rows: Sequence[Row], sweep_file: SweepFacts) -> str:
    head, *body = ([_escaped(cell) for cell in line] for line in cells_of(rows, sweep_file))
    return '\n'.join(f'| {" | ".join(line)} |' for line in [head, ['---'] * len(head), *body])


def cells_of(rows: Sequence[Row], sweep_file: SweepFacts) -> list[list[str]]:
    """Head and one line for each row, as texts of one line each; what no row has, has no column."""
    params = param_names(rows)
    short = short_names(params)
    head = ['trial', 'state', *(name.removeprefix('coco/') for name, _ in sweep_file.objectives)]
    head += [*(short[name] for name in params), *FACTS]
    lines = [
        [str(row.number), row.state, *(_figure(value) for value in row.figures),
         *(shown(row.params.get(name)) for name in params), *_facts(row)]
        for row in rows
    ]  # fmt: skip
    used = [n for n in range(len(head)) if n < 3 or any(line[n] for line in lines)]
    return [[one_line(line[n]) for n in used] for line in (head, *lines)]


def _facts(row: Row) -> list[str]:
    minutes = '' if row.seconds is None else f'{row.seconds / 60:.1f}'
    memory = '' if row.memory_mb is None else f'{row.memory_mb:.0f}'
    return [shown(row.best_iteration), shown(row.iterations), minutes, shown(row.seconds_per_image), memory,
            str(row.retries or ''), row.reason]  # fmt: skip


def _figure(value: float | None) -> str:
    return '' if value is None else f'{value:.4f}' if abs(value) < 10 else f'{value:.1f}'


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, inside a table too."""
    text = one_line(text).replace('\\', '\\\\')
    for sign in '|<>`*[]':
        text = text.replace(sign, f'\\{sign}')
    return text

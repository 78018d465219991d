"""The Pareto front: trials that no other one beats in everything."""

from collections.abc import Sequence
from dataclasses import replace

from sweep.results.rows import Row, SweepFacts

COSTS = {'seconds_per_image': 'seconds per image', 'memory_mb': 'memory, MB'}


def front_of(rows: Sequence[Row], objectives: Sequence[tuple[str, str]]) -> list[Row]:
    """Trials that ran to their end and that no other one equals or betters in all objectives and beats in one.

    Args:
        rows: All trials, best first.
        objectives: Name and 'maximize' or 'minimize', as the rows have figures.
    """
    signs = [-1 if direction == 'maximize' else 1 for _, direction in objectives]
    done = [row for row in rows if row.state == 'done' and None not in row.figures]
    costs = {row.number: tuple(s * f for s, f in zip(signs, row.figures, strict=True)) for row in done}
    return [row for row in done if not any(_beats(other, costs[row.number]) for other in costs.values())]


def against_cost(rows: Sequence[Row], sweep_file: SweepFacts, cost: str) -> tuple[list[Row], list[Row]]:
    """The first objective against one of COSTS.

    Returns:
        Rows whose figures are these two, of all trials that ran to their end and know the cost: those on the front,
        the cheapest first, and the others.
    """
    pairs = [
        replace(row, figures=(row.figures[0], getattr(row, cost)))
        for row in rows
        if row.state == 'done' and getattr(row, cost) is not None
    ]
    front = front_of(pairs, [sweep_file.objectives[0], (cost, 'minimize')])
    on = {row.number for row in front}
    return sorted(front, key=lambda row: row.figures[1]), [row for row in pairs if row.number not in on]


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))

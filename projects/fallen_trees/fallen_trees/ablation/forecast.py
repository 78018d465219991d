"""What is left of an ablation, and how long it will take, by the units that are done."""

import statistics
from collections.abc import Sequence

from fallen_trees.ablation.unit import TRAIN, Unit


def forecast(units: Sequence[Unit], jobs: int, unit_minutes: float | None) -> list[str]:
    """Lines of a plan: one for every unit that is not done, and an estimate.

    A unit is taken to cost what those of its arm cost, else what others cost for as many iterations, else
    `unit_minutes`; one that is begun counts in full.
    """
    todo = [unit for unit in units if unit.next_stage() is not None]
    lines = [f'{unit}: {_what_is_left(unit)}' for unit in todo]
    arms, done = len({unit.arm.name for unit in units}), len(units) - len(todo)
    lines.append(f'{len(units)} units, {arms} arms: {done} done, {len(todo)} to do, {jobs} at a time.')
    costs = [_minutes(unit, units, unit_minutes) for unit in todo]
    if None in costs:
        lines.append('No estimate: no unit is done yet, and unit_minutes is not set.')
    elif todo:
        lines.append(f'Estimate: {sum(costs):.0f} minutes of units, {sum(costs) / min(jobs, len(todo)):.0f} in all.')
    return lines


def _what_is_left(unit: Unit) -> str:
    record, tests = unit.record, ', '.join(unit.tests)
    if 'trained' in record:
        return f'trained; from test {unit.next_stage()} on'
    begun = 'go on with training' if record.get('settings') else 'train'
    return f'{begun}, test on {tests}' if tests else begun


def _minutes(unit: Unit, units: Sequence[Unit], given: float | None) -> float | None:
    record = unit.record
    known = {other: spent for other in units if (spent := _spent(other)) is not None}
    own = [sum(spent.values()) for other, spent in known.items() if other.arm.name == unit.arm.name]
    rates = [
        sum(spent.values()) / other.arm.max_iters * unit.arm.max_iters
        for other, spent in known.items() if other.arm.max_iters and unit.arm.max_iters
    ]  # fmt: skip
    if not own and not rates and given is None:
        return None
    minutes = statistics.fmean(own or rates) if own or rates else given
    return max(0.0, minutes - record['spent'].get(TRAIN, 0) / 60) if 'trained' in record else minutes


def _spent(unit: Unit) -> dict[str, float] | None:
    """Minutes by stage of a unit that is done."""
    if unit.next_stage() is not None:
        return None
    return {stage: seconds / 60 for stage, seconds in unit.record['spent'].items()}

"""`tools/sweep.py` behind its flags: open, check everything, work, say how it went."""

import dataclasses
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.trial import TrialState

from sweep.claims import SKIPPED, Claims
from sweep.data_sets import DataSets
from sweep.errors import StorageFailure, SweepError
from sweep.pruners import PRUNERS
from sweep.results import write_results
from sweep.samplers import SAMPLERS
from sweep.storage import open_storage
from sweep.study import open_study
from sweep.sweep_file import SweepFile, named, read_sweep
from sweep.training import Training
from sweep.worker import Worker

HEARTBEAT_S = 60
RESULTS_EVERY = 10  # times as long between two of them as one takes
Say = Callable[[str], None]


def settle(args: Namespace) -> SweepFile:
    """Read the sweep file; what the command line says goes before it.

    Raises:
        SweepError: If either says something that cannot be meant.
    """
    sweep_file = read_sweep(args.file)
    said = {key: value for key, value in (('max_trials', args.trials), ('seed', args.seed)) if value is not None}
    if args.sampler:
        said['sampler'] = named(args.sampler, SAMPLERS, '--sampler')
    if args.pruner:
        said['pruner'] = named(args.pruner, PRUNERS, '--pruner')
    for flag, value in (('--trials', args.trials), ('--workers', args.workers), ('--heartbeat', args.heartbeat)):
        if value is not None and value < 1:
            raise SweepError(f'{flag} must be at least 1; got {value}.')
    return dataclasses.replace(sweep_file, **said)


def run(args: Namespace, sweep_file: SweepFile, training: Training, root: Path, say: Say) -> int:
    """Do what the command line asks for.

    Args:
        args: Of the command.
        sweep_file: As `settle` read it.
        training: Of its base config.
        root: Folder of all studies, unless --work-dir names this one's.
        say: Takes lines.

    Returns:
        The exit code.

    Raises:
        SweepError: If the sweep cannot run.
        StorageFailure: If the storage does not answer.
    """
    name = args.study or sweep_file.name
    folder = Path(args.work_dir or root / name).resolve()
    check(sweep_file, training)
    if args.dry_run:
        for line in plan_of(sweep_file, training, folder):
            say(line)
        return 0
    storage = open_storage(args.storage, folder, args.heartbeat)
    study = open_study(storage, name, sweep_file, training)
    results = Results(study, sweep_file, folder, say)
    if args.results_only:
        results.write()
        return 0
    data_sets = DataSets(folder / 'data', training)
    claims = Claims(study, storage, sweep_file, training, data_sets, folder, sweep_file.max_trials, 3 * args.heartbeat)
    worker = Worker(
        study, storage, sweep_file, training, claims, data_sets, args.workers, args.heartbeat, say, results.write
    )  # fmt: skip
    code = worker.run()
    results.write(now=True)
    return code if worker.signum is not None else ending(study, sweep_file, worker.trouble, say)


def check(sweep_file: SweepFile, training: Training) -> None:
    """Refuse, before anything is made, what every trial would stumble over.

    Raises:
        SweepError: For what concerns the sweep file; the training's own error for its config.
    """
    for name, settings in sweep_file.space.examples():
        try:
            training.check(settings)
        except ValueError as error:
            raise SweepError(f'{sweep_file.path}: search_space {name}: {error}') from error
    if not any(dimension.data for dimension in sweep_file.space.dimensions):
        training.check_data()
    example = dict(item for _, settings in sweep_file.space.examples() for item in settings.items())
    for constraint in sweep_file.constraints:
        constraint.holds(lambda key: example[key] if key in example else training.value(key))


def plan_of(sweep_file: SweepFile, training: Training, folder: Path) -> list[str]:
    """What would run, in lines."""
    iterations, validation, _ = training.length()
    size = sweep_file.space.size
    lines = [f'{sweep_file.name}: {sweep_file.base}', f'in {folder}']
    for dimension in sweep_file.space.dimensions:
        what = ', '.join(map(str, dimension.moves)) if dimension.moves else dimension.distribution
        lines.append(f'  {dimension.name}: {what}')
    lines += [f'  must hold: {constraint.text}' for constraint in sweep_file.constraints]
    lines.append('by ' + ', '.join(f'{direction} {name}' for name, direction in sweep_file.objectives))
    lines.append(
        f'{sweep_file.max_trials} trials' + (f' of {size} there are' if size else '') + f', each {iterations} '
        f'iterations, validated every {validation}; sampler {sweep_file.sampler[0]}, pruner {sweep_file.pruner[0]}'
    )
    return lines


def ending(study: optuna.Study, sweep_file: SweepFile, trouble: str, say: Say) -> int:
    """Say how it went; returns 0, or 1 where something is to be looked at."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if SKIPPED not in trial.user_attrs]
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    infeasible = [trial for trial in trials if trial.user_attrs.get('infeasible')]
    for trial in trials:
        if trial.state == TrialState.RUNNING:
            say(f'trial {trial.number}: {trial.user_attrs.get("owner") or "another worker"} is at it.')
    if trouble:
        print(f'error: {trouble}', file=sys.stderr)
    elif not done and (failed or infeasible):
        last = (failed + infeasible)[-1]
        why = last.user_attrs.get('infeasible') or last.user_attrs.get('reason')
        print(
            f'error: none of {len(trials)} trials came to a figure: {len(infeasible)} could not run, {len(failed)} '
            f'failed; trial {last.number}: {why}', file=sys.stderr,
        )  # fmt: skip
    elif failed:
        print(f'error: {len(failed)} of {len(trials)} trials failed: {_numbers(failed)}', file=sys.stderr)
    return int(bool(trouble or failed or not done))


@contextmanager
def one_line_endings() -> Iterator[None]:
    """Turn this room's errors into one line on stderr and an exit code.

    Raises:
        SystemExit: 2 for wrong input, 3 when the storage does not answer.
    """
    try:
        yield
    except (SweepError, StorageFailure) as error:
        print(f'error: {" ".join(str(error).split())}', file=sys.stderr, flush=True)
        raise SystemExit(2 if isinstance(error, SweepError) else 3) from error


class Results:
    """Writes a study's results after its trials, as long as that takes little of the time."""

    def __init__(self, study: optuna.Study, sweep_file: SweepFile, folder: Path, say: Say) -> None:
        self.study, self.sweep_file, self.folder, self.say = study, sweep_file, folder, say
        self._wait_until = 0.0

    def write(self, now: bool = False) -> None:
        """Write them, unless that was done a moment ago; a page that cannot be drawn must not end a week's sweep."""
        began = time.monotonic()
        if began < self._wait_until and not now:
            return
        try:
            write_results(self.study, self.sweep_file, self.folder)
        except Exception as error:
            self.say(f'the results could not be written: {type(error).__name__}: {error}')
        self._wait_until = time.monotonic() + RESULTS_EVERY * (time.monotonic() - began)


def _numbers(trials: list[optuna.trial.FrozenTrial]) -> str:
    return ', '.join(str(trial.number) for trial in trials)

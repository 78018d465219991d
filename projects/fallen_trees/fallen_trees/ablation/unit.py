"""One unit of an ablation, an arm with a seed: a training run, then one test of its best checkpoint per test set."""

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmengine.config import Config

from data_prep.atomic import atomic_write
from fallen_trees.ablation.plan import Arm, TestPlan, as_text, digest, seeded, tool_path
from fallen_trees.ablation.process import lock_file_of, set_aside
from fallen_trees.ablation.record import (
    best_checkpoint,
    clock_in,
    clock_out,
    read_figures,
    read_record,
    write_record,
)  # fmt: skip
from fallen_trees.errors import ConfigError
from fallen_trees.resume.checkpoint_file import checkpoints_in
from fallen_trees.resume.config_diff import changes

TRAIN = 'train'
SHOWN = 4  # changes named in an error


@dataclass(frozen=True, eq=False)
class Unit:
    """An arm with a seed, and the folder of what it does: `ARM/seed_N`, its configs beside it.

    Every method reads the record anew, so that two ablations on one folder see what the other has done.
    """

    arm: Arm
    seed: int
    folder: Path

    def __str__(self) -> str:
        return f'{self.arm.name}, seed {self.seed}'

    @cached_property
    def tests(self) -> dict[str, TestPlan]:
        """What the best checkpoint is scored on, by name."""
        return {item.test_set.name: item for item in self.arm.tests}

    @property
    def record(self) -> dict:
        """What is done so far."""
        return read_record(self.folder)

    def next_stage(self) -> str | None:
        """Name what has to be done next: 'train' or a test set; None when the unit is done."""
        record = self.record
        if 'trained' not in record:
            return TRAIN
        done = record.get('tests', {})
        todo = (name for name in self.tests if done.get(name, {}).get('hash') != digest(self.tests[name].settings))
        return next(todo, None)

    def change(self) -> str | None:
        """Say what makes the run that was begun another one than that of now; None if nothing, or nothing is lost."""
        record = self.record
        if 'settings' not in record or not ('trained' in record or checkpoints_in(self.folder)):
            return None
        found = changes(record['settings'], self.arm.settings)
        more = f'; and {len(found) - SHOWN} more' if len(found) > SHOWN else ''
        return '; '.join(map(str, found[:SHOWN])) + more if found else None

    @property
    def lock_file(self) -> Path:
        """Locked while anybody works on the unit."""
        return lock_file_of(self.folder)

    def set_aside(self) -> Path:
        """Rename the folder of a run that is not wanted any more; nothing is deleted.

        Raises:
            ConfigError: If somebody works on the unit.
        """
        return set_aside(self.folder, str(self))

    def begin(self, stage: str) -> list[str]:
        """Note that a stage begins, and write its config.

        Returns:
            The command.
        """
        record = self.record
        if stage == TRAIN:
            record |= dict(arm=self.arm.name, seed=self.seed, settings=self.arm.settings)
            config, tool = self.folder.with_suffix('.py'), self.arm.tool
            rest = ['--work-dir', self.folder, '--resume']
            self._write(config, seeded(self.arm.cfg, self.seed))
        else:
            test_set, out = self.tests[stage].test_set, self.folder / f'test_{stage}'
            (out / 'metrics.json').unlink(missing_ok=True)
            config, tool = self.folder.with_name(f'test_{stage}.py'), test_set.tool
            rest = [self.folder / record['trained']['best'], '--work-dir', out, *test_set.args]
            self._write(config, self.tests[stage].cfg)
        clock_in(record, stage, self.folder)
        write_record(self.folder, record)
        return [sys.executable, str(tool_path(tool)), str(config), *map(str, rest)]

    def finish(self, stage: str, seconds: float, commit: str | None) -> None:
        """Note that a stage is done, and what came out.

        Raises:
            ConfigError: If the process ended well and left nothing.
        """
        record = self.record
        clock_out(record, seconds)
        if stage == TRAIN:
            found = best_checkpoint(self.folder, self.arm.metric)
            lost = f'{self.folder} holds no best_{self.arm.metric.replace("/", "_")}_*.pth: was it validated?'
            done = record, 'trained'
        else:
            figures = read_figures(self.folder / f'test_{stage}' / 'metrics.json')
            found = figures and dict(hash=digest(self.tests[stage].settings), figures=figures)
            lost = f'{self.folder}/test_{stage} holds no metrics.json with figures.'
            done = record.setdefault('tests', {}), stage
        if not found:
            raise ConfigError(f'the process ended well, but {lost}')
        done[0][done[1]] = found | dict(commit=commit)
        write_record(self.folder, record)

    def fail(self, stage: str, seconds: float, why: str) -> None:
        """Note that a stage has failed."""
        record = self.record
        clock_out(record, seconds)
        record['failed'] = dict(stage=stage, why=why)
        write_record(self.folder, record)

    def pause(self, seconds: float) -> None:
        """Note that a stage was stopped, to go on another time."""
        record = self.record
        clock_out(record, seconds)
        write_record(self.folder, record)

    def _write(self, path: Path, cfg: Config) -> None:
        """Write a config that stands for itself; the run goes by it whatever becomes of those it was made from."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(as_text(cfg))


def units_of(arms: list[Arm], seeds: tuple[int, ...], folder: Path) -> list[Unit]:
    """All units, the first seed of all arms first: after a third of the time every arm has a figure."""
    return [Unit(arm, seed, folder / arm.name / f'seed_{seed}') for seed in seeds for arm in arms]


def require_unchanged(units: list[Unit], rerun: bool) -> list[str]:
    """Hold the runs that were begun against the plan.

    Args:
        units: All that will run.
        rerun: Set aside what has changed, and run it again.

    Returns:
        Lines to say.

    Raises:
        ConfigError: If a unit has changed and is not to be run again.
    """
    found = [(unit, change) for unit in units if (change := unit.change())]
    if found and not rerun:
        unit, change = found[0]
        more = f' And so {len(found) - 1} more.' if len(found) > 1 else ''
        raise ConfigError(
            f'{unit} was begun with other settings: {change}.{more} Undo the change, name the arm anew, or use '
            '--rerun-changed.'
        )
    return [f'{unit}: changed, so it runs again ({change}); kept as {unit.set_aside().name}.' for unit, change in found]

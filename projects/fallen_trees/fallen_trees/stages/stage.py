"""One stage: anchors, search, training and test in processes of their own, each noted when it is done."""

import copy
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import urlparse

import torch
from mmengine.config import Config

from fallen_trees.ablation.ablation_file import TestSet
from fallen_trees.ablation.plan import SPLITS, TestPlan, digest, merged, plan_test, settings_of
from fallen_trees.ablation.process import lock_file_of, set_aside
from fallen_trees.ablation.record import clock_in, clock_out, read_record, write_record
from fallen_trees.config_keys import merge_settings
from fallen_trees.derive.config import derive, find_data
from fallen_trees.errors import ConfigError
from fallen_trees.resume.checkpoint_file import checkpoints_in, sha256
from fallen_trees.resume.config_diff import changes
from fallen_trees.stages.arrival import hand_over
from fallen_trees.stages.found import scaled, search_said
from fallen_trees.stages.stages_file import Entry
from fallen_trees.stages.steps import ANCHORS, COMMANDS, RESULTS, SEARCH, START, STEPS, TEST, TRAIN

SHOWN = 4  # changes named in an error


@dataclass(eq=False)
class Stage:
    """A stage and the folder of what it does, its configs beside it. Has what `ablation.Grid` asks of a unit.

    Attributes:
        entry: What the file says of it.
        folder: Of its run.
        options: Of all stages, by dotted key; the command line's go before those of the stage.
        last_options: Of the command line.
        tools: That train, test and sweep.
        before: The stage that it starts from.
        lines: What is to be said when a step is done.
    """

    entry: Entry
    folder: Path
    options: Mapping[str, object]
    last_options: Mapping[str, object]
    tools: Mapping[str, str]
    before: 'Stage | None' = None
    lines: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.entry.name

    @property
    def steps(self) -> list[str]:
        """What the stage consists of, in order."""
        left_out = {ANCHORS: not self.entry.anchors, SEARCH: not self.entry.search}
        return [step for step in STEPS if not left_out.get(step)]

    @property
    def record(self) -> dict:
        """What is done so far."""
        return read_record(self.folder)

    @property
    def lock_file(self) -> Path:
        """Locked while anybody works on the stage."""
        return lock_file_of(self.folder)

    def next_stage(self) -> str | None:
        """Name the step that has to be done next, None when all are."""
        done = self.record.get('done', {})
        for step in self.steps:
            if step not in done or (step == TEST and done[TEST]['hash'] != digest(self.test_plan().settings)):
                return step
        return None

    def is_trained(self) -> bool:
        """Whether there are weights to hand on."""
        return TRAIN in self.record.get('done', {})

    def config(self, *, found: bool = True) -> Config:
        """The config of the stage, not derived yet.

        Args:
            found: With what the stages before and this one have found.
        """
        cfg = copy.deepcopy(self._plain)
        merge_settings(cfg, self.found() if found else {})
        merge_settings(cfg, self.last_options)
        return cfg

    @cached_property
    def _plain(self) -> Config:
        return merged(self.entry.config, self.options, self.entry.options)

    @property
    def score(self) -> str:
        """The figure of the validation that chooses the best checkpoint."""
        return self._plain.default_hooks.checkpoint.save_best

    def found(self) -> dict[str, object]:
        """Values by dotted key that anchors and search have come to, those of the stage before first."""
        values: dict[str, object] = {}
        if self.before is not None and not self.entry.parts:
            values |= scaled(self.before.found(), self.entry.found_times)
        for step in (ANCHORS, SEARCH):
            values |= self.record.get('done', {}).get(step, {}).get('found', {})
        return values

    def settings(self) -> dict[str, str]:
        """What decides the figures of the stage, apart from the weights that it starts from."""
        ready = self.config(found=False)
        derive(ready, SPLITS)
        entry = self.entry
        asked = dict(tool=self.tools['train'], parts=entry.parts, checkpoint=entry.checkpoint)
        asked |= dict(anchors=entry.anchors, found_times=dict(entry.found_times))
        return settings_of(ready, SPLITS, **asked, search=search_said(entry.search) if entry.search else None)

    def source(self) -> Path | None:
        """The checkpoint that the stage starts from; None leaves it to the config.

        Raises:
            ConfigError: If the stage that it starts from is not trained.
        """
        if self.before is not None:
            if not self.before.is_trained():
                raise ConfigError(f'{self} starts from {self.before}, which is not trained yet; run that first.')
            return self.before.checkpoint
        return next((path for path in map(_present, self.entry.start) if path is not None), None)

    @property
    def checkpoint(self) -> Path:
        """The one that is tested and handed on."""
        return self.folder / self.record['done'][TRAIN]['checkpoint']

    def change(self) -> str | None:
        """Say what makes the stage that was begun another one than that of now; None if nothing, or nothing is lost."""
        record = self.record
        if 'settings' not in record or not self._has_results(record):
            return None
        found = list(map(str, changes(record['settings'], self.settings())))
        source = self.source() if self.before is None or self.before.is_trained() else None
        now = sha256(source) if source is not None else None
        if now != record['start']['sha256'] and (source is not None or self.before is None):
            found.append(f'start: {record["start"]["file"]} -> {source}, of other content')
        more = f'; and {len(found) - SHOWN} more' if len(found) > SHOWN else ''
        return '; '.join(found[:SHOWN]) + more if found else None

    def _has_results(self, record: dict) -> bool:
        return bool(record.get('done') or checkpoints_in(self.folder))

    def set_aside(self) -> Path | None:
        """Rename the folder of a stage that is not wanted any more; nothing is deleted. None where there is none.

        Raises:
            ConfigError: If somebody works on the stage.
        """
        if not self.folder.exists():
            return None
        return set_aside(self.folder, str(self))

    def begin(self, step: str) -> list[str]:
        """Note that a step begins, and write its config.

        Returns:
            The command.
        """
        record = self.record
        if 'settings' not in record or not self._has_results(record):
            record |= dict(settings=self.settings(), start=self._take_start())
        command = COMMANDS[step](self)
        clock_in(record, step, self.folder)
        write_record(self.folder, record)
        return [sys.executable, *map(str, command)]

    def finish(self, step: str, seconds: float, commit: str | None) -> None:
        """Note that a step is done, and what came out.

        Raises:
            ConfigError: If the process ended well and left nothing, or a frozen part has moved.
        """
        record = self.record
        clock_out(record, seconds)
        record.setdefault('done', {})[step] = RESULTS[step](self) | dict(commit=commit)
        write_record(self.folder, record)

    def fail(self, step: str, seconds: float, why: str) -> None:
        """Note that a step has failed; one that came to something all the same is done (exit code 1 of its tool)."""
        left = {ANCHORS: self.folder / 'anchors.json', SEARCH: self.folder / SEARCH / 'best.py'}.get(step)
        if left is not None and left.is_file() and '(exit code 1;' in why:
            self.finish(step, seconds, None)
            return
        record = self.record
        if 'running' in record:
            clock_out(record, seconds)
        record['failed'] = dict(stage=step, why=why)
        write_record(self.folder, record)

    def pause(self, seconds: float) -> None:
        """Note that a step was stopped, to go on another time."""
        record = self.record
        clock_out(record, seconds)
        write_record(self.folder, record)

    def test_plan(self) -> TestPlan:
        """What it is tested on, and what makes the figures the figures they are."""
        derived = self.config()
        ready = copy.deepcopy(derived)
        derive(ready, ('train', 'test'))
        return plan_test(derived, TestSet(TEST, metrics=self.entry.metrics), tuple(ready.metainfo.classes))

    def _take_start(self) -> dict[str, object]:
        """Write the weights that the stage starts from into its folder."""
        source = self.source()
        if source is None:
            return dict(file=None, sha256=None)
        name = str(self.before or source)
        self.lines.append(f'{self}: starts from {", ".join(self.entry.parts) or "all weights"} of {name}.')
        return dict(file=name, sha256=hand_over(source, self.entry.parts, self.folder / START))


def _present(name: str) -> Path | None:
    """A file of start weights, from here, from the repository, or in torch's cache for an address; None without it."""
    if urlparse(name).scheme in ('http', 'https'):
        path = Path(torch.hub.get_dir(), 'checkpoints', Path(urlparse(name).path).name)
        return path if path.is_file() else None
    path = find_data(name)
    return path if path.is_file() else None

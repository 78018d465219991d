"""Which trial comes next: one that was left, one that waits, or a new one; never one that somebody works on.

A trial belongs to the worker that holds the lock beside its folder and stands in its attribute `owner`. One whose
owner is dead goes back to the waiting ones, in a single step of the storage: same number, same folder, same
intermediate values. On one machine that is seen at once, by the process table; from afar after three missed heartbeats.

A new trial is `RUNNING` for a moment before it has an owner. One that stays so died in that moment.
"""

import json
import math
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from sweep.data_sets import DataSets
from sweep.owners import alive, new_owner, on_this_host
from sweep.space import DATA_ROOT, Settings
from sweep.sweep_file import SweepFile
from sweep.training import Training

SKIPPED = 'skipped'  # attribute: why a trial was not trained
LOCK_TRIES, LOCK_PAUSE_S = 20, 0.1  # another worker may hold it for as long as it looks


@dataclass
class Claim:
    """A trial that is ours.

    Attributes:
        trial: Of the study.
        folder: Work dir of its run; its config stands beside it.
        lock_fd: Of the lock beside it.
        settings: Values by dotted key.
        data: Arguments that make its data set, None where the config's own is used.
        retries: How often a process of it was killed.
    """

    trial: optuna.Trial
    folder: Path
    lock_fd: int
    settings: Settings
    data: tuple[str, ...] | None
    retries: int


class Claims:
    """The trials of a study, as one worker takes them.

    Args:
        study: With its sampler.
        storage: Of the study.
        sweep_file: Whose space is searched.
        training: Locks files.
        data_sets: Say where the data of a trial will lie.
        folder: Of the study.
        total: Trainings of the study, all workers together.
        grace_s: After which a trial that runs without an owner is dead.
    """

    def __init__(
        self, study: optuna.Study, storage: RDBStorage, sweep_file: SweepFile, training: Training,
        data_sets: DataSets, folder: Path, total: int, grace_s: float,
    ) -> None:  # fmt: skip
        self.study, self.storage, self.sweep_file, self.training = study, storage, sweep_file, training
        self.data_sets, self.folder, self.total, self.grace_s = data_sets, folder, total, grace_s
        self.owner = new_owner()
        self._ownerless: dict[int, float] = {}

    def next(self) -> Claim | None:
        """Take a trial; None when there is none now."""
        if not self.anything_left():
            return None
        with _quiet():
            trial = self.study.ask()
        if self._rank(trial.number) >= self.total:  # another worker was faster; it waits for a larger --trials
            self.storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
            return None
        folder = self.folder / f'trial_{trial.number:04d}'
        fd = self._lock(folder)
        return None if fd is None else self._claim(trial, folder, fd)

    def anything_left(self) -> bool:
        """Whether a trial can be begun, or may yet have to be: those that died go back first."""
        self.revive()
        trials = self._counted()
        if any(trial.state == TrialState.WAITING for trial in trials[: self.total]):
            return True
        return len(trials) < self.total and not self.exhausted()

    def exhausted(self) -> bool:
        """Whether the space has nothing left that was not chosen yet."""
        size = self.sweep_file.space.size
        trials = self.study.get_trials(deepcopy=False)
        return size is not None and len({values_of(trial) for trial in trials} - {None}) >= size

    def undecided(self) -> bool:
        """Whether a trial runs of which is not known yet if anybody works on it: ownerless, or still saving."""
        return any(
            (owner := trial.user_attrs.get('owner')) is None or (on_this_host(owner) and not alive(owner))
            for trial in self._running()
        )

    def revive(self) -> None:
        """Put the trials of dead workers back among the waiting ones."""
        stale = set(self.storage._get_stale_trial_ids(self.study._study_id))
        for trial in self._running():
            owner = trial.user_attrs.get('owner')
            if owner is None:
                since = self._ownerless.setdefault(trial.number, time.monotonic())
                if time.monotonic() - since > self.grace_s:
                    self._revive(trial, None)
                continue
            self._ownerless.pop(trial.number, None)
            if not alive(owner) if on_this_host(owner) else trial._trial_id in stale:
                self._revive(trial, owner)

    def beat(self, claim: Claim) -> bool:
        """Say that a trial lives; False when it is not ours any more, because we were taken for dead."""
        now = self.storage.get_trial(claim.trial._trial_id)
        if now.state != TrialState.RUNNING or now.user_attrs.get('owner') != self.owner:
            return False
        self.storage.record_heartbeat(claim.trial._trial_id)
        return True

    def put_back(self, claim: Claim, killed: bool) -> None:
        """Leave a trial to be continued, by whoever comes next."""
        self._wait(claim.trial._trial_id, claim.retries + 1 if killed else claim.retries)
        self.let_go(claim)

    def let_go(self, claim: Claim) -> None:
        """Release the lock of a trial that is over."""
        os.close(claim.lock_fd)

    def twin(self, claim: Claim) -> FrozenTrial | None:
        """An earlier trial with the same values; None without one. Of two at a time, the later number gives way."""
        values = json.dumps(claim.settings, sort_keys=True)
        earlier = (trial for trial in self._counted() if trial.number < claim.trial.number)
        return next((trial for trial in earlier if values_of(trial) == values), None)

    def _claim(self, trial: optuna.Trial, folder: Path, fd: int) -> Claim:
        """Make a trial ours. The heartbeat comes before the owner: an old one must not be taken for the new owner's."""
        self.storage.record_heartbeat(trial._trial_id)
        trial.set_user_attr('owner', self.owner)
        with _quiet():
            settings = self.sweep_file.space.suggest(trial)
        data = self.sweep_file.space.data_of(trial.params)
        if data is not None:
            settings[DATA_ROOT] = str(self.data_sets.place(data))
        retries = trial.user_attrs.get('retries', 0)
        for key, value in (('folder', str(folder)), ('values', settings), ('retries', retries)):
            trial.set_user_attr(key, value)
        return Claim(trial, folder, fd, settings, data, retries)

    def _lock(self, folder: Path) -> int | None:
        """Lock a trial's folder; None when somebody keeps it, whose trial it then is."""
        for _ in range(LOCK_TRIES):
            fd = self.training.lock(folder.with_name(f'.{folder.name}.lock'))
            if fd is not None:
                return fd
            time.sleep(LOCK_PAUSE_S)
        return None

    def _revive(self, trial: FrozenTrial, owner: str | None) -> None:
        """Put one back, if its training is gone too and nobody did so since we looked."""
        fd = self.training.lock(self.folder / f'.trial_{trial.number:04d}.lock')
        if fd is None:
            return
        try:
            now = self.storage.get_trial(trial._trial_id)
            if now.state == TrialState.RUNNING and now.user_attrs.get('owner') == owner:
                self._wait(trial._trial_id, now.user_attrs.get('retries', 0) + 1)
        finally:
            os.close(fd)

    def _wait(self, trial_id: int, retries: int) -> None:
        """The owner goes first: a waiting trial that is taken up must not be taken for the dead one's."""
        self.storage.set_trial_user_attr(trial_id, 'retries', retries)
        self.storage.set_trial_user_attr(trial_id, 'owner', None)
        self.storage.set_trial_state_values(trial_id, TrialState.WAITING)

    def _running(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _counted(self) -> list[FrozenTrial]:
        """All trials that were or will be trained, in order; those that were skipped do not count."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if SKIPPED not in trial.user_attrs]

    def _rank(self, number: int) -> float:
        numbers = [trial.number for trial in self._counted()]
        return numbers.index(number) if number in numbers else math.inf


def values_of(trial: FrozenTrial) -> str | None:
    """What a trial sets, as text that can be compared; None for one that nobody has begun."""
    values = trial.user_attrs.get('values')
    return None if values is None else json.dumps(values, sort_keys=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna wants its heartbeats sent by its own loop; ours sends them."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield

"""A worker: takes trials of a study, trains some at a time, until the study has what was asked for."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from sweep.claims import SKIPPED, Claim, Claims
from sweep.data_sets import DataSets
from sweep.errors import SweepError
from sweep.run import Run
from sweep.storage import answering
from sweep.sweep_file import SweepFile
from sweep.training import DEAD, DONE, FAILED, NO_MEMORY, STOPPED, Training
from sweep.trial_record import remove_checkpoints

POLL_S = 0.2
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
MAX_SKIPPED = 50  # in a row, after which nothing new is to be expected
INFEASIBLE = 'fits'  # name of the constraint that a trial breaks which cannot run


class Worker:
    """Trains trials.

    Args:
        study: Whose trials.
        storage: Of the study.
        sweep_file: What is swept.
        training: Trains.
        claims: Give out trials.
        data_sets: Make data sets that trials ask for.
        slots: Trials at a time.
        heartbeat_s: Between two signs of life.
        say: Gets a line whenever something happens.
        after: Called after every finished trial, to write the results.
    """

    def __init__(
        self, study: optuna.Study, storage: RDBStorage, sweep_file: SweepFile, training: Training, claims: Claims,
        data_sets: DataSets, slots: int, heartbeat_s: float, say: Callable[[str], None], after: Callable[[], None],
    ) -> None:  # fmt: skip
        self.study, self.storage, self.sweep_file, self.training = study, storage, sweep_file, training
        self.claims, self.data_sets, self.slots = claims, data_sets, slots
        self.heartbeat_s, self.say, self.after = heartbeat_s, say, after
        self.signum: int | None = None
        self.trouble = ''  # why the sweep ends before its time
        self._runs: dict[int, Run] = {}
        self._skipped = self._failed = 0
        self._beaten = 0.0
        hours = sweep_file.max_hours
        self._end_at = time.monotonic() + hours * 3600 if hours else float('inf')

    def run(self) -> int:
        """Work until there is nothing left; returns 0, 1 where something is to be looked at, 128 + a signal.

        Raises:
            StorageFailure: If the storage does not answer any more; trainings have saved and ended.
        """
        with self._signals():
            try:
                with answering(self.storage):
                    self._work()
            except BaseException:
                self._end_all()
                raise
        return 128 + self.signum if self.signum is not None else int(bool(self.trouble))

    def _work(self) -> None:
        while True:
            more = self._fill()
            for slot, run in list(self._runs.items()):
                self._look_after(slot, run)
            if not self._runs and not more:
                return
            self._beat()
            time.sleep(POLL_S)

    def _fill(self) -> bool:
        """Begin trials while slots are free; False when none will come any more."""
        if self.signum is not None or self.trouble or time.monotonic() > self._end_at:
            return False
        while len(self._runs) < self.slots:
            claim = self.claims.next()
            if claim is None:
                return self.claims.anything_left() or self.claims.undecided()
            if self._skips(claim):
                if self.trouble:
                    return False
                continue
            self._begin(claim)
        return True

    def _skips(self, claim: Claim) -> bool:
        """Whether there is no need to train: its values are known, or break a constraint."""
        broken = self._broken(claim)
        twin = None if broken or claim.retries else self.claims.twin(claim)
        if broken is None and twin is None:
            self._skipped = 0
            return False
        if broken is not None:
            self._close(claim, TrialState.PRUNED, infeasible=f'breaks {broken}', **{SKIPPED: f'breaks {broken}'})
        else:
            self._repeat(claim, twin)
        self._skipped += 1
        if self._skipped >= MAX_SKIPPED:
            last = f'the last one breaks {broken}' if broken else f'the last one is trial {twin.number} again'
            self.trouble = f'{MAX_SKIPPED} trials in a row brought nothing new: {last}; widen the space.'
        return True

    def _broken(self, claim: Claim) -> str | None:
        """The first constraint that a trial's values break."""

        def value_of(key: str) -> object:
            return claim.settings[key] if key in claim.settings else self.training.value(key)

        return next((item.text for item in self.sweep_file.constraints if not item.holds(value_of)), None)

    def _repeat(self, claim: Claim, twin: optuna.trial.FrozenTrial) -> None:
        """End a trial that another one has the values of: with its result, or without one while it has none."""
        said = {'duplicate_of': twin.number, SKIPPED: f'the same as trial {twin.number}'}
        if twin.state == TrialState.PRUNED and twin.values and len(twin.values) == 1:
            claim.trial.report(twin.values[0], twin.last_step or 0)
        state = twin.state if twin.state.is_finished() else TrialState.FAIL
        infeasible = twin.user_attrs.get('infeasible')
        self._close(claim, state, twin.values if state == TrialState.COMPLETE else None, infeasible, **said)

    def _begin(self, claim: Claim) -> None:
        run = Run(claim, self.sweep_file, self.training, self.data_sets, self._free_slot())
        self._runs[run.slot] = run
        chosen = ', '.join(f'{name}={_short(value)}' for name, value in claim.trial.params.items())
        self.say(f'trial {claim.trial.number}: {chosen}' + (', goes on' if claim.folder.is_dir() else ''))

    def _look_after(self, slot: int, run: Run) -> None:
        """Report what a trial shows, and see to its end."""
        self._report(run)
        limit = self.sweep_file.timeout_minutes
        if limit and run.seconds > limit * 60:
            run.tell('timeout')
        if self.signum is not None:
            run.tell('stopped', self.signum)
        try:
            ended = run.step()
        except ValueError as error:  # its config cannot be made; one line, as all that a user can cause
            ended = FAILED, str(error)
        if ended is not None:
            self._report(run)
            del self._runs[slot]
            self._conclude(run, *ended)

    def _report(self, run: Run) -> None:
        try:
            if run.report():
                run.tell('pruned')
        except optuna.exceptions.UpdateFinishedTrialError:  # another worker took it for dead, and has finished it
            run.tell('lost')

    def _conclude(self, run: Run, verdict: str, words: str) -> None:
        """Tell the study what a trial came to."""
        claim, number = run.claim, run.claim.trial.number
        if run.ending == 'lost':
            self.claims.let_go(claim)
            self.say(f'trial {number}: taken over by another worker while this one did not answer.')
        elif verdict == DONE:
            self._complete(run)
        elif run.ending == 'pruned' and verdict == STOPPED:
            self._finish(run, TrialState.PRUNED)
            self.say(f'trial {number}: pruned at iteration {run.curve.iterations}.')
        elif run.ending == 'timeout' and verdict == STOPPED:
            self._fail(run, f'not done after {self.sweep_file.timeout_minutes:g} minutes')
        elif verdict in (NO_MEMORY, DEAD):
            self._finish(run, TrialState.PRUNED, infeasible=words)
            self.say(f'trial {number}: cannot run: {words}')
        elif verdict == STOPPED and (run.ending == 'stopped' or claim.retries < self.sweep_file.max_retries):
            run.note('waiting', words)
            self.claims.put_back(claim, killed=run.ending != 'stopped')
            self.say(f'trial {number}: stopped at iteration {run.curve.iterations}, goes on from its checkpoint.')
        else:
            self._fail(run, f'{words} ({claim.folder / "trial.log"})')

    def _complete(self, run: Run) -> None:
        try:
            values = run.values()
        except SweepError as error:
            self._fail(run, str(error))
            return
        self._finish(run, TrialState.COMPLETE, values)
        named = zip(self.sweep_file.objectives, values, strict=True)
        shown = ', '.join(f'{name} {_short(value)}' for (name, _), value in named)
        self.say(f'trial {run.claim.trial.number}: {shown} in {run.seconds / 60:.1f} min.')

    def _fail(self, run: Run, why: str) -> None:
        self._failed += 1
        self._finish(run, TrialState.FAIL, reason=why)
        self.say(f'trial {run.claim.trial.number}: failed: {why}')
        if self._failed >= self.sweep_file.max_failures and not self.trouble:
            self.trouble = f'{self._failed} trials in a row failed, the last one: {why}'
            for other in self._runs.values():
                other.tell('stopped')

    def _finish(
        self, run: Run, state: TrialState, values: list[float] | None = None, infeasible: str | None = None,
        reason: str | None = None,
    ) -> None:  # fmt: skip
        """Store what a trial came to; only then is what it left behind cleared away."""
        if state != TrialState.FAIL:
            self._failed = 0
        run.note('infeasible' if infeasible else state.name.lower(), infeasible or reason or '')
        best = run.curve.best(self.sweep_file.objectives[0][1])
        said = dict(iterations=run.curve.iterations, figures=run.figures(), best_iteration=best, **run.measured())
        self._close(run.claim, state, values, infeasible, reason=reason, **said)
        if self.sweep_file.keep_checkpoints == 'best' and state != TrialState.FAIL:
            remove_checkpoints(run.claim.folder, keep_newest=state == TrialState.PRUNED)
        self.after()

    def _close(
        self, claim: Claim, state: TrialState, values: list[float] | None = None, infeasible: str | None = None,
        **said: object,
    ) -> None:  # fmt: skip
        for key, value in {**said, 'infeasible': infeasible}.items():
            claim.trial.set_user_attr(key, value)
        claim.trial.set_constraint(INFEASIBLE, 1.0 if infeasible else -1.0)
        try:
            self.study.tell(claim.trial, values, state)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError) as error:  # finished by another worker
            self.say(f'trial {claim.trial.number}: {error}')
        self.claims.let_go(claim)

    def _beat(self) -> None:
        """Say that our trials live; let go of those that were taken over."""
        if time.monotonic() - self._beaten < self.heartbeat_s:
            return
        self._beaten = time.monotonic()
        for run in self._runs.values():
            if self.claims.beat(run.claim):
                run.note('running')
            else:
                run.tell('lost')

    def _free_slot(self) -> int:
        return next(slot for slot in range(self.slots) if slot not in self._runs)

    def _end_all(self) -> None:
        """Have all trainings save and end, when there is no telling the study any more."""
        for run in self._runs.values():
            run.tell('stopped')
        while any(run.step() is None for run in self._runs.values()):
            time.sleep(POLL_S)

    def _stop(self, signum: int, frame: object) -> None:
        self.signum = self.signum or signum

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Pass signals on to the trainings; one that is ignored (`nohup`) stays so."""
        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in before.items():
            if handler != signal.SIG_IGN:
                signal.signal(number, self._stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _short(value: object) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)

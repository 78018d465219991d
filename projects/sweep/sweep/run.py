"""One trial under a worker's eyes: its data set, its training, what it reports, and what it comes to."""

import math
import signal

from data_prep.atomic import atomic_write
from sweep.claims import Claim
from sweep.curve import Curve
from sweep.data_sets import DataSets, Making
from sweep.errors import SweepError
from sweep.sweep_file import MEASURED, SweepFile
from sweep.training import FAILED, STOPPED, Process, Training
from sweep.trial_record import now, spent_before, write_record


class Run:
    """A trial that is being worked on.

    Args:
        claim: The trial.
        sweep_file: Whose trial it is.
        training: Starts it.
        data_sets: Make its data set, if it asks for one of its own.
        slot: Of the worker, so of a device.

    Attributes:
        ending: Why it was told to end: 'pruned', 'timeout' or 'stopped'; '' while it was not.
    """

    def __init__(self, claim: Claim, sweep_file: SweepFile, training: Training, data_sets: DataSets, slot: int) -> None:
        self.claim, self.sweep_file, self.training = claim, sweep_file, training
        self.data_sets, self.slot = data_sets, slot
        self.curve = Curve(claim.folder, sweep_file.objectives[0][0])
        self.ending, self._signum, self._told = '', signal.SIGTERM, False
        self.begun, self.before_s = now(), spent_before(claim.folder)
        self._reported: set[int] = set()  # iterations
        self._making: Making | None = None
        self._process: Process | None = None
        _, _, self._val_batch = training.length()
        own = claim.settings.get('train_cfg.max_iters')
        self._last = own if isinstance(own, int) else training.length()[0]

    @property
    def seconds(self) -> float:
        """Of training, all attempts together."""
        return self.before_s + (self._process.seconds if self._process else 0.0)

    def step(self) -> tuple[str, str] | None:
        """Start what is to be started; a verdict and why once it is over, None before."""
        if self._process is None and not self.ending and self._has_data():
            self._train()
        process = self._process or (self._making and self._making.process)
        if process is None:
            return (STOPPED, '') if self.ending else None
        if self.ending and not self._told:
            self._told = True
            process.tell(self._signum)
        code = process.code()
        if code is None:
            return None
        if process is self._process:
            return process.verdict(), process.last_words()
        made = self._making.end(code)
        self._making = None
        if made or self.ending:
            return None if made and not self.ending else (STOPPED, '')
        return FAILED, f'data_prep ended with {code}: {process.last_words()}'

    def report(self) -> bool:
        """Hand new figures to the study; True when its pruner wants the trial to end."""
        self.curve.look()
        if len(self.sweep_file.objectives) > 1:  # Optuna prunes by one objective only
            return False
        trial = self.claim.trial
        new = {step: value for step, value in self.curve.values().items() if step not in self._reported}
        known = trial.storage.get_trial(trial._trial_id).intermediate_values if new else {}
        for iteration, value in new.items():
            if iteration not in known:
                trial.report(value, iteration)
            self._reported.add(iteration)
            if iteration < self._last and trial.should_prune():
                return True
        return False

    def tell(self, why: str, signum: int = signal.SIGTERM) -> None:
        """Have it save and end, from the next step on; may be called by a signal's handler."""
        if not self.ending:
            self._signum, self.ending = signum, why

    def figures(self) -> dict[str, float]:
        """All figures of the best validation, and what the sweep measured itself."""
        best = self.curve.best(self.sweep_file.objectives[0][1])
        found = {} if best is None else {k: v for k, v in self.curve.validations[best].items() if '/' in k}
        return found | {name: value for name, value in self.measured().items() if value is not None}

    def values(self) -> list[float]:
        """One figure for each objective.

        Raises:
            SweepError: If the run gave none.
        """
        figures = self.figures()
        for name, _ in self.sweep_file.objectives:
            if name not in figures:
                there = sorted({*self.curve.names, *(figures if name in MEASURED else ())})
                shown = ', '.join(key for key in there if not key.startswith('guard/')) or 'no figures at all'
                raise SweepError(f"the run ended well, but no validation gave '{name}'; there is {shown}.")
            if math.isnan(figures[name]):
                raise SweepError(f"the run ended well, but '{name}' is no number.")
        return [figures[name] for name, _ in self.sweep_file.objectives]

    def measured(self) -> dict[str, float | None]:
        """Seconds of training, seconds of an image, memory."""
        each = self.curve.seconds_per_image(self._val_batch)
        memory = self.curve.memory_mb
        if memory is None and self._process is not None:
            memory = self._process.memory_mb
        return dict(zip(MEASURED, (round(self.seconds, 1), each, memory), strict=True))

    def note(self, state: str, why: str = '') -> None:
        """Write the trial's record."""
        best = self.curve.best(self.sweep_file.objectives[0][1])
        write_record(
            self.claim.folder,
            dict(
                number=self.claim.trial.number, state=state, why=why, params=self.claim.trial.params,
                values=self.claim.settings, begun=self.begun, noted=now(), iterations=self.curve.iterations,
                best_iteration=best, figures=self.figures(), curve=list(self.curve.values().items()),
                attempts=self.claim.retries + 1, **self.measured(),
            ),
        )  # fmt: skip

    def _has_data(self) -> bool:
        """Whether its data set is there; begins to make it if nobody does."""
        if self.claim.data is None:
            return True
        place = self.data_sets.place(self.claim.data)
        if self._making is None and not self.data_sets.ready(place):
            self._making = self.data_sets.make(self.claim.data, place, self.slot)
        return self._making is None and self.data_sets.ready(place)

    def _train(self) -> None:
        """Write the trial's config beside its folder, and start it."""
        folder = self.claim.folder
        folder.mkdir(parents=True, exist_ok=True)
        config = folder.with_suffix('.py')
        with atomic_write(config) as file:
            file.write(self.training.config_text(self.claim.settings))
        command = self.training.command(config, folder)
        self._process = self.training.start(command, folder / 'trial.log', self.claim.lock_fd, self.slot)

"""All units of an ablation, some at a time, until each is done, failed or stopped."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fallen_trees.ablation.process import Process, lock
from fallen_trees.ablation.record import LOG
from fallen_trees.ablation.unit import Unit
from fallen_trees.derive.config import REPOSITORY
from fallen_trees.errors import ConfigError

POLL_S = 0.1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


@dataclass
class Job:
    """A unit that is being worked on: its lock, and the process of its stage."""

    unit: Unit
    lock_fd: int
    stage: str = ''
    process: Process | None = None
    timed_out: bool = False


class Grid:
    """Works units off.

    A unit that another ablation works on is left to it; what that one leaves undone is done here afterwards. So one
    grid may be shared by several machines or graphics cards, each with its own command.

    Args:
        units: To be done, in this order.
        jobs: Units at a time.
        timeout_s: After which a process is told to end, and its unit has failed.
        say: Gets a line whenever something happens.
        after: Called after every stage, to write the table.
    """

    def __init__(
        self,
        units: list[Unit],
        jobs: int,
        timeout_s: float | None,
        say: Callable[[str], None],
        after: Callable[[], None],
    ) -> None:
        self.units, self.jobs, self.timeout_s, self.say, self.after = units, jobs, timeout_s, say, after
        self.threads = max(1, len(os.sched_getaffinity(0)) // jobs)
        self.commit = current_commit()
        self.failures: dict[str, str] = {}
        self.signum: int | None = None
        self._running: list[Job] = []
        self._waiting_said: set[str] = set()

    def run(self) -> int:
        """Work all units off; returns 0, 1 if some have failed, or 128 + the signal that stopped it."""
        pending = [unit for unit in self.units if unit.next_stage() is not None]
        with self._signals():
            while self._running or (pending and self.signum is None):
                while self.signum is None and len(self._running) < self.jobs and self._start_one(pending):
                    pass
                for job in list(self._running):
                    self._look_after(job)
                time.sleep(POLL_S)
        if self.signum is not None:
            return 128 + self.signum
        return 1 if self.failures else 0

    def _start_one(self, pending: list[Unit]) -> bool:
        """Start the first unit that nobody else works on; False when there is none."""
        for unit in list(pending):
            fd = lock(unit.lock_file)
            if fd is None:
                if str(unit) not in self._waiting_said:
                    self._waiting_said.add(str(unit))
                    self.say(f'{unit}: another process works on it; looking again later.')
                continue
            pending.remove(unit)
            job = Job(unit, fd)
            self._running.append(job)
            self._go_on(job)
            return True
        return False

    def _go_on(self, job: Job) -> None:
        """Start the next stage of a unit, or let go of it."""
        stage = job.unit.next_stage()
        if stage is None or self.signum is not None:
            self._let_go(job)
            return
        command = job.unit.begin(stage)
        job.stage, job.timed_out = stage, False
        job.process = Process(command, job.unit.folder / LOG, job.lock_fd, self.threads)
        self.say(f'{job.unit}: {stage} ...')

    def _look_after(self, job: Job) -> None:
        process, unit = job.process, job.unit
        code = process.code()
        if code is None:
            if self.timeout_s is not None and process.seconds > self.timeout_s and not job.timed_out:
                job.timed_out = True
                process.tell(signal.SIGTERM)
            return
        if code == 0:
            self._finish(job)
        elif self.signum is not None:
            unit.pause(process.seconds)
            self._let_go(job)
        else:
            self._fail(job, self._reason(job, code))

    def _finish(self, job: Job) -> None:
        try:
            job.unit.finish(job.stage, job.process.seconds, self.commit)
        except ConfigError as error:
            self._fail(job, str(error))
            return
        self.say(f'{job.unit}: {job.stage} done in {job.process.seconds / 60:.1f} min.')
        self.after()
        self._go_on(job)

    def _fail(self, job: Job, why: str) -> None:
        job.unit.fail(job.stage, job.process.seconds, why)
        self.failures[str(job.unit)] = f'{job.stage}: {why}'
        self.say(f'{job.unit}: {job.stage} failed: {why}')
        self.after()
        self._let_go(job)

    def _reason(self, job: Job, code: int) -> str:
        log = job.unit.folder / LOG
        if job.timed_out:
            minutes = self.timeout_s / 60
            return f'not done after {minutes:g} minutes; run again, it goes on from there ({log})'
        return f'{job.process.last_words()} (exit code {code}; {log})'

    def _let_go(self, job: Job) -> None:
        os.close(job.lock_fd)
        self._running.remove(job)

    def _tell_all(self, signum: int, frame: object) -> None:
        self.signum = self.signum or signum
        for job in self._running:
            if job.process is not None:
                job.process.tell(signum)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Pass signals on to the processes; one that is ignored (`nohup`) stays so."""
        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in before.items():
            if handler != signal.SIG_IGN:
                signal.signal(number, self._tell_all)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def current_commit() -> str | None:
    """The commit the code is at, with a `+` when files differ from it; None outside a repository."""
    git = ['git', '-C', str(REPOSITORY)]
    try:
        name = subprocess.run([*git, 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True, check=True)
        files = subprocess.run([*git, 'status', '--porcelain', '-uno'], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return name.stdout.strip() + ('+' if files.stdout.strip() else '')

"""SIGINT, SIGTERM, SIGUSR1 and SIGHUP end a run at the next step, with a checkpoint that `--resume` continues from."""

import os
import signal
import threading
import time
from types import FrameType

import torch
from mmengine.dist import all_reduce, barrier, is_distributed, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, Runner

from fallen_trees.resume.launched import end_with_parent, say_begun
from fallen_trees.resume.safe_checkpoint_hook import SafeCheckpointHook, accumulated_steps, updates_weights

# In a job of several processes a signal arrives twice: directly, and passed on by the launcher.
ECHO_S = 2.0


class RunInterrupted(Exception):
    """A signal ended the run, and all there is to save is saved.

    Attributes:
        signum: The signal; the exit code is 128 + signum.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@HOOKS.register_module()
class InterruptHook(Hook):
    """Save and stop at the first step after a signal whose gradients are all applied.

    The handler only sets a flag: a save in the middle of a step would hold half a state. Steps that only accumulate
    gradients are passed over, because gradients are not saved. All ranks stop at the same step, also when only one of
    them was signalled. A second signal ends the process at once; under a launcher one more is taken for an echo of the
    first, and so are all that come within two seconds.

    In a validation the run stops after the batch at hand and nothing is saved: averaged weights may be in the model's
    place, and the checkpoint from before the validation is there already. The resumed run validates first.

    Raises, out of the training loop:
        RunInterrupted: When a signal has ended the run.
    """

    # After the checkpoint hook (VERY_LOW): nothing is saved twice at the same step.
    priority = 'LOWEST'
    # SLURM announces the end of a job's time with SIGUSR1; SIGHUP comes when the connection to a terminal is lost.
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)

    def __init__(self) -> None:
        self.signum: int | None = None
        self._saved = self._echoed = False
        self._process, self._signalled_at = os.getpid(), -float('inf')
        self._previous: dict[int, object] = {}
        if threading.current_thread() is threading.main_thread():
            for number in self.signals:
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` wants it
                    self._previous[number] = signal.signal(number, self._remember)
            os.register_at_fork(after_in_child=self._shield_child)

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        now, before = time.monotonic(), self._signalled_at
        if before >= 0 and is_distributed():
            # A launcher on a busy machine takes its time: the first one more is its echo, however late.
            echo, self._echoed = now - before < ECHO_S or not self._echoed, True
            if echo:
                return
        if self._saved:
            return
        if before >= 0:
            os._exit(128 + signum)
        self._signalled_at = now
        self.signum = self.signum or signum

    def _shield_child(self) -> None:
        """Keep signals away from data-loader workers: a worker that dies takes the step down with it.

        A terminal's Ctrl-C and torchrun's SIGTERM go to the process group, SLURM's to every process of the job. A
        worker ends when its parent tells it to, or with its parent.
        """
        if not any(signal.getsignal(number) == self._remember for number in self._previous):
            return  # given back, or taken by the next run in this process
        parent, self._process = self._process, os.getpid()
        os.setpgrp()
        for number in self.signals:
            signal.signal(number, signal.SIG_IGN)
        # The loop of torch's workers takes SIGTERM back for itself, and dies of everybody's but its parent's.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_by_parents_signal, args=(parent,), daemon=True).start()
        end_with_parent(signal.SIGKILL, parent)

    def before_train(self, runner: Runner) -> None:
        """Say that training has begun."""
        if is_main_process():  # after the checkpoint hook, which has put away what was another run's
            say_begun()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Save and stop when a signal came and this step updated the weights."""
        if not self._any_rank_was_signalled() or not updates_weights(runner):
            return
        self._save(runner)
        self._stop(runner, f'after iteration {runner.iter + 1}')

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: object = None
    ) -> None:
        """Stop when a signal came."""
        training = isinstance(runner._train_loop, BaseLoop)  # built, so this is no validation by itself
        # Gradients that are being accumulated are in no checkpoint: then the step that applies them is the last.
        if training and runner.iter % accumulated_steps(runner) == 0 and self._any_rank_was_signalled():
            self._stop(runner, f'while validating iteration {runner.iter}')

    def before_test(self, runner: Runner) -> None:
        """Give the signals back: there is nothing to save in a test run."""
        self._give_back()

    def after_run(self, runner: Runner) -> None:
        """Give the signals back."""
        self._give_back()

    def _give_back(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _any_rank_was_signalled(self) -> bool:
        if not is_distributed():
            return self.signum is not None
        number = torch.tensor(self.signum or 0)
        all_reduce(number, 'max')
        self.signum = int(number) or None
        return self.signum is not None

    def _stop(self, runner: Runner, when: str) -> None:
        barrier()  # the first process that ends takes the others along, and one of them may still be saving
        self._saved = True
        runner.logger.warning(
            f'Stopped by {signal.Signals(self.signum).name} {when}; the same command with --resume goes on from there.'
        )
        raise RunInterrupted(self.signum)

    @staticmethod
    def _save(runner: Runner) -> None:
        hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        if isinstance(hook, SafeCheckpointHook):
            hook.save(runner)
        elif hook is not None and not str(hook.last_ckpt).endswith(f'iter_{runner.iter + 1}.pth'):
            hook._save_checkpoint(runner)
        elif hook is None:
            runner.logger.warning('There is no CheckpointHook in this run: nothing is saved.')


def _end_by_parents_signal(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)

"""SIGINT and SIGTERM end a run at the next step, with a checkpoint that `--resume` continues from."""

import os
import signal
import threading
from types import FrameType

import torch
from mmengine.dist import all_reduce, is_distributed
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class InterruptHook(Hook):
    """Save and stop at the first step after a signal whose gradients are all applied.

    The handler only sets a flag: a save in the middle of a step would hold half a state. Steps that only accumulate
    gradients are passed over, because gradients are not saved. All ranks stop at the same step, also when only one of
    them was signalled. A second signal ends the process at once.

    `signum` holds the signal that ended the run, or None.
    """

    # After the checkpoint hook (VERY_LOW): nothing is saved twice at the same step.
    priority = 'LOWEST'
    signals = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signum: int | None = None
        self._previous: dict[int, object] = {}
        if threading.current_thread() is threading.main_thread():
            for number in self.signals:
                self._previous[number] = signal.signal(number, self._remember)
            # A terminal's Ctrl-C and torchrun's SIGTERM go to the whole process group. A data-loader worker that dies
            # of it takes the step down with it, so workers leave the group as they are forked (before before_run).
            os.register_at_fork(after_in_child=self._leave_group)

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            os._exit(128 + signum)
        self.signum = signum

    def _leave_group(self) -> None:
        if self._previous:
            os.setpgrp()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Save and stop when a signal came and this step updated the weights."""
        if not self._any_rank_was_signalled():
            return
        accumulative_counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if (runner.iter + 1) % accumulative_counts:
            return
        self._save(runner)
        runner.train_loop.stop_training = True
        runner.logger.warning(
            f'Stopped by {signal.Signals(self.signum).name} after iteration {runner.iter + 1}; '
            'the same command with --resume goes on from there.'
        )

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

    @staticmethod
    def _save(runner: Runner) -> None:
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook):
                if hook.last_ckpt is None or not hook.last_ckpt.endswith(f'iter_{runner.iter + 1}.pth'):
                    hook._save_checkpoint(runner)
                return
        runner.logger.warning('There is no CheckpointHook in this run: nothing is saved.')

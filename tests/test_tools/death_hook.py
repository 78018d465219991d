"""A hook for the tests of restarts: one process of a job gets a signal, in its first starts only."""

import os
import signal

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class DeathHook(Hook):
    def __init__(self, rank, iteration=None, validation=False, before_run=False, signum=signal.SIGKILL, starts=1):
        self.rank, self.iteration, self.validation, self.before = rank, iteration, validation, before_run
        self.signum, self.starts = signum, starts

    def die(self):
        if get_rank() == self.rank and int(os.environ['TORCHELASTIC_RESTART_COUNT']) < self.starts:
            os.kill(os.getpid(), self.signum)

    def before_run(self, runner):
        if self.before:
            self.die()

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            self.die()

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if self.validation and runner.iter and batch_idx == 1:
            self.die()

import os
import signal

import pytest
import torch

from fallen_trees.resume.checkpoint_file import newest_good
from fallen_trees.resume.early_stopping_hook import ResumableEarlyStoppingHook

EVERY_TWO = dict(type='IterBasedTrainLoop', max_iters=20, val_interval=2)
SCORES = {2: 0.5, 4: 0.6, 6: 0.6, 8: 0.6, 10: 0.6, 12: 0.6, 14: 0.9, 16: 0.9, 18: 0.9, 20: 0.9}


def make(toy, folder, hooks=(), patience=3, resume=False):
    stopper = ResumableEarlyStoppingHook(monitor='score', rule='greater', patience=patience)
    return toy.make_runner(folder, [stopper, *hooks], resume=resume, scores=SCORES, train_cfg=EVERY_TWO)


def test_patience_survives_an_interruption(fork, toy, work_dir):
    unbroken = make(toy, work_dir / 'unbroken')
    unbroken.train()
    assert unbroken.iter == 10  # the best came at 4

    die = toy.Tell(train=lambda runner: runner.iter == 8 and os.kill(os.getpid(), signal.SIGKILL))
    code, log = fork(lambda: make(toy, work_dir / 'cut', [die]).train())
    assert code == -signal.SIGKILL, log
    state = torch.load(newest_good(work_dir / 'cut')[0], weights_only=True)['early_stopping']
    assert (state['wait_count'], state['best_score'], state['ended']) == (2, 0.6, False)
    resumed = make(toy, work_dir / 'cut', resume=True)
    resumed.train()
    assert resumed.iter == 10


def test_a_run_that_was_ended_stays_ended_unless_its_limits_change(toy, work_dir):
    make(toy, work_dir).train()
    again = make(toy, work_dir, resume=True)
    again.train()
    assert (again.iter, again.model.seen) == (10, [])
    longer = make(toy, work_dir, patience=5, resume=True)
    longer.train()
    assert longer.iter == 20


def test_weights_of_another_run_bring_no_patience_along(toy, work_dir):
    make(toy, work_dir / 'first').train()
    second = toy.make_runner(
        work_dir / 'second', [ResumableEarlyStoppingHook(monitor='score', rule='greater', patience=3)],
        scores=SCORES, train_cfg=EVERY_TWO,
    )  # fmt: skip
    second._load_from = str(work_dir / 'first' / 'iter_10.pth')
    second.train()
    assert second.iter == 10


@pytest.mark.parametrize('state', [None, 'text', {'wait_count': 1, 'priority': 0, 'after_val_epoch': 0}])
def test_a_checkpoint_sets_nothing_else(toy, work_dir, state):
    runner = make(toy, work_dir)
    hook = next(hook for hook in runner.hooks if isinstance(hook, ResumableEarlyStoppingHook))
    runner._resume = True
    hook.after_load_checkpoint(runner, {'early_stopping': state})
    assert callable(hook.after_val_epoch)
    assert hook.wait_count == (1 if isinstance(state, dict) else 0)

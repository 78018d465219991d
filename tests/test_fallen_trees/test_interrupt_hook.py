"""A real runner on a one-layer model, stopped by real signals."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

from fallen_trees.interrupt_hook import InterruptHook


class Numbers(Dataset):
    METAINFO = metainfo = {}

    def __len__(self):
        return 32

    def __getitem__(self, index):
        return torch.full((2,), float(index)), index


class OneLayer(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.seen = []

    def forward(self, inputs, indices, mode='tensor'):
        self.seen += indices.tolist()
        return dict(loss=self.layer(inputs / 32).square().mean())


class SignalMyself(Hook):
    def __init__(self, signum, iteration):
        self.signum, self.iteration = signum, iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.iteration:
            os.kill(os.getpid(), self.signum)


def make_runner(work_dir, hooks=(), accumulative_counts=1, **changes):
    torch.manual_seed(0)
    return Runner(
        OneLayer(),
        str(work_dir),
        train_dataloader=dict(
            dataset=Numbers(),
            batch_size=2,
            num_workers=0,
            sampler=dict(type='InfiniteSampler', seed=0),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=12),
        optim_wrapper=dict(
            optimizer=dict(type='AdamW', lr=0.1), accumulative_counts=accumulative_counts, type='OptimWrapper'
        ),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=100)),
        custom_hooks=[InterruptHook(), *hooks],
        randomness=dict(seed=0),
        log_level='ERROR',
        experiment_name=f'{work_dir.parent.name}_{work_dir.name}_{len(hooks)}_{changes.get("resume", False)}',
        default_scope='mmengine',
        **changes,
    )


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_at_that_step_and_resume_goes_on_as_if_nothing_happened(tmp_path, signum):
    whole = make_runner(tmp_path / 'whole')
    whole.train()

    cut = make_runner(tmp_path / 'cut', [SignalMyself(signum, 5)])
    cut.train()
    assert cut.iter == 5
    assert (tmp_path / 'cut/last_checkpoint').read_text().endswith('iter_5.pth')

    resumed = make_runner(tmp_path / 'cut', resume=True)
    resumed.train()
    assert resumed.iter == 12
    assert cut.model.seen + resumed.model.seen == whole.model.seen
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor)


def test_steps_that_only_accumulate_are_passed_over(tmp_path):
    runner = make_runner(tmp_path / 'run', [SignalMyself(signal.SIGTERM, 5)], accumulative_counts=4)
    runner.train()
    assert runner.iter == 8


def test_a_step_that_saves_anyway_is_not_saved_twice(tmp_path):
    runner = make_runner(tmp_path / 'run', [SignalMyself(signal.SIGTERM, 5)])
    hook = next(h for h in runner.hooks if type(h).__name__ == 'CheckpointHook')
    hook.interval = 5
    saves = []
    original = runner.save_checkpoint
    runner.save_checkpoint = lambda *args, **kwargs: (saves.append(args[1]), original(*args, **kwargs))
    runner.train()
    assert saves == ['iter_5.pth']


def test_signals_are_given_back_after_the_run(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    runner = make_runner(tmp_path / 'run')
    assert signal.getsignal(signal.SIGTERM) != before
    runner.train()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_second_signal_leaves_at_once(tmp_path):
    script = textwrap.dedent("""
        import os, signal, time
        from fallen_trees.interrupt_hook import InterruptHook
        hook = InterruptHook()
        os.kill(os.getpid(), signal.SIGTERM)
        print('still here', hook.signum == signal.SIGTERM, flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
        print('too long')
    """)
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert done.returncode == 130
    # MMDetection prints a line of its own when it is imported
    assert done.stdout.splitlines()[-1] == 'still here True'

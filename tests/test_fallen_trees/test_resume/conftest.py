"""Runs in forked children of this process, which has imported everything: a kill is real and costs little."""

import contextlib
import gc
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import mmengine.runner.runner
import pytest
import torch
import yapf.yapflib.yapf_api
from mmengine.logging import MessageHub, MMLogger
from mmengine.visualization import Visualizer

from fallen_trees.derive.config import REPOSITORY
from fallen_trees.resume.interrupt_hook import InterruptHook

# The demo's model and pipeline at a size that starts and steps in a moment.
TINY = """
_base_ = ['{demo}']
data_root = '{data}'
image_size = (64, 64)
train_dataloader = dict(batch_size=2, num_workers=0)
val_dataloader = dict(num_workers=0, dataset=dict(indices=3))
model = dict(
    backbone=dict(base_channels=8),
    panoptic_head=dict(
        in_channels=[8, 16, 32, 64],
        feat_channels=16,
        out_channels=16,
        num_queries=5,
        pixel_decoder=dict(
            encoder=dict(
                layer_cfg=dict(
                    self_attn_cfg=dict(embed_dims=16), ffn_cfg=dict(embed_dims=16, feedforward_channels=32)
                )
            ),
            norm_cfg=dict(num_groups=4),
            positional_encoding=dict(num_feats=8),
        ),
        positional_encoding=dict(num_feats=8),
        transformer_decoder=dict(
            num_layers=1,
            layer_cfg=dict(
                self_attn_cfg=dict(embed_dims=16),
                cross_attn_cfg=dict(embed_dims=16),
                ffn_cfg=dict(embed_dims=16, feedforward_channels=32),
            ),
        ),
    ),
    train_cfg=dict(num_points=256),
)
train_cfg = dict(max_iters=8, val_interval=3)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2, every_minutes=None))
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
vis_backends = [dict(type='LocalVisBackend')]
"""

# Three steps of the demo's own model on tiny tiles, a checkpoint of each.
THREE_STEPS = """
_base_ = ['{demo}']
data_root = '{data}'
image_size = (64, 64)
train_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False)
val_dataloader = val_evaluator = val_cfg = None
test_dataloader = dict(num_workers=0, persistent_workers=False)
train_cfg = dict(max_iters=3, val_interval=3)
lr_warmup_updates = 1
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1, save_best=None))
custom_hooks = [dict(type='IterationSeedHook'), dict(type='InterruptHook'), {hooks}]
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(vis_backends=vis_backends)
"""


def _child(act, log):
    """What the forked process does; it never returns."""
    code = 1
    try:
        torch.set_num_threads(1)  # OpenMP's pool of threads does not survive a fork: a loop shared with it never ends
        gc.freeze()  # or every collection would walk through all that pytest holds
        yapf.yapflib.yapf_api.FormatCode = lambda text, **_: (text, False)  # a second for each save, of looks alone
        mmengine.runner.runner.collect_env = dict  # asks compilers for their versions
        for kind in (MessageHub, MMLogger, Visualizer):
            kind._instance_dict.clear()  # what another test built in this process
        sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        os.close(sink)
        sys.stdout, sys.stderr = (os.fdopen(fd, 'w', buffering=1, closefd=False) for fd in (1, 2))
        code = act() or 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


@pytest.fixture(scope='session')
def fork(tmp_path_factory):
    """Run a function in a forked child; returns its exit code (negative: the signal that ended it) and what it printed.

    With `kill_after`, the child gets a SIGKILL after so many seconds, if it is still there.
    """
    folder = tmp_path_factory.mktemp('logs')

    def run(act, kill_after=None):
        log = folder / f'{time.monotonic_ns()}.log'
        for number in InterruptHook.signals:  # of a run in this process that nobody ended: it would shield its children
            owner = getattr(signal.getsignal(number), '__self__', None)
            if isinstance(owner, InterruptHook):
                owner._give_back()
        pid = os.fork()
        if pid == 0:
            _child(act, log)
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        return os.waitstatus_to_exitcode(status), log.read_text(errors='replace') if log.exists() else ''

    return run


def load(name, file):
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def train_tool():
    """The `main` of tools/train.py."""
    return load('train_tool', REPOSITORY / 'tools' / 'train.py').main


@pytest.fixture(scope='session')
def toy():
    """The module of the toy model beside this file."""
    return load('toy', Path(__file__).with_name('toy.py'))


@pytest.fixture(scope='session')
def tiny_config(tiles, tmp_path_factory):
    """A config file of the demo, tiny: 8 iterations, saved every 2, validated every 3."""
    file = tmp_path_factory.mktemp('config') / 'tiny.py'
    file.write_text(TINY.format(demo=REPOSITORY / 'configs/m2f_trees_demo.py', data=tiles))
    return file


@pytest.fixture
def work_dir():
    """A folder in memory where there is one: a run here syncs dozens of files."""
    folder = tempfile.mkdtemp(dir='/dev/shm' if os.access('/dev/shm', os.W_OK) else None)
    yield Path(folder, 'run')
    shutil.rmtree(folder)


@pytest.fixture(scope='session')
def three_steps(tiles, tmp_path_factory):
    """Write the config of three steps, with the hooks given as text; returns its path."""

    def write(hooks):
        file = tmp_path_factory.mktemp('config') / 'tiny.py'
        file.write_text(THREE_STEPS.format(demo=REPOSITORY / 'configs/m2f_trees_demo.py', data=tiles, hooks=hooks))
        return file

    return write

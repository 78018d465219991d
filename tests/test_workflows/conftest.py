"""A folder in which the commands of docs/workflows.md run as they stand there, at toy size.

`configs/coco/m2f_r50_custom.py` in it is the real one with a tiny network, from nothing: a command finds the file that
lies where it is started before the repository's.
"""

import glob
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
for folder in ('test_tools', 'test_workflows'):  # what tests share is imported by name, by the server of processes too
    sys.path.append(str(ROOT / 'tests' / folder))
TOY = """
load_from = None
image_size = (64, 64)
train_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
train_cfg = dict(max_iters={iterations}, val_interval={iterations})
lr_warmup_updates = 10
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))))
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval={iterations}))
"""


@pytest.fixture(scope='session')
def place(tmp_path_factory):
    """Make a folder with a toy config in it; gives the folder, and `run` and `stop` for command lines."""
    import warm_process

    server = warm_process.server()

    def make(iterations=110, config='configs/coco/m2f_r50_custom.py'):
        folder = tmp_path_factory.mktemp('place')
        tiny = (ROOT / 'configs/_base_/models/mask2former_r18_tiny.py').read_text()
        own = re.sub(r'(?m)^_base_ = .*$', f"_base_ = ['{ROOT / config}']", tiny)
        (folder / config).parent.mkdir(parents=True)
        (folder / config).write_text(own + TOY.format(iterations=iterations))

        def run(line, *more):
            python, first, *args = [*words(line, folder), *more]
            assert python == 'python'
            if first.endswith('.py'):
                script = folder / first if (folder / first).is_file() else ROOT / first
                return warm_process.run(server, script, args, folder, timeout_s=280)
            return subprocess.run(
                [sys.executable, first, *args], cwd=folder, capture_output=True, text=True, timeout=280,
                env=os.environ | {'PYTHONPATH': str(ROOT)},
            )  # fmt: skip

        return SimpleNamespace(folder=folder, run=run, stop=lambda line, signum: stop(line, signum, folder))

    return make


def words(line, folder):
    """Words of a command line as a shell hands them on."""
    found = []
    for word in shlex.split(line.replace('\\\n', ' ')):
        found += sorted(glob.glob(word, root_dir=folder)) if '*' in word else [word]
    return found


def stop(line, signum, folder):
    """Start a training command, send it a signal after 20 iterations, and give what it ended with and said."""
    _, tool, *args = words(line, folder)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / tool), *args], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    said = []
    for text in process.stdout:
        said.append(text)
        found = re.search(r'Iter\(train\) \[ *(\d+)/', text)
        if found and int(found[1]) >= 20:
            break
    os.killpg(process.pid, signum)
    said.append(process.communicate(timeout=120)[0])
    return process.returncode, ''.join(said)


@pytest.fixture(scope='session')
def untrained():
    """Score of a network that has learnt nothing, as a test of the same config gives it."""

    def figures(place, data_root, config='configs/coco/m2f_r50_custom.py'):
        nothing = ['train_cfg.max_iters=1', 'optim_wrapper.optimizer.lr=0', 'val_cfg=None', 'val_dataloader=None',
                   'val_evaluator=None', 'default_hooks.checkpoint.interval=1']  # fmt: skip
        options = ['--cfg-options', f'data_root={data_root}']
        done = place.run(f'python tools/train.py {config} --work-dir work_dirs/nothing', *options, *nothing)
        assert done.returncode == 0, done.stderr
        checkpoint = 'work_dirs/nothing/iter_1.pth'
        done = place.run(f'python tools/test.py {config} {checkpoint} --work-dir work_dirs/nothing', *options)
        assert done.returncode == 0, done.stderr
        return json.loads((place.folder / 'work_dirs/nothing/metrics.json').read_text())

    return figures


def blocks(heading, language=''):
    """Code blocks of a section of docs/workflows.md."""
    text = (ROOT / 'docs/workflows.md').read_text(encoding='utf-8')
    section = re.search(rf'(?ms)^## {re.escape(heading)}$(.*?)(?=^## |\Z)', text)[1]
    return re.findall(rf'(?ms)^```{language}\n(.*?)^```$', section)


@pytest.fixture(scope='session')
def section():
    """Code blocks of a section of docs/workflows.md."""
    return blocks

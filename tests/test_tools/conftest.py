import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The demo's model and pipeline at a size that starts and steps in seconds.
TINY = """
_base_ = ['{demo}']
data_root = '{data}'
image_size = (64, 64)
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
train_cfg = dict(max_iters=4, val_interval=4)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2))
"""


@pytest.fixture(scope='session')
def tiny_config(tiles, tmp_path_factory):
    file = tmp_path_factory.mktemp('config') / 'tiny.py'
    file.write_text(TINY.format(demo=ROOT / 'configs/m2f_trees_demo.py', data=tiles))
    return file


@pytest.fixture(scope='session')
def run_tool(tmp_path_factory):
    """Run a command of the project from a folder that is not the repository, without PYTHONPATH.

    Python tools run in a warm process (see `warm_process`), unless variables of the environment are given.
    """
    elsewhere = tmp_path_factory.mktemp('elsewhere')
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    environment['PATH'] = f'{Path(sys.executable).parent}:{environment["PATH"]}'
    environment['PYTHON'] = sys.executable

    sys.path.append(str(Path(__file__).parent))  # the server imports what it forks for by name
    import warm_process

    server = warm_process.server()

    def run(tool, *args, **variables):
        if tool.endswith('.py') and not variables:
            return warm_process.run(server, ROOT / 'tools' / tool, [*map(str, args)], elsewhere, timeout_s=280)
        interpreter = 'bash' if tool.endswith('.sh') else sys.executable
        command = [interpreter, str(ROOT / 'tools' / tool), *map(str, args)]
        return subprocess.run(
            command, cwd=elsewhere, env=environment | variables, capture_output=True, text=True, timeout=280
        )

    return run


@pytest.fixture(scope='session')
def trained(tiny_config, run_tool, tmp_path_factory):
    """A finished run of four iterations: its work dir."""
    work_dir = tmp_path_factory.mktemp('trained')
    done = run_tool('train.py', tiny_config, '--work-dir', work_dir)
    assert done.returncode == 0, done.stderr
    return work_dir

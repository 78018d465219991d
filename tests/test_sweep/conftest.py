import importlib.util
import sys
from pathlib import Path

import optuna
import pytest

HERE, ROOT = Path(__file__).resolve().parent, Path(__file__).resolve().parents[2]
sys.path += [str(HERE), str(HERE.parent / 'test_tools')]  # toy_study, warm_process

TOY = HERE / 'toy_trainer.py'

# The demo at a size that starts and steps in seconds.
TINY = """
_base_ = ['{demo}']
data_root = '{data}'
image_size = (64, 64)
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
train_cfg = dict(max_iters=6, val_interval=2)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2))
"""
# The toy's best is a learning rate of 1e-3 with 20 queries.
SWEEP = """
_base_ = ['{base}']
search_space = {{
    'optim_wrapper.optimizer.lr': dict(type='float', low=1e-5, high=1e-1, log=True),
    'model.panoptic_head.num_queries': dict(type='int', low=10, high=30, step=5),
}}
sweep = dict(tool='{tool}', max_trials=4, pruner='none', sampler='random')
"""


@pytest.fixture(scope='session')
def tiny(tiles, tmp_path_factory):
    """A config that trains in seconds."""
    file = tmp_path_factory.mktemp('config') / 'tiny.py'
    file.write_text(TINY.format(demo=ROOT / 'configs/m2f_trees_demo.py', data=tiles))
    return file


@pytest.fixture
def write(tmp_path, tiny):
    """Write a sweep file, the one above with other lines after it; returns its path."""

    def write(*lines, name='toy', tool=TOY):
        file = tmp_path / f'{name}.py'
        file.write_text('\n'.join([SWEEP.format(base=tiny, tool=tool), *lines, '']))
        return file

    return write


@pytest.fixture(scope='session')
def tool():
    spec = importlib.util.spec_from_file_location('tool_sweep', ROOT / 'tools/sweep.py')
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


@pytest.fixture
def sweep(tool, monkeypatch, capsys, tmp_path):
    """Run the tool in this process, the study in tmp_path/out; returns exit code, stdout, stderr."""
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.setattr('logging.raiseExceptions', True)

    def run(file, *args):
        capsys.readouterr()
        try:
            code = tool.main([str(file), '--work-dir', str(tmp_path / 'out'), *map(str, args)])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def trials(tmp_path):
    """Trials of the study in tmp_path/out."""

    def read(name='toy', url=None):
        return optuna.load_study(study_name=name, storage=url or f'sqlite:///{tmp_path}/out/study.db').trials

    return read


@pytest.fixture
def start(tmp_path):
    """Start the tool in a process of its own, ready to be killed; its streams go to files."""
    import warm_process

    server = warm_process.server()
    started = []

    def start(file, *args, out='out'):
        argv = [str(file), '--work-dir', str(tmp_path / out), *map(str, args)]
        streams = [str(tmp_path / f'{name}_{len(started)}') for name in ('stdout', 'stderr')]
        process = server.Process(
            target=warm_process.main, args=(str(ROOT / 'tools/sweep.py'), argv, str(tmp_path), *streams)
        )
        process.start()
        process.said = lambda: ''.join(Path(path).read_text() for path in streams if Path(path).exists())
        started.append(process)
        return process

    yield start
    for process in started:
        if process.is_alive():
            process.kill()
        process.join()

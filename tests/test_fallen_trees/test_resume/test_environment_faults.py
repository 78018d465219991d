"""The real training command on a machine that fails: one clear line and exit code 3, or the run goes on."""

import errno
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import module_from_spec, spec_from_file_location
from multiprocessing import active_children
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmdet.models import Mask2Former
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from fallen_trees.resume.checkpoint_file import damage, newest_good
from fallen_trees.resume.work_dir_lock import locked

ROOT = Path(__file__).resolve().parents[3]


@HOOKS.register_module()
class FaultHook(Hook):
    """Something happens to the machine before the second iteration."""

    priority = 'HIGHEST'
    fault = staticmethod(lambda runner, data_batch: None)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 1:
            self.fault(runner, data_batch)


@pytest.fixture(scope='module')
def run(fork, tmp_path_factory):
    """Run the command in a forked child, `before` and `fault` in the child alone: exit code and what it wrote."""
    spec = spec_from_file_location('tool_train', ROOT / 'tools/train.py')
    tool = module_from_spec(spec)
    spec.loader.exec_module(tool)
    output = tmp_path_factory.mktemp('output') / 'output.txt'

    def run(config, work_dir, *argv, before=None, fault=None):
        # Through a pipe, so that limits on the size of files do not meet what is written here.
        with open(output, 'w') as file:
            writer = subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=file)

        def act():
            for stream in (1, 2):
                os.dup2(writer.stdin.fileno(), stream)
            os.close(writer.stdin.fileno())
            if fault is not None:
                FaultHook.fault = staticmethod(fault)
            if before is not None:
                before()
            return tool.main([str(item) for item in (config, '--work-dir', work_dir, *argv)])

        code, _ = fork(act)
        writer.stdin.close()
        writer.wait(timeout=20)  # until the last worker has gone, too
        return SimpleNamespace(code=code, text=output.read_text(errors='replace'))

    return run


@pytest.fixture(scope='module')
def config(three_steps):
    return three_steps("dict(type='GuardHook', val_batches=0, finite_interval=1), dict(type='FaultHook')")


def assert_one_line(done, code, *words):
    errors = [line for line in done.text.splitlines() if line.startswith('error: ')]
    assert done.code == code and len(errors) == 1, done.text
    assert 'Traceback' not in done.text, done.text
    for word in words:
        assert word in errors[0], errors[0]


def assert_done(done, work_dir):
    assert done.code == 0, done.text
    assert 'Traceback' not in done.text, done.text
    assert newest_good(work_dir)[0].name == 'iter_3.pth'


# Disk full.


def limit_files(size):
    return lambda *args: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_disk_full_from_the_start_says_so(run, config, tmp_path):
    assert_one_line(run(config, tmp_path / 'run', before=limit_files(1000)), 3, 'File too large', '--resume')


def test_disk_full_at_the_checkpoints_keeps_the_older_one(run, config, tmp_path):
    done = run(config, tmp_path, fault=limit_files(2**20))
    assert_one_line(done, 3, 'iter_3.pth could not be saved', 'free space', '--resume')
    assert 'iter_2.pth could not be saved' in done.text and 'The run goes on' in done.text
    assert newest_good(tmp_path)[0].name == 'iter_1.pth'
    assert not [name for name in os.listdir(tmp_path) if name.startswith('.iter')]


def test_after_the_disk_has_room_again_the_run_goes_on(run, config, tmp_path):
    run(config, tmp_path, fault=limit_files(2**20))
    assert_done(run(config, tmp_path, '--resume'), tmp_path)


def test_disk_full_in_the_logs_ends_the_run_with_one_line(run, config, tmp_path):
    def fill(runner, data_batch):
        # The log files are as large as they may get: nothing can be appended.
        largest = max(file.stat().st_size for file in Path(runner.log_dir).rglob('*') if file.is_file())
        limit_files(largest)()

    done = run(config, tmp_path, fault=fill)
    assert_one_line(done, 3, 'File too large', '--resume')
    assert newest_good(tmp_path)[0].name == 'iter_1.pth'


# Things in the way.


def test_a_folder_in_a_manifests_place_costs_that_checkpoint_only(run, config, tmp_path):
    done = run(
        config, tmp_path, fault=lambda runner, batch: Path(runner.work_dir, 'iter_2.pth.json', 'x').mkdir(parents=True)
    )
    assert_done(done, tmp_path)
    assert 'iter_2.pth could not be saved' in done.text
    assert damage(tmp_path / 'iter_1.pth') is None


def test_a_folder_in_the_pointers_place_is_said_and_moved_at_the_next_resume(run, config, tmp_path):
    """The pointer is for other tools; the checkpoint before it is saved all the same."""

    def occupy(runner, data_batch):
        Path(runner.work_dir, 'last_checkpoint').unlink()
        Path(runner.work_dir, 'last_checkpoint', 'x').mkdir(parents=True)

    done = run(config, tmp_path, fault=occupy)
    assert_done(done, tmp_path)
    assert 'iter_3.pth is saved, but tidying' in done.text
    (tmp_path / 'iter_3.pth').unlink()
    assert_done(run(config, tmp_path, '--resume'), tmp_path)
    assert (tmp_path / 'last_checkpoint').read_text() == 'iter_3.pth'
    assert (tmp_path / 'last_checkpoint.corrupt').is_dir()


@pytest.mark.parametrize('place', ['the work dir', 'above it', 'the lock'])
def test_a_file_or_folder_in_the_way_of_the_work_dir_is_one_line(run, config, tmp_path, place):
    work_dir = tmp_path / 'a' / 'run'
    if place == 'above it':
        (tmp_path / 'a').touch()
    else:
        (tmp_path / 'a').mkdir()
        (work_dir / '.lock').mkdir(parents=True) if place == 'the lock' else work_dir.touch()
    assert_one_line(run(config, work_dir), 3, str(tmp_path / 'a'))


@pytest.mark.skipif(os.getuid() != 0, reason='only root can become another user')
def test_a_folder_that_may_not_be_written_is_one_line(run, config):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        readable = shutil.copy(config, folder)
        os.chmod(readable, 0o644)
        done = run(readable, Path(folder, 'run'), before=lambda: os.setuid(65534))
        assert_one_line(done, 3, 'Permission denied')


def test_a_work_dir_that_vanishes_is_one_line(run, config, tmp_path):
    work_dir = tmp_path / 'run'
    done = run(config, work_dir, fault=lambda runner, batch: shutil.rmtree(runner.work_dir))
    assert_one_line(done, 3, str(work_dir), 'vanished')


# Input and output errors.


def test_a_device_that_cannot_sync_is_one_line(run, config, tmp_path):
    def fail(fd):
        raise OSError(errno.EIO, 'Input/output error')

    done = run(config, tmp_path, fault=lambda runner, batch: setattr(os, 'fsync', fail))
    assert_one_line(done, 3, 'iter_3.pth could not be saved', 'Input/output error')
    assert newest_good(tmp_path)[0].name == 'iter_1.pth'


def test_a_checkpoint_that_the_device_cannot_read_is_passed_over(run, config, tmp_path):
    assert run(config, tmp_path, '--cfg-options', 'train_cfg.max_iters=3').code == 0
    (tmp_path / 'iter_3.pth').unlink()
    (tmp_path / 'iter_3.pth').symlink_to('/proc/self/mem')  # reads give EIO
    done = run(config, tmp_path, '--resume')
    assert_done(done, tmp_path)
    assert 'iter_3.pth is damaged: it cannot be read: Input/output error' in done.text


@pytest.mark.parametrize('workers', [0, 1])
def test_an_image_that_the_device_cannot_read_is_one_line(run, config, tiles, tmp_path, workers):
    data = shutil.copytree(tiles, tmp_path / 'data')
    for image in (data / 'images/train').iterdir():
        image.unlink()
        image.symlink_to('/proc/self/mem')
    options = [f'data_root={data}', f'train_dataloader.num_workers={workers}']
    assert_one_line(run(config, tmp_path / 'run', '--cfg-options', *options), 3, 'Input/output error')


@pytest.mark.parametrize('workers', [0, 1])
def test_a_folder_of_images_that_is_gone_is_the_users_one_line(run, config, tiles, tmp_path, workers):
    data = shutil.copytree(tiles, tmp_path / 'data')
    shutil.rmtree(data / 'images/train')
    options = [f'data_root={data}', f'train_dataloader.num_workers={workers}']
    assert_one_line(run(config, tmp_path / 'run', '--cfg-options', *options), 2, 'images/train')


# Memory, workers, numbers.


def test_a_full_card_says_what_to_lower(run, config, tmp_path):
    def loss(self, *args):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total of 8 GiB.')

    done = run(config, tmp_path, before=lambda: setattr(Mask2Former, 'loss', loss))
    wanted = ('batch_size', 'image_size', 'num_points', 'num_queries', 'Tried to allocate 2.00 GiB')
    assert_one_line(done, 3, 'out of memory', *wanted)


def test_a_machine_without_memory_says_what_to_lower(run, config, tmp_path):
    done = run(config, tmp_path, fault=lambda runner, batch: torch.empty(2**55))
    assert_one_line(done, 3, 'out of memory', 'batch_size')
    assert newest_good(tmp_path)[0].name == 'iter_1.pth'


def test_a_data_loader_worker_that_is_killed_is_one_line_and_the_run_can_go_on(run, config, tmp_path):
    def kill(runner, data_batch):
        worker = active_children()[0]
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()

    workers = ['--cfg-options', 'train_dataloader.num_workers=1']
    done = run(config, tmp_path, *workers, 'train_dataloader.prefetch_factor=1', fault=kill)
    assert_one_line(done, 3, 'worker', 'num_workers', '--resume')
    assert_done(run(config, tmp_path, '--resume', *workers), tmp_path)


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_the_batch(run, config, tmp_path):
    def poison(runner, data_batch):
        data_batch['inputs'] = [torch.full(item.shape, float('nan')) for item in data_batch['inputs']]

    done = run(config, tmp_path, fault=poison)
    assert_one_line(done, 1, 'weights-not-finite')
    batch = torch.load(tmp_path / 'nonfinite_iter_2.pth', weights_only=True)
    assert batch['iter'] == 2 and any(value != value for values in batch['losses'].values() for value in values)
    (image,), (sample,) = batch['inputs'], batch['samples']
    assert image.shape == (3, 64, 64) and bool(image.isnan().all())
    assert Path(sample['img_path']).is_file()
    assert len(sample['bboxes']) == len(sample['labels']) == len(sample['masks'])
    assert sample['masks'].shape[1:] == (64, 64)
    assert newest_good(tmp_path)[0].name == 'iter_1.pth'


# Clocks, locks, ports.


@pytest.mark.parametrize('hours', [-48, 48])
def test_a_clock_that_jumps_changes_nothing(run, config, tmp_path, hours):
    clock = time.time
    done = run(config, tmp_path, fault=lambda *args: setattr(time, 'time', lambda: clock() + 3600 * hours))
    assert_done(done, tmp_path)
    assert [path.name for path in sorted(tmp_path.glob('iter_*.pth'))] == ['iter_1.pth', 'iter_2.pth', 'iter_3.pth']


def test_times_of_files_do_not_say_which_is_newest(run, config, tmp_path):
    assert run(config, tmp_path).code == 0
    (tmp_path / 'iter_3.pth').unlink()
    os.utime(tmp_path / 'iter_1.pth', (2**31, 2**31))
    done = run(config, tmp_path, '--resume')
    assert_done(done, tmp_path)
    assert 'resumed epoch: 0, iter: 2' in done.text


def test_two_runs_never_write_to_one_work_dir(run, config, tmp_path):
    with locked(tmp_path):
        assert_one_line(run(config, tmp_path), 2, 'another run', str(os.getpid()), '--work-dir')
    assert_done(run(config, tmp_path), tmp_path)


def test_a_file_system_without_locks_is_said_and_used(run, config, tmp_path):
    def no_locks(fd, operation):
        raise OSError(errno.ENOLCK, 'No locks available')

    done = run(config, tmp_path, before=lambda: setattr(fcntl, 'flock', no_locks))
    assert_done(done, tmp_path)
    assert 'cannot be locked (No locks available)' in done.text


def test_a_port_in_use_is_one_line(run, config, tmp_path):
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        server.listen()
        address = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(server.getsockname()[1]))
        job = dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='2', **address)
        done = run(config, tmp_path, '--launcher', 'pytorch', before=lambda: os.environ.update(job))
    assert_one_line(done, 3, 'port', 'PORT=')


def test_a_settings_file_that_was_cut_is_no_obstacle(run, config, tmp_path):
    """A manifest without its settings: nothing is compared, and that is said."""
    assert run(config, tmp_path).code == 0
    (tmp_path / 'iter_3.pth').unlink()
    manifest = tmp_path / 'iter_2.pth.json'
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), 'settings': None}))
    done = run(config, tmp_path, '--resume')
    assert_done(done, tmp_path)
    assert 'nothing was compared' in done.text

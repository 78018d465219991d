"""Jobs of two processes, on the CPU, that are killed, signalled and started again by the real commands."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
CHAOS = pytest.mark.chaos
LONG = ('train_cfg.max_iters=1000', 'default_hooks.checkpoint.interval=500')


@pytest.fixture(scope='session')
def job_config(tiny_config, tmp_path_factory):
    """Eight steps, saved every two and validated every four, with data-loader workers."""
    file = tmp_path_factory.mktemp('job') / 'job.py'
    file.write_text(f"""
_base_ = ['{tiny_config}']
custom_imports = dict(imports=['fallen_trees', 'death_hook'])
train_dataloader = dict(num_workers=2, persistent_workers=True)
train_cfg = dict(max_iters=8, val_interval=4)
val_dataloader = dict(dataset=dict(indices=4))
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2, every_minutes=None))
""")
    return file


class Job:
    """`dist_train.sh` with two processes; all its processes carry a mark in their environment."""

    def __init__(self, config, work_dir, log, *flags, death=None, options=(), **variables):
        self.mark, self.log, self.work_dir = uuid.uuid4().hex, log, work_dir
        command = ['bash', str(ROOT / 'tools/dist_train.sh'), str(config), '2', '--work-dir', str(work_dir), *flags]
        command += ['--cfg-options', *options] if options else []
        if death:
            derived = work_dir.with_name(f'{work_dir.name}_dies.py')
            derived.write_text(
                f"_base_ = ['{config}']\ncustom_hooks = [dict(type='IterationSeedHook'), dict(type='InterruptHook'), "
                f"dict(type='GuardHook'), dict(type='DeathHook', {death})]\n"
            )
            command[2] = str(derived)
        environment = os.environ | variables | {'JOB_MARK': self.mark, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1'}
        environment['PYTHONPATH'] = f'{Path(__file__).parent}:{os.environ.get("PYTHONPATH", "")}'
        with open(log, 'w') as file:
            self.process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)

    @property
    def text(self):
        return self.log.read_text(errors='replace')

    def wait_for(self, words, times=1, seconds=150):
        until = time.monotonic() + seconds
        while self.text.count(words) < times:
            assert self.process.poll() is None and time.monotonic() < until, self.text[-3000:]
            time.sleep(0.05)

    def end(self, seconds=200):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f'still there: {self.processes()}\n{self.text[-3000:]}')

    def processes(self):
        found = []
        for folder in Path('/proc').glob('[0-9]*'):
            try:
                if f'JOB_MARK={self.mark}'.encode() in (folder / 'environ').read_bytes():
                    found.append(int(folder.name))
            except OSError:  # gone, or a zombie
                continue
        return found

    def is_gone(self, seconds=30):
        until = time.monotonic() + seconds
        while self.processes() and time.monotonic() < until:
            time.sleep(0.1)
        return self.processes() == []


@pytest.fixture
def start(job_config, tmp_path):
    """Start a job; whatever of it is still there at the end is killed."""
    jobs = []

    def begin(*flags, name='run', **rest):
        jobs.append(Job(job_config, tmp_path / name, tmp_path / f'{name}{len(jobs)}.log', *flags, **rest))
        return jobs[-1]

    yield begin
    for job in jobs:
        for pid in job.processes():
            os.kill(pid, signal.SIGKILL)
        job.process.wait()


def steps(log):
    """Numbers of the training steps in a log, in their order."""
    return [int(number) for number in re.findall(r'Iter\(train\) \[ *(\d+)/', log)]


def saved(work_dir):
    return sorted(path.name for path in work_dir.glob('iter_*.pth'))


def same(one, other):
    """Whether two checkpoints hold the same numbers, to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def state(path):
    checkpoint = torch.load(path, weights_only=True)
    return {key: checkpoint[key] for key in ('state_dict', 'optimizer', 'param_schedulers')}


@pytest.fixture(scope='session')
def unbroken(job_config, tmp_path_factory):
    """The last checkpoint of a job that nothing happened to."""
    folder = tmp_path_factory.mktemp('unbroken')
    job = Job(job_config, folder / 'run', folder / 'log')
    assert job.end() == 0, job.text[-3000:]
    assert steps(job.text) == list(range(1, 9))
    return state(folder / 'run/iter_8.pth')


def test_a_job_whose_process_is_killed_starts_again_and_ends_as_if_nothing_had_happened(start, unbroken):
    job = start(death='rank=1, iteration=5')
    assert job.end() == 0, job.text[-3000:]
    assert 'A process of this job died; this is start 2.' in job.text
    assert steps(job.text) in ([1, 2, 3, 4, 5, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 5, 6, 7, 8])
    assert same(state(job.work_dir / 'iter_8.pth'), unbroken)
    assert job.is_gone()


@CHAOS
def test_killed_twice_in_the_saving_process_too(start, unbroken):
    job = start(death='rank=0, iteration=3, starts=2')
    assert job.end() == 0, job.text[-3000:]
    assert 'this is start 3.' in job.text
    assert same(state(job.work_dir / 'iter_8.pth'), unbroken)


@CHAOS
def test_killed_in_a_validation_it_validates_first(start, unbroken):
    job = start(death='rank=1, validation=True')
    assert job.end() == 0, job.text[-3000:]
    assert 'Validating iteration 4 first' in job.text
    assert steps(job.text) == list(range(1, 9))
    assert same(state(job.work_dir / 'iter_8.pth'), unbroken)


@CHAOS
def test_restarts_are_counted(start):
    job = start(death='rank=1, iteration=1, starts=9', MAX_RESTARTS='1')
    assert job.end() == 128 + signal.SIGKILL
    assert 'this is start 2.' in job.text
    assert 'this is start 3.' not in job.text
    assert job.text.strip().splitlines()[-1] == (
        'error: process 1 of the job ended with signal 9, and no restart is left.'
    )
    assert job.is_gone()


@CHAOS
def test_a_job_that_dies_before_its_first_step_does_not_go_on_from_an_older_run(start):
    older = start()
    assert older.end() == 0, older.text[-3000:]
    job = start(death='rank=1, before_run=True')
    assert job.end() == 0, job.text[-3000:]
    assert steps(job.text) == list(range(1, 9))
    assert saved(job.work_dir / 'earlier')


@CHAOS
@pytest.mark.parametrize('signum', [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_to_the_launcher_ends_the_job_with_one_checkpoint(start, signum):
    job = start(options=LONG)
    job.wait_for('Iter(train)', 2)
    os.kill(job.process.pid, signum)
    assert job.end() == 128 + signum, job.text[-3000:]
    assert len(saved(job.work_dir)) == 1
    assert f'Stopped by {signum.name}' in job.text
    assert 'this is start' not in job.text
    assert job.is_gone()


@CHAOS
@pytest.mark.parametrize('signum', [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_all_processes_at_once_is_one_signal(start, signum):
    """As SLURM sends it: the launcher passes on what its children have got already."""
    job = start(options=LONG)
    job.wait_for('Iter(train)', 2)
    for pid in job.processes():
        os.kill(pid, signum)
    assert job.end() == 128 + signum, job.text[-3000:]
    assert len(saved(job.work_dir)) == 1
    assert job.is_gone()


@CHAOS
def test_a_signal_to_one_process_stops_both_at_the_same_step(start):
    job = start(death=f'rank=1, iteration=2, signum={int(signal.SIGUSR1)}')
    assert job.end() == 128 + signal.SIGUSR1, job.text[-3000:]
    assert saved(job.work_dir) == ['iter_2.pth', 'iter_3.pth']
    assert 'this is start' not in job.text
    assert job.is_gone()
    resumed = start('--resume')
    assert resumed.end() == 0, resumed.text[-3000:]
    assert steps(resumed.text) == [4, 5, 6, 7, 8]


@CHAOS
def test_a_signal_in_a_validation_saves_nothing_more_and_the_next_start_validates_first(start, unbroken):
    job = start(death=f'rank=0, validation=True, signum={int(signal.SIGTERM)}')
    assert job.end() == 128 + signal.SIGTERM, job.text[-3000:]
    assert saved(job.work_dir) == ['iter_2.pth', 'iter_4.pth']
    assert 'while validating iteration 4' in job.text
    resumed = start('--resume')
    assert resumed.end() == 0, resumed.text[-3000:]
    assert 'Validating iteration 4 first' in resumed.text
    assert same(state(job.work_dir / 'iter_8.pth'), unbroken)


@CHAOS
def test_a_second_signal_leaves_at_once(start):
    job = start(options=(*LONG, 'optim_wrapper.accumulative_counts=1000'))  # the first waits for step 1000
    job.wait_for('Iter(train)', 2)
    os.kill(job.process.pid, signal.SIGTERM)
    time.sleep(3)
    assert job.process.poll() is None
    os.kill(job.process.pid, signal.SIGTERM)
    began = time.monotonic()
    assert job.end() == 128 + signal.SIGTERM, job.text[-3000:]
    assert time.monotonic() - began < 30
    assert saved(job.work_dir) == []
    assert job.is_gone()


@CHAOS
def test_a_job_whose_launcher_is_killed_saves_and_ends(start):
    job = start(options=LONG)
    job.wait_for('Iter(train)', 2)
    os.kill(job.process.pid, signal.SIGKILL)
    assert job.is_gone(60)
    assert len(saved(job.work_dir)) == 1
    assert 'Stopped by SIGTERM' in job.text


@CHAOS
def test_data_loader_workers_end_with_a_killed_process(start):
    job = start(options=LONG, MAX_RESTARTS='0')
    job.wait_for('Iter(train)', 2)
    everyone = job.processes()
    assert len(everyone) >= 1 + 2 + 2 * 2
    for pid in everyone:
        if b'train.py' in Path(f'/proc/{pid}/cmdline').read_bytes() and is_rank(pid, job.process.pid):
            os.kill(pid, signal.SIGKILL)
    assert job.end() == 128 + signal.SIGKILL
    assert job.is_gone()


def is_rank(pid, launcher):
    return re.search(rf'^PPid:\s+{launcher}$', Path(f'/proc/{pid}/status').read_text(), re.M) is not None


@CHAOS
@pytest.mark.parametrize(
    ('flags', 'options', 'said'),
    [
        (['--resume', '/nowhere.pth'], (), 'does not exist'),
        (['--rezume'], (), 'unrecognized arguments'),
        ([], ('optim_wrapper.optimizer.lrr=1',), "'lr'"),
    ],
)
def test_a_mistake_is_not_repeated(start, flags, options, said):
    job = start(*flags, options=options)
    assert job.end() == 2, job.text[-3000:]
    assert said in job.text
    assert 'Traceback' not in job.text
    assert 1 <= job.text.count('error: ') <= 2  # both processes may say it, of one start
    assert job.is_gone()


@CHAOS
def test_both_processes_go_on_from_the_same_checkpoint_when_the_newest_is_damaged(start, unbroken):
    cut = start(death=f'rank=1, iteration=5, signum={int(signal.SIGTERM)}')
    assert cut.end() == 128 + signal.SIGTERM, cut.text[-3000:]
    newest = cut.work_dir / 'iter_6.pth'
    with open(newest, 'r+b') as file:
        file.truncate(newest.stat().st_size // 2)
    job = start('--resume')
    assert job.end() == 0, job.text[-3000:]
    assert steps(job.text) == [5, 6, 7, 8]
    assert [path.name for path in job.work_dir.glob('*.corrupt*')] == ['iter_6.pth.corrupt']
    assert same(state(job.work_dir / 'iter_8.pth'), unbroken)


@CHAOS
def test_restarts_with_a_port_of_ones_own(start, unbroken):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    job = start(death='rank=0, iteration=5', PORT=str(port))
    assert job.end() == 0, job.text[-3000:]
    assert same(state(job.work_dir / 'iter_8.pth'), unbroken)


@pytest.mark.parametrize('port', [None, pytest.param('free', marks=pytest.mark.slow)])
def test_processes_meet_where_the_machines_name_leads_nowhere(tmp_path, port):
    """As in a container: the name is in no file and no server knows it."""
    if subprocess.run(['unshare', '--uts', 'true'], check=False).returncode:
        pytest.skip('needs the right to give a process another host name (root)')
    script = tmp_path / 'meet.py'
    script.write_text(
        'import os\nimport torch\nimport torch.distributed as dist\n'
        "dist.init_process_group('gloo')\nranks = torch.tensor([dist.get_rank() + 1])\ndist.all_reduce(ranks)\n"
        # in one piece, as print is none where Python's output is unbuffered
        "os.write(1, f'together {ranks.item()}\\n'.encode())\ndist.destroy_process_group()\n"
    )
    lines = f'hostname nowhere-{uuid.uuid4().hex[:8]}; set -eu; source {ROOT}/tools/torchrun.sh; torchrun 0 2 {script}'
    environment = os.environ | {'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1'}
    if port:
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            environment['PORT'] = str(free.getsockname()[1])
    command = ['unshare', '--uts', 'bash', '-c', lines]
    job = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        said, _ = job.communicate(timeout=100)
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)
        pytest.fail('the processes did not find each other')
    assert job.returncode == 0 and said.count('together 3') == 2

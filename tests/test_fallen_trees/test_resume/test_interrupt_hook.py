"""A real runner on a one-layer model, stopped by real signals."""

import os
import signal
import subprocess

import pytest
import torch
from mmengine.hooks import CheckpointHook
from torch.utils.data import DataLoader

from fallen_trees.resume.checkpoint_file import newest_good
from fallen_trees.resume.interrupt_hook import InterruptHook, RunInterrupted

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]


@pytest.fixture(autouse=True)
def signals_given_back():
    """A run that a signal ends gives the signals back when its tool calls `after_run`; here nobody does."""
    before = {number: signal.getsignal(number) for number in InterruptHook.signals}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def signal_at(toy, signum, iteration):
    return toy.Tell(train=lambda runner: runner.iter + 1 == iteration and os.kill(os.getpid(), signum))


def stop(runner):
    """Train until the signal; returns the exception."""
    with pytest.raises(RunInterrupted) as stopped:
        runner.train()
    return stopped.value


@pytest.mark.parametrize('signum', SIGNALS)
def test_a_signal_ends_the_run_at_that_step_and_resume_goes_on_as_if_nothing_happened(toy, tmp_path, signum):
    whole = toy.make_runner(tmp_path / 'whole')
    whole.train()

    cut = toy.make_runner(tmp_path / 'cut', [signal_at(toy, signum, 5)])
    assert stop(cut).signum == signum
    assert (tmp_path / 'cut/last_checkpoint').read_text() == 'iter_5.pth'

    resumed = toy.make_runner(tmp_path / 'cut', resume=True)
    resumed.train()
    assert resumed.iter == 12
    assert cut.model.seen + resumed.model.seen == whole.model.seen
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor)


@pytest.mark.parametrize('signum', SIGNALS)
def test_in_a_validation_the_run_stops_and_the_resumed_one_validates_first(toy, tmp_path, signum):
    batches = []

    def signal_once(runner):
        batches.append(runner.iter)
        if len(batches) == 1:
            os.kill(os.getpid(), signum)

    cut = toy.make_runner(tmp_path / 'run', [toy.Tell(val=signal_once)])
    assert stop(cut).signum == signum
    assert batches == [6]  # of two
    saved = torch.load(newest_good(tmp_path / 'run')[0], weights_only=True)
    assert (saved['meta']['iter'], saved['meta']['validation_pending']) == (6, True)

    validated = []
    resumed = toy.make_runner(tmp_path / 'run', [toy.Tell(val=lambda r: validated.append(r.iter))], resume=True)
    resumed.train()
    assert validated == [6, 6, 12, 12]
    assert (tmp_path / 'run/best_score_iter_12.pth').is_file()


def test_a_validation_that_a_resumed_run_owes_can_be_stopped_too(fork, toy, work_dir):
    tell = toy.Tell(val=lambda runner: os.kill(os.getpid(), signal.SIGTERM))

    def run(resume):
        stop(toy.make_runner(work_dir, [tell], resume=resume))

    for resume in (False, True):
        code, log = fork(lambda resume=resume: run(resume))
        assert code == 0, log[-2000:]  # a second signal, at the second batch, would have ended it with 143
        assert 'while validating iteration 6' in log


def test_steps_that_only_accumulate_are_passed_over(toy, tmp_path):
    runner = toy.make_runner(tmp_path / 'run', [signal_at(toy, signal.SIGTERM, 5)], accumulative_counts=4)
    stop(runner)
    assert newest_good(tmp_path / 'run')[0].name == 'iter_8.pth'


@pytest.mark.parametrize('kind', ['SafeCheckpointHook', 'CheckpointHook'])
def test_a_step_that_saves_anyway_is_not_saved_twice(toy, tmp_path, kind):
    runner = toy.make_runner(
        tmp_path / 'run', [signal_at(toy, signal.SIGTERM, 5)], validate=False, checkpoint=dict(type=kind, interval=5)
    )
    saves, work = [], runner.save_checkpoint
    runner.save_checkpoint = lambda folder, name, *args, **kwargs: (
        saves.append(name),
        work(folder, name, *args, **kwargs),
    )
    stop(runner)
    assert len(saves) == 1
    assert (tmp_path / 'run/iter_5.pth').is_file()


def test_a_run_without_a_checkpoint_hook_says_that_nothing_is_saved(toy, tmp_path, capsys):
    runner = toy.make_runner(tmp_path / 'run', [signal_at(toy, signal.SIGTERM, 2)], validate=False)
    runner._hooks = [hook for hook in runner.hooks if not isinstance(hook, CheckpointHook)]
    stop(runner)
    assert 'nothing is saved' in ''.join(path.read_text() for path in (tmp_path / 'run').rglob('*.log'))


def test_signals_are_given_back_after_the_run(toy, tmp_path):
    before = {number: signal.getsignal(number) for number in SIGNALS}
    runner = toy.make_runner(tmp_path / 'run')
    assert all(signal.getsignal(number) != before[number] for number in SIGNALS)
    runner.train()
    runner.call_hook('after_run')
    assert {number: signal.getsignal(number) for number in SIGNALS} == before


def test_the_tool_ends_with_the_code_of_the_signal(fork, train_tool, tiny_config, work_dir):
    def run():
        from fallen_trees.resume.randomness import IterationSeedHook

        work = IterationSeedHook.before_train_iter

        def act(self, runner, *args, **kwargs):
            if runner.iter == 2:
                os.kill(os.getpid(), signal.SIGUSR1)
            work(self, runner, *args, **kwargs)

        IterationSeedHook.before_train_iter = act
        return train_tool([str(tiny_config), '--work-dir', str(work_dir)])

    code, log = fork(run)
    assert code == 128 + signal.SIGUSR1, log[-3000:]
    assert 'Stopped by SIGUSR1 after iteration 3; the same command with --resume goes on from there.' in log
    assert newest_good(work_dir)[0].name == 'iter_3.pth'


@pytest.mark.parametrize('second', SIGNALS)
def test_a_second_signal_leaves_at_once(fork, second):
    def run():
        hook = InterruptHook()
        os.kill(os.getpid(), signal.SIGTERM)
        print('still here', hook.signum == signal.SIGTERM)
        os.kill(os.getpid(), second)
        print('too long')

    code, log = fork(run)
    assert (code, log.splitlines()) == (128 + second, ['still here True'])


def test_data_loader_workers_are_out_of_the_reach_of_signals(fork):
    def run():
        InterruptHook()
        worker = os.fork()
        if worker == 0:
            signal.alarm(20)
            signal.pause()
        parent_group = os.getpgrp()
        while os.getpgid(worker) == parent_group:
            pass
        for number in SIGNALS:
            os.kill(worker, number)
        alive = os.waitpid(worker, os.WNOHANG) == (0, 0)
        os.kill(worker, signal.SIGKILL)
        print(alive)

    assert fork(run) == (0, 'True\n')


def test_torchs_own_workers_hear_their_parent_alone(fork):
    def run():
        InterruptHook()
        loader = DataLoader(range(4), num_workers=1, prefetch_factor=1)
        items = iter(loader)
        print(next(items).item())
        worker = items._workers[0]
        for number in SIGNALS:
            subprocess.run(['kill', f'-{int(number)}', str(worker.pid)], check=True)
        print([item.item() for item in items], worker.is_alive())
        items = iter(DataLoader(range(4), num_workers=1))
        next(items)  # the worker is there
        worker = items._workers[0]
        worker.terminate()
        worker.join(20)
        print(worker.exitcode)

    code, log = fork(run)
    assert code == 0, log
    lines = log.splitlines()
    assert lines[0] == '0' and lines[1].startswith('[1, 2, 3]') and lines[2] == '0', log

"""Signals and `kill -9`, of the worker and of its training: no trial lost, none counted twice, the study readable."""

import os
import random
import signal
import time

import pytest
from optuna.trial import TrialState
from toy_study import diary, load, record

COMPLETE = TrialState.COMPLETE
STEPS = 6


def wait_for(condition, timeout_s=60):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.02)


def diaries(out):
    return {path.parent: diary(path.parent) for path in sorted(out.glob('trial_*/diary'))}


def training_of(worker, out):
    """The process id of a training of a worker, None while it has none."""
    for stat in os.listdir('/proc'):
        if stat.isdigit():
            try:
                with open(f'/proc/{stat}/stat') as file:
                    parent = int(file.read().rpartition(')')[2].split()[1])
                with open(f'/proc/{stat}/cmdline') as file:
                    words = file.read()
            except OSError:
                continue
            if parent == worker.pid and 'toy_trainer.py' in words and str(out) in words:
                return int(stat)
    return None


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_sweep_goes_on_with_the_same_command(start, write, tmp_path, monkeypatch, signum):
    monkeypatch.setenv('TOY_STEP_S', '0.3')
    out, file = tmp_path / 'out', write("sweep['max_trials'] = 2")
    worker = start(file)
    wait_for(lambda: any(len(steps) >= 2 for steps in diaries(out).values()))
    os.kill(worker.pid, signum)
    worker.join(60)
    assert worker.exitcode == 128 + signum, worker.said()
    (trial,) = load(out).trials
    done = diaries(out)[out / 'trial_0000']
    assert (trial.state, trial.user_attrs['retries'], record(out / 'trial_0000')['state']) == (
        TrialState.WAITING, 0, 'waiting')  # fmt: skip
    assert done == list(range(1, len(done) + 1))
    assert len(done) < STEPS
    worker = start(file)
    worker.join(60)
    assert worker.exitcode == 0, worker.said()
    assert 'goes on' in worker.said()
    assert [trial.state for trial in load(out).trials] == [COMPLETE] * 2
    assert all(steps == list(range(1, STEPS + 1)) for steps in diaries(out).values())


def test_a_dead_workers_trial_goes_on_from_its_checkpoint(start, write, tmp_path, monkeypatch):
    monkeypatch.setenv('TOY_STEP_S', '0.3')
    out, file = tmp_path / 'out', write("sweep['max_trials'] = 2")
    worker = start(file)
    wait_for(lambda: any(len(steps) >= 3 for steps in diaries(out).values()))
    training = training_of(worker, out)
    os.kill(worker.pid, signal.SIGKILL)
    os.kill(training, signal.SIGKILL)
    worker.join()
    begun = load(out).trials[0]
    assert begun.state == TrialState.RUNNING
    worker = start(file)
    worker.join(60)
    assert worker.exitcode == 0, worker.said()
    first, second = load(out).trials
    assert (first.state, first.params, first.user_attrs['retries']) == (COMPLETE, begun.params, 1)
    assert set(begun.intermediate_values.items()) <= set(first.intermediate_values.items())
    assert (second.state, second.user_attrs['retries']) == (COMPLETE, 0)
    steps = diaries(out)[out / 'trial_0000']
    assert sorted(set(steps)) == list(range(1, STEPS + 1))
    assert len(steps) <= STEPS + 1  # at most the step at hand is done again


def test_a_training_ends_with_its_worker(start, write, tmp_path, monkeypatch):
    monkeypatch.setenv('TOY_STEP_S', '0.3')
    worker = start(write())
    wait_for(lambda: diaries(tmp_path / 'out'))
    training = training_of(worker, tmp_path / 'out')
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    wait_for(lambda: not os.path.exists(f'/proc/{training}'))
    assert (tmp_path / 'out/trial_0000/iter_1.pth').exists()


def test_a_trial_of_another_machine_is_taken_over_when_its_heartbeat_stops(start, write, tmp_path, monkeypatch):
    monkeypatch.setenv('TOY_STEP_S', '0.3')
    out, file = tmp_path / 'out', write("sweep['max_trials'] = 1")
    worker = start(file)
    wait_for(lambda: any(len(steps) >= 2 for steps in diaries(out).values()))
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    study = load(out)
    trial = study.trials[0]
    study._storage.set_trial_user_attr(trial._trial_id, 'owner', 'elsewhere/0:1:1:x')  # as its process would
    worker = start(file)
    worker.join(60)
    assert 'trial 0: elsewhere/0:1:1:x is at it.' in worker.said()  # one heartbeat is not missed yet
    time.sleep(4)
    worker = start(file, '--heartbeat', 1)
    worker.join(60)
    assert worker.exitcode == 0, worker.said()
    (trial,) = load(out).trials
    assert (trial.state, trial.user_attrs['retries']) == (COMPLETE, 1)
    assert sorted(set(diaries(out)[out / 'trial_0000'])) == list(range(1, STEPS + 1))


@pytest.mark.chaos
@pytest.mark.timeout(1500)
def test_twenty_kills_lose_nothing(start, write, tmp_path, monkeypatch):
    """Worker, training or both at a random moment, twenty times; two workers share the study all the while."""
    monkeypatch.setenv('TOY_STEP_S', '0.25')
    chance, out, total = random.Random(0), tmp_path / 'out', 40
    file = write(f'sweep.update(max_trials={total}, max_retries=50)')
    args = ('--heartbeat', 1)
    workers, kills = [start(file, *args)], 0
    wait_for(lambda: (out / 'study.db').exists())
    workers.append(start(file, *args))
    while kills < 20:
        time.sleep(chance.uniform(0.0, 5.0))
        index = chance.randrange(2)
        worker = workers[index]
        if not worker.is_alive():
            assert worker.exitcode == 0, worker.said()
            assert len(load(out).trials) >= total, 'ended before its time'
            break
        training, what = training_of(worker, out), chance.choice(['worker', 'training', 'both'])
        if what != 'worker' and training is None:
            continue
        if what != 'training':
            os.kill(worker.pid, signal.SIGKILL)
        if what != 'worker':
            os.kill(training, signal.SIGKILL)
        kills += 1
        assert load(out).trials  # it can be read at any time
        if what != 'training':
            worker.join()
            workers[index] = start(file, *args)
    for worker in workers:
        worker.join(300)
    last = start(file, *args)  # sees to what the last kill has left
    last.join(300)
    assert last.exitcode == 0, last.said()
    trials = load(out).trials
    trained = [trial for trial in trials if 'skipped' not in trial.user_attrs]
    assert [trial.state for trial in trained if trial.state != TrialState.WAITING] == [COMPLETE] * total
    assert all(trial.params == {} for trial in trained if trial.state == TrialState.WAITING)
    assert len({tuple(trial.params.values()) for trial in trained if trial.params}) == total
    for trial in trained:
        if trial.state == COMPLETE:
            steps = diary(out / f'trial_{trial.number:04d}')
            assert sorted(set(steps)) == list(range(1, STEPS + 1))
            assert len(steps) <= STEPS + trial.user_attrs['retries']
            assert list(trial.intermediate_values) == [2, 4, 6]
    print(f'{kills} kills, {sum(trial.user_attrs.get("retries", 0) for trial in trained)} trials taken up again')
    assert kills == 20

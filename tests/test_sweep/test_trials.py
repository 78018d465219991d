"""What becomes of trials: trained, pruned, skipped, infeasible, failed; the same twice; with a toy that trains."""

import json
import re

import optuna
import pytest
from optuna.trial import TrialState
from toy_study import LR, QUERIES, TOY, diary, record

from fallen_trees.trial import TrialTraining
from sweep.claims import Claim
from sweep.run import Run
from sweep.sweep_file import read_sweep

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv('TOY_STEP_S', '0')
    monkeypatch.setattr('sweep.worker.POLL_S', 0.02)


def queries(*values):
    """A space of nothing but these numbers of queries, in this order."""
    return (
        f"search_space = {{'{QUERIES}': dict(type='choice', choices={[*values]})}}",
        f"sweep.update(max_trials={len(values)}, enqueue=[{{'{QUERIES}': value}} for value in {[*values]}])",
    )


@pytest.mark.parametrize('gpu', [False, True])
def test_memory_that_is_not_logged_is_that_of_the_process_unless_a_gpu_holds_it(gpu, sweep, write, trials, monkeypatch):
    monkeypatch.setenv('TOY_ON_CPU', '1')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0' if gpu else '')
    assert sweep(write(''), '--trials', 1)[0] == 0
    memory = trials()[0].user_attrs['memory_mb']
    assert memory is None if gpu else 0 < memory < 2000  # of a run so short, as it was when it began


def test_a_trial_runs_to_its_end_and_its_figures_are_stored(sweep, write, trials, tmp_path):
    code, out, err = sweep(write("sweep['options'] = {'lr_warmup_updates': 3}"), '--trials', 1)
    assert (code, err) == (0, '')
    (trial,) = trials()
    folder = tmp_path / 'out/trial_0000'
    assert (trial.state, list(trial.intermediate_values)) == (COMPLETE, [2, 4, 6])
    assert trial.value == trial.intermediate_values[6] == max(trial.intermediate_values.values())
    said = trial.user_attrs
    assert said['values'] == {key: trial.params[key] for key in (LR, QUERIES)}
    assert (said['iterations'], said['retries'], said['infeasible']) == (6, 0, None)
    assert (said['seconds_per_image'], said['memory_mb']) == (0.5, 100 + trial.params[QUERIES])
    assert said['figures']['coco/segm_F1_50'] == 1 / trial.params[QUERIES]
    assert diary(folder) == [1, 2, 3, 4, 5, 6]
    assert 'lr_warmup_updates = 3' in (folder.parent / 'trial_0000.py').read_text()
    assert record(folder)['curve'] == [[step, value] for step, value in trial.intermediate_values.items()]
    assert record(folder)['state'] == 'complete'
    assert re.search(r'trial 0: coco/segm_mAP 0\.\d+ in', out)
    assert sorted(path.name for path in folder.glob('*.pth')) == ['best_coco_segm_mAP.pth']


def test_the_same_seed_chooses_the_same_also_across_a_stop(sweep, write, trials, tmp_path):
    file = write("sweep['sampler'] = dict(type='tpe', n_startup_trials=2)")
    assert sweep(file, '--trials', 5)[0] == 0
    first = [trial.params for trial in trials()]
    (tmp_path / 'out').rename(tmp_path / 'first')
    assert sweep(file, '--trials', 3)[0] == 0
    assert sweep(file, '--trials', 5)[0] == 0
    assert [trial.params for trial in trials()] == first
    (tmp_path / 'out').rename(tmp_path / 'second')
    assert sweep(file, '--trials', 1, '--seed', 1)[0] == 0
    assert [trial.params for trial in trials()] != first[:1]


@pytest.mark.parametrize('name', ['tpe', 'random', 'cmaes', 'gp'])
def test_samplers_by_name(sweep, write, trials, name):
    pytest.importorskip({'cmaes': 'cmaes', 'gp': 'torch'}.get(name, 'optuna'))
    assert sweep(write(), '--trials', 4, '--sampler', name)[0] == 0
    assert len({trial.params[LR] for trial in trials()}) == 4


def test_a_grid_is_walked_once(sweep, write, trials):
    file = write(
        f"search_space['{LR}'] = dict(type='choice', choices=[1e-4, 1e-3])",
        f"search_space['{QUERIES}'] = dict(type='int', low=10, high=20, step=5)",
    )
    assert sweep(file, '--trials', 20, '--sampler', 'grid')[0] == 0
    assert sorted(tuple(trial.params.values()) for trial in trials()) == [
        (lr, count) for lr in (1e-4, 1e-3) for count in (10, 15, 20)
    ]


def test_what_was_trained_is_not_trained_again(sweep, write, trials, tmp_path):
    code, _, _ = sweep(write(*queries(10, 20), "sweep.update(max_trials=9, sampler='random')"))
    assert code == 0
    found = trials()
    trained = [trial for trial in found if (tmp_path / f'out/trial_{trial.number:04d}').exists()]
    assert sorted(trial.params[QUERIES] for trial in trained) == [10, 20]
    assert not [trial for trial in found if trial.state != COMPLETE]


def test_a_duplicate_takes_the_value_and_no_budget(sweep, write, trials, tmp_path):
    pairs = [f'{{"{LR}": 1e-3, "{QUERIES}": {count}}}' for count in (20, 20, 10)]
    code, _, _ = sweep(write(f"sweep['enqueue'] = [{', '.join(pairs)}]"), '--trials', 3)
    first, *rest = trials()
    assert code == 0
    # Optuna itself skips what is waiting already, so ask it for the same by hand.
    assert [trial.params[QUERIES] for trial in (first, *rest)][:2] == [20, 10]
    study = optuna.load_study(study_name='toy', storage=f'sqlite:///{tmp_path}/out/study.db')
    study.enqueue_trial(first.params)
    assert sweep(write(f"sweep['enqueue'] = [{', '.join(pairs)}]"), '--trials', 4)[0] == 0
    twin, last = trials()[3:]
    assert (twin.state, twin.value, twin.user_attrs['duplicate_of']) == (COMPLETE, first.value, 0)
    assert not (tmp_path / 'out/trial_0003').exists()
    assert diary(tmp_path / 'out/trial_0004') == [1, 2, 3, 4, 5, 6]
    assert last.state == COMPLETE


def test_constraints_keep_trials_from_being_trained(sweep, write, trials, tmp_path):
    file = write(
        f"sweep['constraints'] = ['{QUERIES} * train_dataloader.batch_size <= 40']", 'sweep["sampler"] = "tpe"'
    )
    assert sweep(file, '--trials', 4)[0] == 0
    found = trials()
    trained = [trial for trial in found if (tmp_path / f'out/trial_{trial.number:04d}').exists()]
    assert len(trained) == 4
    assert all(trial.params[QUERIES] <= 20 for trial in trained)
    broken = [trial for trial in found if trial not in trained]
    assert broken
    assert {(trial.state, trial.params[QUERIES] > 20, trial.constraints['fits']) for trial in broken} == {
        (PRUNED, True, 1)
    }


def test_the_worse_half_is_pruned_inside_the_full_schedule(sweep, write, trials, tmp_path, monkeypatch):
    monkeypatch.setenv('TOY_STEP_S', '0.05')
    values = [1e-3, 2e-3, 5e-4, 1e-5, 9e-2]
    file = write(
        f"sweep['enqueue'] = [{{'{LR}': lr, '{QUERIES}': 20}} for lr in {values}]",
        "sweep.update(options={'train_cfg.max_iters': 20}, pruner=dict(type='median', n_startup_trials=2))",
    )
    assert sweep(file, '--trials', 5)[0] == 0
    found = trials()
    assert [trial.state for trial in found][3:] == [PRUNED, PRUNED]
    for trial in found[3:]:
        folder = tmp_path / f'out/trial_{trial.number:04d}'
        assert diary(folder)[-1] < 20
        assert "'max_iters': 20" in folder.with_suffix('.py').read_text()
        assert len(list(folder.glob('iter_*.pth'))) == 1
        assert trial.value == list(trial.intermediate_values.values())[-1]


def test_a_record_between_two_looks_swallows_no_figure(write, tiny, tmp_path):
    read = read_sweep(write())
    training = TrialTraining(tiny, {}, 'coco/segm_mAP', 'maximize', str(TOY))
    study = optuna.create_study(direction='maximize')
    run = Run(Claim(study.ask(), tmp_path / 'run', -1, {}, None, 0), read, training, None, 0)
    log = tmp_path / 'run/1/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    for step in (2, 4):
        with open(log, 'a') as file:
            file.write(json.dumps({'coco/segm_mAP': step / 10, 'step': step}) + '\n')
        run.note('running')
        run.report()
    assert study.trials[0].intermediate_values == {2: 0.2, 4: 0.4}
    assert record(tmp_path / 'run')['curve'] == [[2, 0.2]]


@pytest.mark.parametrize('name', ['none', 'median', 'sha', 'hyperband'])
def test_pruners_by_name(sweep, write, trials, name):
    assert sweep(write(), '--trials', 3, '--pruner', name)[0] == 0
    assert {trial.state for trial in trials()} <= {COMPLETE, PRUNED}


def test_out_of_memory_is_infeasible_and_not_a_failure(sweep, write, trials):
    code, out, err = sweep(write(*queries(20, 60, 62)))
    done, memory, dead = trials()
    assert (code, err) == (0, '')
    assert (done.state, memory.state, dead.state) == (COMPLETE, PRUNED, PRUNED)
    assert 'CUDA out of memory' in memory.user_attrs['infeasible']
    assert dead.user_attrs['infeasible'] == 'the loss is no number since iteration 3.'
    assert [trial.constraints['fits'] for trial in (done, memory, dead)] == [-1, 1, 1]
    assert 'trial 1: cannot run: out of memory' in out


def test_a_failed_trial_says_why_and_the_sweep_goes_on(sweep, write, trials):
    code, _, err = sweep(write(*queries(61, 20)))
    failed, done = trials()
    assert (failed.state, done.state) == (FAIL, COMPLETE)
    assert failed.user_attrs['reason'].startswith('TypeError: a fault of ours (')
    assert (code, err) == (1, 'error: 1 of 2 trials failed: 0\n')


def test_failures_in_a_row_end_the_sweep(sweep, write, trials):
    code, _, err = sweep(write(*queries(61, 161, 20), 'sweep.update(max_failures=1)'))
    assert code == 1
    assert err.startswith('error: 1 trials in a row failed, the last one: TypeError: a fault of ours')
    assert err.count('\n') == 1
    assert [trial.state for trial in trials()] == [FAIL, TrialState.WAITING, TrialState.WAITING]


def test_all_infeasible_is_one_line(sweep, write):
    code, _, err = sweep(write(*queries(60, 62)))
    assert code == 1
    assert err.startswith('error: none of 2 trials came to a figure: 2 could not run, 0 failed; trial 1: the loss')
    assert err.count('\n') == 1


def test_a_training_that_is_killed_goes_on_until_its_retries_are_used_up(sweep, write, trials, tmp_path):
    code, out, _ = sweep(write(*queries(64, 63), 'sweep["max_retries"] = 2'))
    once, always = trials()
    assert code == 1
    assert (once.state, once.user_attrs['retries'], diary(tmp_path / 'out/trial_0000')) == (
        COMPLETE,
        1,
        [1, 2, 3, 4, 5, 6],
    )
    assert (always.state, always.user_attrs['retries'], diary(tmp_path / 'out/trial_0001')) == (FAIL, 2, [1])
    assert out.count('goes on from its checkpoint') == 3


def test_several_objectives(sweep, write, trials):
    file = write(
        "sweep['objectives'] = {'coco/segm_mAP': 'maximize', 'memory_mb': 'minimize'}", "sweep['sampler'] = 'tpe'"
    )
    assert sweep(file, '--trials', 3)[0] == 0
    for trial in trials():
        assert trial.values == [trial.user_attrs['figures']['coco/segm_mAP'], 100 + trial.params[QUERIES]]


def test_a_figure_that_no_validation_gives(sweep, write):
    code, _, err = sweep(write("sweep.update(objective='coco/segm_mAB', max_failures=1)"), '--trials', 2)
    assert code == 1
    assert "no validation gave 'coco/segm_mAB'; there is coco/segm_F1_50, coco/segm_mAP" in err
    assert err.count('\n') == 1


def test_a_trial_that_takes_too_long_has_failed(sweep, write, trials, monkeypatch):
    monkeypatch.setenv('TOY_STEP_S', '0.5')
    code, _, _ = sweep(write('sweep["timeout_minutes"] = 0.01'), '--trials', 1)
    assert code == 1
    assert trials()[0].user_attrs['reason'] == 'not done after 0.01 minutes'


def test_workers_share_the_devices_in_turn(sweep, write, trials, tmp_path, monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4,7')
    monkeypatch.setenv('TOY_STEP_S', '0.05')
    assert sweep(write(), '--trials', 4, '--workers', 2)[0] == 0
    seen = {(tmp_path / f'out/trial_{number:04d}/environment').read_text().strip() for number in range(4)}
    assert seen == {'4', '7'}
    assert len(trials()) == 4


def test_every_learning_of_the_study_is_in_its_results(sweep, write, tmp_path):
    assert sweep(write(), '--trials', 2)[0] == 0
    rows = (tmp_path / 'out/trials.csv').read_text().splitlines()
    assert len(rows) == 3
    (tmp_path / 'out/trials.csv').unlink()
    assert sweep(write(), '--results-only')[0] == 0
    assert (tmp_path / 'out/trials.csv').read_text().splitlines() == rows
    assert json.loads((tmp_path / 'out/trial_0000/trial.json').read_text())['number'] == 0

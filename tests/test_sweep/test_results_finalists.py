"""`finalists.py` read back by the tool that runs it."""

from dataclasses import replace

import pytest
from optuna.trial import TrialState

from fallen_trees.ablation.ablation_file import read_ablation
from sweep.results import write_results
from sweep.results.finalists import finalists_text
from sweep.results.rows import rows_of

from .drawn_study import LR, NASTY, QUERIES, RESOLUTION, SIDES, TWO, DrawnSweep, add, new_study

FIRST = {LR: 1e-4, QUERIES: 30, RESOLUTION: '128'}


def study_of(sweep, **kwargs):
    study = new_study(sweep=sweep, **kwargs)
    more = (1.0,) * (len(sweep.objectives) - 1)
    add(study, 0.31, *more, lr=1e-4, queries=30)
    add(study, 0.30, *more, lr=2e-4, queries=40)
    add(study, 0.20, *more, lr=3e-4, queries=50)
    add(study, 0.35, *more, lr=4e-4, queries=60, resolution='<b>256</b></script>')
    if not more:
        add(study, 0.40, state=TrialState.PRUNED, lr=5e-4)
    return study


def read(study, sweep, folder):
    path = folder / 'finalists.py'
    path.write_text(finalists_text(study.study_name, rows_of(study, sweep), sweep, path))
    return read_ablation(str(path))


def test_the_best_that_ended_meet_what_was_enqueued_first(tmp_path):
    sweep = DrawnSweep(enqueue=(FIRST, {LR: 2e-4}), finalists=2)
    found = read(study_of(sweep), sweep, tmp_path)
    assert list(found.arms) == ['default', 'trial_0003', 'trial_0001']
    assert found.arms['default'] == {LR: 1e-4, QUERIES: 30, 'image_size': SIDES['128']}
    assert found.arms['trial_0003'] == {LR: 4e-4, QUERIES: 60, 'image_size': (256, 256)}
    assert found.config == str(sweep.base.resolve()) and found.metrics == ('coco/segm_mAP',)
    assert found.seeds == (1, 2, 3) and [item.name for item in found.tests] == ['test']


def test_without_a_queue_the_base_is_the_default(tmp_path):
    sweep = DrawnSweep(finalists=1)
    assert list(read(study_of(sweep), sweep, tmp_path).arms.items())[0] == ('default', {})


def test_what_the_sweep_left_out_comes_back(tmp_path):
    sweep = DrawnSweep(options={'train_cfg.max_iters': 600, 'data_root': 'a'}, final={'train_cfg.max_iters': 2400})
    assert read(study_of(sweep), sweep, tmp_path).options == {'train_cfg.max_iters': 2400, 'data_root': 'a'}


def test_figures_that_the_sweep_takes_itself_are_no_column(tmp_path):
    sweep = replace(TWO, finalists=1)
    assert read(study_of(sweep), sweep, tmp_path).metrics == ('coco/segm_mAP',)


@pytest.mark.parametrize('name', [NASTY, 'a"""\nimport os', 'ends with \\'])
def test_names_are_text_alone(name, tmp_path):
    sweep = DrawnSweep()
    study = study_of(sweep)
    path = tmp_path / 'finalists.py'
    path.write_text(finalists_text(name, rows_of(study, sweep), sweep, path))
    assert set(read_ablation(str(path)).arms) >= {'default', 'trial_0003'}


def test_it_is_written_once_a_trial_has_ended(tmp_path):
    study = new_study()
    write_results(study, DrawnSweep(), tmp_path)
    assert not (tmp_path / 'finalists.py').exists()
    add(study, 0.3)
    write_results(study, DrawnSweep(), tmp_path)
    assert list(read_ablation(str(tmp_path / 'finalists.py')).arms) == ['default', 'trial_0000']

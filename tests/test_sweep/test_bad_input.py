"""Every mistake is one line that says what to do, before anything is trained."""

from pathlib import Path

import pytest
from toy_study import LR, QUERIES

from fallen_trees.trial import TrialTraining
from sweep.pruners import make_pruner
from sweep.sweep_file import read_sweep

LINES = [
    ('search_space = {}', 'search_space must name at least one key'),
    ("search_space['optim_wrapper.optimiser.lr'] = dict(type='float', low=1, high=2)",
     "there is no 'optimiser' in optim_wrapper; is 'optimizer' meant?"),
    (f"search_space['{QUERIES}'] = dict(type='choice', choices=['many'])", "int, as 25 in the config; got 'many'"),
    (f"search_space['{QUERIES}'] = dict(type='float', low=1, high=2)", 'must be int, as 25 in the config; got 1.0'),
    ("search_space['image_size'] = dict(type='int', low=1, high=2)", 'must be list or tuple, as'),
    ('searchspace = {}', "nothing reads the key 'searchspace'; is 'search_space' meant?"),
    ("sweep['objektive'] = 'x'", "nothing reads the key 'objektive'; is 'objective' meant?"),
    ("sweep['direction'] = 'up'", "'up'"),
    ("sweep['objectives'] = []", 'objectives must be figures with a direction'),
    ("sweep['options'] = {'train_cfg.max_itres': 3}", "there is no 'max_itres' in train_cfg; is 'max_iters' meant?"),
    (f"sweep['options'] = {{'{LR}': 3}}", f'options set {LR}, which'),
    ("sweep['options'] = {'train_cfg.max_iters': 'all'}", "max_iters must be int, as 6 in the config; got 'all'"),
    ("sweep['options'] = {'data_root': '/nowhere'}", '/nowhere'),
    ("sweep['enqueue'] = [{'lr': 1}]", "nothing reads the key 'lr'"),
    (f"sweep['enqueue'] = [{{'{QUERIES}': 11}}]", 'lies outside the space'),
    ("sweep['constraints'] = ['a <= b <= c']", 'a constraint must compare'),
    ("sweep['constraints'] = ['nothing.here <= 3']", 'nothing.here must be a number; it is None'),
    ("sweep['sampler'] = 'tpf'", 'sampler must be one of tpe, random, grid, cmaes, gp'),
    ("sweep['sampler'] = dict(type='tpe', n_startup=3)", 'sampler tpe does not take'),
    ("sweep['sampler'] = 'grid'", 'is continuous; give it a step'),
    ("sweep['pruner'] = dict(type='sha', min_resource=0)", 'pruner sha does not take'),
    ("sweep['max_trials'] = 0", 'max_trials must be a whole number from 1 on; got 0'),
    ("sweep['max_hours'] = '3'", "max_hours must be a number above 0; got '3'"),
    ("sweep['tool'] = 'tools/none.py'", 'the tool tools/none.py does not exist'),
    ("sweep = 3", 'sweep must be a dict; got 3'),
    ("_base_ = ['a.py', 'b.py']", '_base_ must name the one config that is tuned'),
    ("_base_ = ['none.py']", 'which does not exist'),
    ("x = {'a': 1, 'a': 2}", "'a' stands twice in one dict"),
    ('x = (', 'was never closed'),
    ('_x = nothing', "name 'nothing' is not defined"),
]  # fmt: skip


@pytest.mark.parametrize(('line', 'said'), LINES, ids=[line for line, _ in LINES])
def test_one_line_and_no_study(sweep, write, tmp_path, line, said):
    code, _, err = sweep(write(line))
    assert code == 2
    assert err.startswith('error: ')
    assert said in err
    assert err.count('\n') == 1
    assert not list((tmp_path / 'out').glob('trial_*'))


@pytest.mark.parametrize('flag', ['--trials', '--workers', '--heartbeat'])
def test_numbers_of_the_command_line(sweep, write, flag):
    assert sweep(write(), flag, 0)[::2] == (2, f'error: {flag} must be at least 1; got 0.\n')


def test_a_file_that_is_not_there(sweep, tmp_path):
    assert sweep(tmp_path / 'none.py')[::2] == (2, f'error: the sweep file {tmp_path}/none.py does not exist.\n')


def test_a_dry_run_makes_nothing(sweep, write, tmp_path):
    code, out, err = sweep(write(), '--dry-run')
    assert (code, err) == (0, '')
    assert '4 trials, each 6 iterations, validated every 2; sampler random, pruner none' in out
    assert not (tmp_path / 'out').exists()


def test_a_study_of_another_sweep_is_refused_and_the_difference_named(sweep, write, monkeypatch, tmp_path):
    monkeypatch.setenv('TOY_STEP_S', '0')
    assert sweep(write(), '--trials', 1)[0] == 0
    for line, said in [
        (f"search_space['{QUERIES}'] = dict(type='int', low=10, high=40, step=5)", f'search_space {QUERIES}: '),
        ("sweep['objective'] = 'coco/segm_F1_50'", 'objectives coco/segm_mAP: maximize -> nothing'),
        ("sweep['options'] = {'lr_warmup_updates': 7}", 'config lr_warmup_updates: 40 -> 7'),
        (f"sweep['constraints'] = ['{QUERIES} < 25']", f'constraints {QUERIES} < 25: nothing -> must hold'),
    ]:
        code, _, err = sweep(write(line), '--trials', 2)
        assert code == 2
        assert "error: the study 'toy' was made for another sweep: " in err
        assert said in err
        assert err.count('\n') == 1
    assert sweep(write("sweep['max_hours'] = 3", "sweep['sampler'] = 'tpe'"), '--trials', 2)[0] == 0
    assert len(list((tmp_path / 'out').glob('trial_*/trial.json'))) == 2


SWEEPS = sorted((Path(__file__).parents[2] / 'configs/sweeps').glob('*.py'))


@pytest.mark.parametrize('file', SWEEPS, ids=lambda file: file.stem)
def test_the_projects_own_sweeps_fit_their_configs(file):
    read = read_sweep(file)
    (objective, direction), *_ = read.objectives
    training = TrialTraining(read.base, read.options, objective, direction, read.tool)
    for _, settings in read.space.examples():
        training.check(settings)
    make_pruner(*read.pruner, *reversed(training.length()[:2]))
    assert read.enqueue

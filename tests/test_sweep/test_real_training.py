"""A sweep with the real `tools/train.py`, at a size of seconds, and what must follow from the values of a trial."""

import copy

import pytest
from optuna.trial import TrialState
from toy_study import LR, QUERIES, load

from fallen_trees.derive.config import derive
from fallen_trees.errors import ConfigError
from fallen_trees.trial import TrialTraining


@pytest.fixture(scope='module')
def training(tiny):
    return TrialTraining(tiny, {}, 'coco/segm_F1_50', 'maximize', 'tools/train.py')


def test_what_depends_on_queries_and_length_follows(training, tmp_path):
    from mmengine.config import Config

    file = tmp_path / 'trial.py'
    file.write_text(training.config_text({QUERIES: 60, 'train_cfg.max_iters': 1000, LR: 1e-3}))
    cfg = Config.fromfile(file)
    assert cfg.default_hooks.checkpoint.save_best == 'coco/segm_F1_50'
    derive(cfg, ('train', 'val'))
    assert cfg.model.panoptic_head.num_queries == cfg.model.test_cfg.max_per_image == 60
    assert cfg.param_scheduler[1].milestones == [700, 900]
    assert (cfg.param_scheduler[0].end, cfg.param_scheduler[1].end) == (40, 1000)


def test_kinds_of_values_and_names_of_keys(training):
    before = copy.deepcopy(training.cfg._cfg_dict)
    training.check({LR: 1, QUERIES: 7, 'image_size': [32, 32], 'load_from': 'x.pth'})
    for settings in ({LR: True}, {LR: '1e-3'}, {QUERIES: 7.5}, {'image_size': 32}, {'optim_wrapper.optimizer.lrr': 1}):
        with pytest.raises(ConfigError):
            training.check(settings)
    assert training.cfg._cfg_dict == before


def test_what_a_definition_leaves_out(tiny):
    def definition(options):
        return TrialTraining(tiny, options, 'coco/segm_mAP', 'maximize', 'tools/train.py').definition()

    plain = definition({})
    assert definition({'data_root': '/elsewhere', 'train_dataloader.num_workers': 1}) == plain
    assert definition({'train_cfg.max_iters': 8}) != plain


@pytest.mark.timeout(600)
def test_a_real_sweep(sweep, write, tmp_path, tiny):
    """Two trials with different queries, the second one's weights starting from the first one's: surgery included."""
    queued = [{LR: 1e-3, QUERIES: 10}]
    options = {'train_cfg.max_iters': 4}
    file = write(f'sweep.update(enqueue={queued}, options={options})', tool='tools/train.py')
    code, out, err = sweep(file, '--trials', 1)
    assert (code, err) == (0, ''), out + err
    (trial,) = load(tmp_path / 'out').trials
    assert (trial.state, list(trial.intermediate_values)) == (TrialState.COMPLETE, [2, 4])
    assert trial.user_attrs['seconds_per_image'] > 0
    assert trial.user_attrs['figures']['coco/segm_mAP'] == trial.value
    (best,) = (tmp_path / 'out/trial_0000').glob('best_coco_segm_mAP_iter_*.pth')
    options = {'train_cfg.max_iters': 2, 'load_from': str(best)}
    file = write(f"sweep.update(enqueue=[{{'{LR}': 1e-3, '{QUERIES}': 20}}], options={options})",
                 tool='tools/train.py', name='wider')  # fmt: skip
    code, out, err = sweep(file, '--trials', 1, '--work-dir', tmp_path / 'wider')
    assert (code, err) == (0, ''), out + err
    log = (tmp_path / 'wider/trial_0000/trial.log').read_text()
    assert '10' in log
    assert 'queries' in log

import pytest
from mmengine.config import Config

from fallen_trees.config_keys import check_keys, merge_options
from fallen_trees.errors import ConfigError
from fallen_trees.launch import read_config

UNKNOWN = [
    pytest.param('optim_wrapper.optimizer.lrr', "'lr'", id='argument of an optimizer'),
    pytest.param('train_cfg.max_iter', "'max_iters'", id='argument of a loop'),
    pytest.param('modle.backbone.depth', "'model'", id='first part'),
    pytest.param('model.panoptic_head.num_querys', "'num_queries'", id='argument of a head'),
    pytest.param('train_dataloader.batchsize', "'batch_size'", id='loader, which names no class'),
    pytest.param('model.test_cfg.max_per_img', "'max_per_image'", id='plain dict'),
    pytest.param('custom_hooks.7.interval', 'list of 3', id='list index'),
    pytest.param('randomness.sed', "'seed'", id='randomness'),
]


@pytest.mark.parametrize(('key', 'said'), UNKNOWN)
def test_unknown_option_is_refused_with_the_nearest_key(demo_config, key, said):
    before = demo_config.pretty_text
    with pytest.raises(ConfigError, match=key) as caught:
        merge_options(demo_config, {key: 1})
    assert said in str(caught.value)
    assert demo_config.pretty_text == before


USED_UP = [
    pytest.param('train_pipeline.5.ratio_range', 'set train_dataloader.dataset.pipeline.5.ratio_range', id='pipeline'),
    pytest.param('test_pipeline.0', 'val_dataloader.dataset.pipeline.0, test_dataloader.dataset', id='two places'),
    pytest.param('channels', 'set what it stands for', id='plain value, whose places are unknown'),
    pytest.param('max_iters', 'set what it stands for', id='the name of an argument elsewhere'),
]


@pytest.mark.parametrize(('key', 'said'), USED_UP)
def test_option_for_a_variable_that_was_used_up_is_refused(demo_config, key, said):
    before = demo_config.pretty_text
    with pytest.raises(ConfigError, match='nothing reads it any more') as caught:
        merge_options(demo_config, {key: 1})
    assert said in str(caught.value)
    assert demo_config.pretty_text == before


# What the README and docs/recipes.md tell users to set, and what MMEngine's own guides do.
STILL_READ = [
    'augment', 'checkpoint_epochs', 'compile', 'custom_imports', 'data_root', 'ema_horizon', 'epochs',
    'find_unused_parameters', 'image_size', 'lr_milestones', 'lr_warmup_updates', 'metainfo', 'sync_bn', 'train_cfg',
    'validation_epochs',
]  # fmt: skip


@pytest.mark.parametrize('name', STILL_READ)
def test_variable_that_is_read_later_may_be_set(name):
    cfg = Config({'model': {}, name: 1})
    merge_options(cfg, {name: 2})
    assert cfg[name] == 2


KNOWN = [
    pytest.param('train_cfg.max_iters', 7, id='in the config'),
    pytest.param('train_dataloader.dataset.data_root', 'x', id='argument of the class, not in the config'),
    pytest.param('train_dataloader.pin_memory', True, id='argument of the loader'),
    pytest.param('custom_hooks.2.interval', 3, id='inside a list'),
    pytest.param('model.panoptic_head.init_cfg', None, id='argument of a base class'),
    pytest.param('model.backbone.with_cp', True, id='argument of a class'),
    pytest.param('optim_wrapper.paramwise_cfg.custom_keys.neck', dict(lr_mult=0.5), id='free names'),
    pytest.param('randomness.deterministic', True, id='argument of set_random_seed'),
    pytest.param('work_dir', 'x', id="the runner's own"),
]


@pytest.mark.parametrize(('key', 'value'), KNOWN)
def test_known_option_is_merged(demo_config, key, value):
    merge_options(demo_config, {key: value})
    node = demo_config
    for part in key.split('.'):
        node = node[int(part)] if part.isdigit() else node[part]
    assert node == value


FILES = [
    pytest.param('optim_wraper = dict()', 'optim_wrapper', id='top-level key'),
    pytest.param("custom_hooks = [dict(type='CheckInvalidLossHook', intervall=3)]", 'interval', id='hook'),
    pytest.param(
        "train_cfg = dict(type='IterBasedTrainLoop', max_iters=1, val_intervall=3)", 'val_interval', id='loop'
    ),
]


@pytest.mark.parametrize(('text', 'said'), FILES)
def test_misspelt_key_in_a_file_is_refused(text, said):
    with pytest.raises(ConfigError, match=f"'{said}' meant"):
        check_keys(Config.fromstring(text, '.py'))


BASE = """
train_pipeline = [dict(type='LoadImageFromFile'), dict(type='RandomFlip', prob=0.5)]
train_dataloader = dict(batch_size=2, dataset=dict(type='CocoDataset', pipeline=train_pipeline))
"""
FLIPPED = "train_pipeline = [dict(type='LoadImageFromFile'), dict(type='RandomFlip', prob=0.9)]\n"
HEARD = [
    pytest.param(FLIPPED + 'train_dataloader = dict(dataset=dict(pipeline=train_pipeline))', id='handed on'),
    pytest.param("data_root = 'x'", id='nothing redefined'),
    pytest.param(BASE, id='the same as in the base'),
    pytest.param("steps = [dict(type='RandomRot90')]\ntrain_dataloader = dict(batch_size=3)", id='a helper of its own'),
]


@pytest.fixture
def child_config(tmp_path):
    (tmp_path / 'base.py').write_text(BASE)

    def write(text, base="['./base.py']"):
        (tmp_path / 'child.py').write_text(f'_base_ = {base}\n{text}\n')
        return tmp_path / 'child.py'

    return write


@pytest.mark.parametrize('base', ["['./base.py']", "'base.py'"])
def test_redefined_pipeline_that_no_loader_takes_is_refused_with_the_missing_line(child_config, base):
    with pytest.raises(ConfigError, match="the new 'train_pipeline' goes nowhere") as caught:
        read_config(str(child_config(FLIPPED, base)))
    assert str(caught.value).endswith('add train_dataloader = dict(dataset=dict(pipeline=train_pipeline)).')


@pytest.mark.parametrize('text', HEARD)
def test_variables_that_are_heard_of_or_change_nothing_pass(child_config, text):
    assert read_config(str(child_config(text))).train_dataloader.dataset.type == 'CocoDataset'


def test_config_that_a_run_has_written_is_read_again(child_config, tmp_path):
    cfg = read_config(str(child_config('')))
    merge_options(cfg, {'train_dataloader.dataset.pipeline.1.prob': 0.1})
    cfg.dump(tmp_path / 'dumped.py')
    assert read_config(str(tmp_path / 'dumped.py')).train_dataloader.dataset.pipeline[1].prob == 0.1

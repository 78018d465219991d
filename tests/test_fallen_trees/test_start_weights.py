import socket

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.runner import Runner

from fallen_trees import start_weights
from fallen_trees.derive.config import derive
from fallen_trees.errors import ConfigError, EnvironmentFailure
from fallen_trees.start_weights import (
    describe_start,
    fit_start,
    misfits,
    read_checkpoint,
    require_fit,
    settle_start_weights,
)
from fallen_trees.weights.surgery import CLASSES, QUERIES, fit, fit_bands


@pytest.fixture
def closed_port():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


def test_weights_that_cannot_be_fetched_say_how_to_go_on_without(demo_config, closed_port, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    demo_config.load_from = f'http://127.0.0.1:{closed_port}/m2f-0123abcd.pth'
    with pytest.raises(EnvironmentFailure, match='load_from=None') as caught:
        settle_start_weights(demo_config)
    assert str(tmp_path) in str(caught.value)
    assert not list(tmp_path.rglob('*.pth'))


def test_a_full_checkpoint_makes_the_backbones_weights_needless(demo_config, tmp_path):
    (tmp_path / 'x.pth').touch()
    demo_config.load_from = str(tmp_path / 'x.pth')
    demo_config.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='http://127.0.0.1:1/never.pth')
    notes = settle_start_weights(demo_config)
    assert demo_config.model.backbone.init_cfg is None
    assert 'x.pth' in notes[0]


def test_a_missing_local_file_is_the_users_mistake(demo_config):
    demo_config.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='nowhere/r18.pth')
    with pytest.raises(ConfigError, match='nowhere/r18.pth'):
        settle_start_weights(demo_config)


def test_a_start_from_nothing_is_said(demo_config):
    assert 'random' in settle_start_weights(demo_config)[0]


def test_addresses_become_cached_files(demo_config, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    cached = tmp_path / 'hub/checkpoints/r18-0123abcd.pth'
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert start_weights._local_file('https://example.org/a/r18-0123abcd.pth') == cached


def test_every_kind_of_misfit_is_named():
    model = torch.nn.Linear(2, 3)
    assert misfits(model, model.state_dict()) == []
    lines = misfits(model, {'weight': torch.zeros(4, 2), 'other': torch.zeros(1)})
    assert lines == [
        'weight is (4, 2), the model has (3, 2)',
        'bias is missing',
        'other has no place in the model',
    ]
    with pytest.raises(ConfigError, match='weight is .* and 2 more'):
        require_fit(model, {'state_dict': {'weight': torch.zeros(4, 2), 'other': torch.zeros(1)}}, 'x.pth')


def test_damaged_checkpoints_are_one_line(tmp_path):
    file = tmp_path / 'x.pth'
    torch.save(dict(state_dict=torch.nn.Linear(2, 3).state_dict()), file)
    assert read_checkpoint(file)['meta'] == {}
    whole = file.read_bytes()
    for content in (b'', whole[: len(whole) // 2], b'not a checkpoint'):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match='cannot be read'):
            read_checkpoint(file)
    torch.save([1, 2], file)
    with pytest.raises(ConfigError, match='state_dict'):
        read_checkpoint(file)
    with pytest.raises(ConfigError, match='does not exist'):
        read_checkpoint(tmp_path / 'y.pth')


def test_how_much_the_start_weights_fill_is_said(tmp_path):
    model = torch.nn.Linear(2, 3)
    file = tmp_path / 'x.pth'
    torch.save(dict(state_dict=dict(weight=torch.zeros(3, 2), bias=torch.zeros(81))), file)
    assert describe_start(model, file) == ['Start weights fill 1 of 2 tensors; random: bias.']
    torch.save(dict(state_dict=dict(other=torch.zeros(1))), file)
    with pytest.raises(ConfigError, match='fit no tensor'):
        describe_start(model, file)


def test_a_checkpoint_of_other_classes_queries_and_bands_is_made_to_fit_while_it_is_loaded(demo_config, tmp_path):
    """Through MMEngine's own loading, and before the EMA copies what is loaded."""
    demo_config.work_dir = str(tmp_path)
    old = dict(num_queries=10, num_things_classes=3)
    old['loss_cls'] = dict(class_weight=[1.0] * 3 + [0.1])
    before = ConfigDict(demo_config.to_dict()['model'])
    before.panoptic_head.update(old)
    before.panoptic_fusion_head.num_things_classes = 3
    tensors = MODELS.build(before).state_dict()
    meta = dict(dataset_meta=dict(classes=('stump', 'fallen_tree', 'rock')))
    torch.save(dict(state_dict=tensors, meta=meta), tmp_path / 'x.pth')

    demo_config.load_from = str(tmp_path / 'x.pth')
    demo_config.model.backbone.in_channels = 4
    bands = dict(type='BandsPreprocessor', mean=[0.0] * 4, std=[1.0] * 4, bgr_to_rgb=False)
    demo_config.model.data_preprocessor.update(bands)
    demo_config.custom_hooks = [dict(type='EMAHook')]
    derive(demo_config, ('train', 'val', 'test'))
    runner = Runner.from_cfg(demo_config)
    runner.call_hook('before_run')  # the EMA makes its model
    lines = fit_start(runner)
    runner.load_or_resume()
    expected, said = fit(tensors, runner.model.state_dict(), meta['dataset_meta']['classes'], ('fallen_tree',))
    assert lines[:-1] == said and len(said) == 3
    assert lines[-1].endswith('random: none.')
    ema = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook').ema_model.module
    for model in (runner.model, ema):
        loaded = model.state_dict()
        assert all(torch.equal(loaded[name], expected[name]) for name in expected)
    assert torch.equal(loaded[CLASSES[0]], tensors[CLASSES[0]][[1, 3]])
    assert loaded[QUERIES[0]].shape[0] == 25


def test_a_checkpoint_that_fits_is_loaded_as_it_is(demo_config, tmp_path):
    demo_config.work_dir = str(tmp_path)
    derive(demo_config, ('train', 'val', 'test'))
    torch.save(dict(state_dict=MODELS.build(demo_config.model).state_dict()), tmp_path / 'x.pth')
    demo_config.load_from = str(tmp_path / 'x.pth')
    runner = Runner.from_cfg(demo_config)
    hooks = len(runner.hooks)
    lines = fit_start(runner)
    assert len(lines) == 1 and lines[0].endswith('random: none.')
    assert len(runner.hooks) == hooks


@pytest.mark.parametrize('under', ['', 'state_dict', 'model'])
def test_a_backbones_weights_are_made_for_its_bands(demo_config, tmp_path, under):
    """As torchvision, MMEngine and Swin write them."""
    demo_config.work_dir = str(tmp_path / 'run')
    backbone = demo_config.model.backbone
    tensors = MODELS.build(backbone).state_dict()
    torch.save({under: tensors} if under else tensors, tmp_path / 'r18.pth')
    backbone.update(in_channels=5, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'r18.pth')))
    notes = settle_start_weights(demo_config)
    assert 'from 3 to 5' in notes[0] and str(tmp_path / 'run') in notes[1]
    model = MODELS.build(backbone)
    model.init_weights()
    loaded = model.state_dict()
    assert torch.equal(loaded.pop('conv1.weight'), fit_bands(tensors['conv1.weight'], 5))
    assert all(torch.equal(loaded[name], tensors[name]) for name in loaded)
    assert settle_start_weights(demo_config)[0].endswith('is for 5 bands already.')

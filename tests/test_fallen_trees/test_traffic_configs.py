"""The traffic configs hold together, run, and keep what they freeze to the bit, averages and statistics included."""

import ast
import copy
import json
import sys

import mmdet
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope

from data_prep.__main__ import main
from fallen_trees.config_keys import check_keys
from fallen_trees.derive.config import REPOSITORY, derive
from fallen_trees.start_weights import read_checkpoint
from fallen_trees.training import Flags, prepare

sys.path.append(str(REPOSITORY / 'tests/test_workflows'))
import drawn_panoptic  # noqa: E402
import drawn_streets  # noqa: E402

SEMANTIC, FROZEN, PANOPTIC = (
    f'm2f_swin-t_{name}.py' for name in ('idd_semantic', 'idd_frozen', 'coco_panoptic')
)  # fmt: skip
KEPT = ('backbone.', 'panoptic_head.pixel_decoder.')


@pytest.fixture(autouse=True)
def plain_text(monkeypatch):
    """Making the eight copies of a run's config beautiful takes longer than the run."""
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **style: (text, True))


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Folder of each config's data."""
    idd = drawn_streets.idd(tmp_path_factory.mktemp('idd'), train=8, val=2, sequences=2)
    assert main(['semantic', str(idd)]) == 0
    best = ['--split', '0.6,0.2,0.2', '--out', str(idd / 'annotations/best.json')]
    assert main(['select', str(idd / 'annotations/semantic_train.json'), '--n', '6', *best]) == 0
    coco = drawn_panoptic.write(tmp_path_factory.mktemp('coco'), counts=(4, 2))
    return {SEMANTIC: idd, FROZEN: idd, PANOPTIC: coco}


def load(name, data):
    init_default_scope('mmdet')
    cfg = Config.fromfile(REPOSITORY / 'configs/traffic' / name)
    cfg.data_root = str(data[name])
    return cfg


@pytest.mark.parametrize('name', [SEMANTIC, FROZEN, PANOPTIC])
def test_settings_agree_with_each_other(name, data):
    text = (REPOSITORY / 'configs/traffic' / name).read_text()
    assert 'python tools/train.py configs/traffic/' in ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 60
    cfg = load(name, data)
    derive(cfg, ('train', 'val', 'test'))
    check_keys(cfg)
    assert all(side % 32 == 0 for side in cfg.image_size)
    assert cfg.train_dataloader.batch_size * cfg.optim_wrapper.accumulative_counts == 8
    assert cfg.train_cfg.val_interval % cfg.default_hooks.checkpoint.interval == 0
    assert (cfg.train_dataloader.sampler.type, cfg.train_dataloader.sampler.seed) == ('InfiniteSampler', 0)
    assert cfg.param_scheduler[0].end < cfg.train_cfg.max_iters + 2
    head, classes = cfg.model.panoptic_head, len(cfg.metainfo.classes)
    assert head.num_things_classes + head.num_stuff_classes == classes == len(head.loss_cls.class_weight) - 1
    weights = (REPOSITORY / mmdet.__path__[0] / '.mim/configs/mask2former/metafile.yml').read_text()
    assert f'Weights: {cfg.load_from}\n' in weights
    on = {key for key, value in cfg.model.test_cfg.items() if key.endswith('_on') and value}
    assert on == ({'panoptic_on'} if name == PANOPTIC else {'semantic_on'})


def test_the_recipe_is_two_epochs_of_adam_at_5e_5(data):
    cfg = load(FROZEN, data)
    split = json.loads((data[FROZEN] / 'annotations/best_train.json').read_text())
    derive(cfg, ('train', 'val'))
    assert cfg.train_cfg.max_iters == 2 * -(-len(split['images']) // 8) == 2
    assert (cfg.optim_wrapper.optimizer.type, cfg.optim_wrapper.optimizer.lr) == ('Adam', 5e-5)
    assert cfg.train_dataloader.batch_size == 8
    assert 1283 * 2 // 8 <= 2 * -(-1283 // 8) == 322  # of 1500 images, 85.5 % train


def small(cfg, tmp_path, batch_norm=False, iterations=2):
    """Make a run so small that it takes seconds."""
    cfg.work_dir, cfg.load_from, cfg.image_size, cfg.launcher = str(tmp_path), None, (64, 64), 'none'
    cfg.visualizer.name = str(tmp_path)
    if batch_norm:
        cfg.model.backbone = ConfigDict(type='ResNet', depth=18, base_channels=8, num_stages=4, norm_eval=False)
        cfg.model.panoptic_head.in_channels = [8, 16, 32, 64]
    else:
        cfg.model.backbone.update(embed_dims=16, depths=[1] * 4, num_heads=[1, 2, 4, 8], init_cfg=None)
        cfg.model.panoptic_head.in_channels = [16, 32, 64, 128]
    head = cfg.model.panoptic_head
    head.update(feat_channels=32, out_channels=32, num_queries=9)
    head.positional_encoding.num_feats = head.pixel_decoder.positional_encoding.num_feats = 16
    for part in (head.pixel_decoder.encoder, head.transformer_decoder):
        part.num_layers = 1
        for node in part.layer_cfg.values():
            node.embed_dims = 32
        part.layer_cfg.ffn_cfg.feedforward_channels = 32
    cfg.model.train_cfg.num_points = 64
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.num_workers = 0
    cfg.train_dataloader.batch_size, cfg.optim_wrapper.accumulative_counts = 2, 1
    cfg.train_cfg.update(max_iters=iterations, val_interval=iterations)
    cfg.default_hooks.checkpoint.interval = iterations
    for scheduler in cfg.param_scheduler[1:]:
        scheduler.begin = 0
    return cfg


@pytest.mark.parametrize(('name', 'figure'), [(SEMANTIC, 'semantic/mIoU'), (PANOPTIC, 'panoptic/PQ')])
def test_it_trains_saves_and_is_validated(name, figure, data, tmp_path):
    runner = prepare(small(load(name, data), tmp_path), Flags(), [])
    runner.train()
    content = read_checkpoint(tmp_path / 'iter_2.pth')
    assert all(tensor.isfinite().all() for tensor in content['state_dict'].values())
    assert len(content['meta']['dataset_meta']['classes']) == (7 if name == PANOPTIC else 26)
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(figure in row for row in rows)
    assert all(row['loss'] > 0 for row in rows if 'loss' in row)
    card = (tmp_path / 'MODEL_CARD.md').read_text()
    assert f'- {figure.split("/")[0]}-segmentation' in card
    assert 'aerial' not in card and 'size of a pixel on the ground is not known' in card


class Start(Hook):
    """Keeps the weights as they are after they were made and before anything moves."""

    priority = 'VERY_HIGH'

    def before_train(self, runner):
        self.state = copy.deepcopy(runner.model.state_dict())


@pytest.mark.parametrize('batch_norm', [False, True], ids=['Swin', 'ResNet with batch norm'])
def test_what_is_frozen_stays_to_the_bit(batch_norm, data, tmp_path):
    """With weight decay, batch norm in training mode and averaged weights, each of which would move it."""
    cfg = small(load(FROZEN, data), tmp_path, batch_norm, iterations=4)
    cfg.optim_wrapper.optimizer.update(lr=1e-2, weight_decay=0.1)
    cfg.custom_hooks.append(dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.2, priority=49))
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    runner = prepare(cfg, Flags(), [])
    start = Start()
    runner.register_hook(start)
    runner.train()
    before, after = start.state, runner.model.state_dict()
    kept = {key for key in before if key.startswith(KEPT)}
    assert len(kept) > 60 and sum('running_mean' in key for key in kept) == (20 if batch_norm else 0)
    assert [key for key in kept if not torch.equal(before[key], after[key])] == []
    moved = [key for key in before if key not in kept and not torch.equal(before[key], after[key])]
    assert len(moved) > 0.8 * (len(before) - len(kept))
    content = read_checkpoint(tmp_path / 'iter_4.pth')
    for state in (content['state_dict'], content['ema_state_dict']):
        named = {key.removeprefix('module.'): value for key, value in state.items()}
        assert [key for key in kept if not torch.equal(before[key], named[key])] == []
    trained = sum(weight.numel() for weight in runner.model.parameters() if weight.requires_grad)
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert f'{trained:,} of ' in log and 'frozen: backbone, panoptic_head.pixel_decoder.' in log
    optimised = runner.optim_wrapper.optimizer.state
    assert sum(weight.numel() for weight in optimised) == trained  # no moments of what is frozen

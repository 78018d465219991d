"""What must hold for every config, that each of them runs, and that models are MMDetection's but for what files say."""

import argparse
import ast
import copy
import importlib.util
import itertools
import json
import re
import shlex
from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.registry import DATASETS, MODELS, TASK_UTILS, TRANSFORMS
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from fallen_trees.config_keys import check_keys, merge_options
from fallen_trees.derive.config import derive
from fallen_trees.start_weights import read_checkpoint

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
BASES = CONFIGS / '_base_'
PUBLISHED = Path(mmdet.__file__).parent / '.mim/configs'
# An ablation names configs and is none; a sweep says how one is searched (tests/test_sweep).
APART = {'_base_', 'ablations', 'sweeps', 'traffic', 'cityscapes'}  # traffic, cityscapes: tests of their own
LEAVES = sorted(file for file in CONFIGS.rglob('*.py') if not APART & {*file.parts})


def load(file, tiles, classes=None):
    init_default_scope('mmdet')
    cfg = Config.fromfile(file)
    cfg.data_root = str(tiles)
    derive(cfg, ('train', 'val', 'test'), classes)
    return cfg


@pytest.fixture(params=LEAVES, ids=lambda file: file.stem)
def leaf(request):
    return request.param


def test_every_leaf_reads_as_an_experiment(leaf):
    text = leaf.read_text()
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring
    assert 'python tools/' in docstring or 'bash tools/' in docstring
    assert len(text.splitlines()) <= 60


def test_inheritance_is_at_most_three_levels_deep(leaf):
    def depth(file):
        namespace = {}
        tree = ast.parse(file.read_text())
        for node in tree.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '_base_':
                namespace['bases'] = ast.literal_eval(node.value)
        return 1 + max((depth((file.parent / base).resolve()) for base in namespace.get('bases', [])), default=0)

    assert depth(leaf) <= 3


def test_invariants_hold(leaf, tiles):
    cfg = load(leaf, tiles)
    check_keys(cfg)
    counts_hold(cfg.model, len(cfg.metainfo.classes))
    warmup, fall = cfg.param_scheduler
    milestones = fall.get('milestones', [warmup.end + 1])
    assert warmup.end < milestones[0] <= milestones[-1] < fall.end == cfg.train_cfg.max_iters
    accumulation = cfg.optim_wrapper.accumulative_counts
    checkpoint = cfg.default_hooks.checkpoint
    assert cfg.train_cfg.val_interval % checkpoint.interval == 0
    assert checkpoint.interval % accumulation == cfg.train_cfg.max_iters % accumulation == 0
    assert checkpoint.save_best == 'coco/segm_mAP'
    sampler = cfg.train_dataloader.sampler
    assert (sampler.type, sampler.seed, cfg.train_dataloader.batch_sampler) == ('InfiniteSampler', 0, None)
    assert cfg.randomness.seed is not None
    for split in ('val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert cfg[f'{split}_evaluator'].ann_file == str(Path(dataset.data_root, dataset.ann_file))
    assert all(side % 32 == 0 for side in cfg.image_size)


def counts_hold(model, num_classes):
    if 'roi_head' in model:
        assert model.roi_head.bbox_head.num_classes == model.roi_head.mask_head.num_classes == num_classes
        assert model.test_cfg.rcnn.max_per_img == 100
        return
    head, fusion = model.panoptic_head, model.panoptic_fusion_head
    assert head.num_things_classes == fusion.num_things_classes == num_classes
    assert head.num_stuff_classes == fusion.num_stuff_classes == 0
    assert len(head.loss_cls.class_weight) == num_classes + 1
    assert model.test_cfg.max_per_image <= head.num_queries * num_classes
    assert not model.test_cfg.panoptic_on


def test_every_leaf_builds(leaf, tiles):
    cfg = load(leaf, tiles)
    model = MODELS.build(cfg.model)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) > 1e6


def test_bases_can_be_combined_at_will():
    keys = {
        file.relative_to(BASES): set(Config.fromfile(file)._cfg_dict) - {'channels'} for file in BASES.rglob('*.py')
    }  # fmt: skip
    for (one, of_one), (other, of_other) in itertools.combinations(keys.items(), 2):
        if one.parent != other.parent:
            assert not of_one & of_other, f'{one} and {other}'


def test_our_model_is_mmdetections_but_for_what_its_file_says(tiles):
    upstream = Config.fromfile(PUBLISHED / 'mask2former/mask2former_r50_8xb2-lsj-50e_coco.py').model.to_dict()
    init_default_scope('mmdet')
    ours = Config.fromfile(BASES / 'models/mask2former_r50.py')
    ours.train_dataloader = ours.val_dataloader = None
    derive(ours, (), classes=upstream_classes(80))
    ours = ours.model.to_dict()
    assert upstream['data_preprocessor'].pop('batch_augments')[0]['type'] == 'BatchFixedSizePad'
    assert ours['data_preprocessor'].pop('batch_augments') is None
    assert upstream['data_preprocessor'].pop('seg_pad_value') == 255  # left over: pad_seg is off
    assert upstream['backbone'].pop('init_cfg')['checkpoint'] == 'torchvision://resnet50'
    assert 'resnet50' in ours['backbone'].pop('init_cfg')['checkpoint']
    settings = ours['test_cfg']
    added = dict(score_thr=0.01, matrix_nms_sigma=None, mask_format='rle', mask_memory_mb=256)
    assert {key: settings.pop(key) for key in added} == added
    for registry, one, other in (
        (MODELS, ours['panoptic_head'], upstream['panoptic_head']),
        (MODELS, ours['panoptic_head']['pixel_decoder'], upstream['panoptic_head']['pixel_decoder']),
        (MODELS, ours['panoptic_fusion_head'], upstream['panoptic_fusion_head']),
        (TASK_UTILS, ours['train_cfg']['assigner'], upstream['train_cfg']['assigner']),
    ):
        assert issubclass(registry.get(one.pop('type')), registry.get(other.pop('type')))
    assert ours == upstream


def test_our_mask_rcnn_is_mmdetections():
    upstream = Config.fromfile(PUBLISHED / '_base_/models/mask-rcnn_r50_fpn.py').model.to_dict()
    ours = Config.fromfile(BASES / 'models/mask_rcnn_r50.py')
    derive(ours, (), classes=upstream_classes(80))
    ours = ours.model.to_dict()
    assert upstream['backbone'].pop('init_cfg')['checkpoint'] == 'torchvision://resnet50'
    assert 'resnet50' in ours['backbone'].pop('init_cfg')['checkpoint']
    assert ours == upstream


@pytest.mark.parametrize(
    ('leaf', 'published'),
    [
        ('r101', 'r101_8xb2-lsj-50e_coco'),
        ('swin-t', 'swin-t-p4-w7-224_8xb2-lsj-50e_coco'),
        ('swin-s', 'swin-s-p4-w7-224_8xb2-lsj-50e_coco'),
        ('swin-b', 'swin-b-p4-w12-384-in21k_8xb2-lsj-50e_coco-panoptic'),
    ],
)
def test_backbones_and_their_decay_are_mmdetections(leaf, published, tiles):
    """The same backbone, and for each of its weights the same rate and decay."""
    ours = load(CONFIGS / f'm2f_{leaf}_trees.py', tiles)
    upstream = Config.fromfile(PUBLISHED / f'mask2former/mask2former_{published}.py')
    one, other = (dict(cfg.model.backbone.to_dict(), init_cfg=None) for cfg in (ours, upstream))
    assert one == other
    model = torch.nn.ModuleDict({'backbone': MODELS.build(one)})
    assert rates(model, ours.optim_wrapper) == rates(model, upstream.optim_wrapper)


def rates(model, wrapper):
    wrapper = dict(copy.deepcopy(wrapper), accumulative_counts=1)
    wrapper['optimizer'].pop('fused', None)
    groups = build_optim_wrapper(model, ConfigDict(wrapper)).optimizer.param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(group['params'][0])]: (group['lr'], group['weight_decay']) for group in groups}


def test_start_weights_lie_where_mmdetection_publishes_them():
    published = ''.join((PUBLISHED / name / 'metafile.yml').read_text() for name in ('mask2former', 'mask_rcnn'))
    starts = {leaf.stem: Config.fromfile(leaf).get('load_from') for leaf in LEAVES}
    assert len({start for start in starts.values() if start}) == 6
    for name, start in starts.items():
        assert not start or f'Weights: {start}\n' in published, name


def test_the_floor_has_the_data_and_the_length_of_the_run_that_it_is_held_against(tiles):
    for ours, others in (
        ('m2f_r50_trees', ['mask_rcnn_r50_trees']),
        ('m2f_trees_demo', ['mask_rcnn_trees_demo', 'm2f_stock_trees_demo']),
        ('m2f_mobilenetv2_crowns', ['mask_rcnn_mobilenetv2_crowns', 'm2f_stock_mobilenetv2_crowns']),
    ):
        one = load(CONFIGS / f'{ours}.py', tiles)
        for name in others:
            other = load(CONFIGS / f'{name}.py', tiles)
            for key in ('image_size', 'train_cfg', 'default_hooks', 'custom_hooks', 'val_evaluator', 'randomness'):
                assert one[key] == other[key], f'{name}: {key}'
            loaders = [copy.deepcopy(cfg.train_dataloader.to_dict()) for cfg in (one, other)]
            steps = [loader['dataset'].pop('pipeline') for loader in loaders]
            assert loaders[0] == loaders[1]
            assert steps[0] == steps[1] or name.startswith('m2f_stock_')
            assert one.optim_wrapper.accumulative_counts == other.optim_wrapper.accumulative_counts


@pytest.mark.parametrize('name', ['m2f_stock_trees_demo', 'm2f_stock_mobilenetv2_crowns'])
def test_the_stock_model_has_no_class_of_ours(tiles, name):
    cfg = load(CONFIGS / f'{name}.py', tiles)
    loaders = [cfg[f'{split}_dataloader'].to_dict() for split in ('train', 'val', 'test')]
    names = {node['type'] for node in dicts([cfg.model.to_dict(), loaders]) if 'type' in node}
    found = [
        registry.get(name).__module__
        for registry in (MODELS, TASK_UTILS, TRANSFORMS, DATASETS)
        for name in names
        if registry.get(name) is not None
    ]
    assert len(found) > 15
    assert [module for module in found if module.startswith('fallen_trees')] == []


def dicts(node):
    if isinstance(node, dict):
        yield node
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ():
        yield from dicts(item)


def upstream_classes(count):
    return tuple(f'class {i}' for i in range(count))


def test_the_optimizer_is_mmdetections():
    upstream = Config.fromfile(PUBLISHED / 'mask2former/mask2former_r50_8xb2-lsj-50e_coco.py').optim_wrapper.to_dict()
    ours = Config.fromfile(BASES / 'schedules/adamw_12k.py').optim_wrapper.to_dict()
    assert ours.pop('accumulative_counts') == 4
    assert ours['optimizer'].pop('fused')  # the same step, one kernel for all weights
    assert ours == upstream


def test_the_flagship_is_what_the_readme_says(tiles):
    cfg = load(CONFIGS / 'm2f_r50_trees.py', tiles)
    assert cfg.image_size == (1024, 1024)
    assert cfg.model.panoptic_head.num_queries == 100
    assert cfg.train_dataloader.batch_size * cfg.optim_wrapper.accumulative_counts == 8
    assert cfg.train_cfg.max_iters == 12000 * cfg.optim_wrapper.accumulative_counts
    assert cfg.param_scheduler[0].end == 500 * cfg.optim_wrapper.accumulative_counts
    assert 'mask2former_r50' in cfg.load_from


# As small as the classes allow, in the words of --cfg-options: 64 px, 2 tiles, one layer of each kind, a few channels.
SMALL = [
    'image_size=64,64',
    'load_from=None',
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'optim_wrapper.accumulative_counts=1',
    'default_hooks.checkpoint.interval=2',
    *(f'{split}_dataloader.num_workers=0' for split in ('train', 'val')),
    'train_dataloader.batch_size=2',
    'val_dataloader.dataset.indices=3',
    # Each data set that packs its list collects the garbage of the whole process first.
    *(f'{split}_dataloader.dataset.serialize_data=False' for split in ('train', 'val')),
]
HEAD, PIXELS, QUERIES = (f'model.panoptic_head{part}' for part in ('', '.pixel_decoder', '.transformer_decoder'))
LAYERS = (f'{PIXELS}.encoder.layer_cfg', f'{QUERIES}.layer_cfg')
SMALL_MASK2FORMER = [
    *(f'{HEAD}.{key}=32' for key in ('feat_channels', 'out_channels')),
    *(f'{part}.positional_encoding.num_feats=16' for part in (HEAD, PIXELS)),
    *(f'{layer}.{part}.embed_dims=32' for layer in LAYERS for part in ('self_attn_cfg', 'ffn_cfg')),
    f'{QUERIES}.layer_cfg.cross_attn_cfg.embed_dims=32',
    *(f'{layer}.ffn_cfg.feedforward_channels=32' for layer in LAYERS),
    f'{PIXELS}.encoder.num_layers=1',
    f'{QUERIES}.num_layers=1',
    f'{HEAD}.num_queries=5',
    'model.train_cfg.num_points=64',
]
SMALL_MASK_RCNN = [
    *(f'model.{key}=32' for key in ('neck.out_channels', 'rpn_head.in_channels', 'rpn_head.feat_channels')),
    *(f'model.roi_head.{part}_roi_extractor.out_channels=32' for part in ('bbox', 'mask')),
    *(f'model.roi_head.{part}_head.in_channels=32' for part in ('bbox', 'mask')),
    'model.roi_head.bbox_head.fc_out_channels=32',
    'model.roi_head.mask_head.conv_out_channels=32',
    *(f'model.{key}.max_per_img=20' for key in ('train_cfg.rpn_proposal', 'test_cfg.rpn', 'test_cfg.rcnn')),
]
SMALL_BACKBONE = {
    'ResNet': (['base_channels=8'], [32, 64, 128, 256]),
    'SwinTransformer': (['embed_dims=16', 'depths=1,1,1,1', 'num_heads=1,2,4,8'], [16, 32, 64, 128]),
    'MobileNetV2': (['widen_factor=0.25'], [8, 8, 24, 80]),
    'BandsMobileNetV2': (['widen_factor=0.25', 'in_channels=3'], [8, 8, 24, 80]),  # scenes are drawn in three bands
}


def small(cfg):
    """Options that make a config of ours so small that two iterations and a validation take a second or two."""
    changes, channels = SMALL_BACKBONE[cfg.model.backbone.type]
    channels = [width // 4 for width in channels] if cfg.model.backbone.get('depth') == 18 else channels
    options = [*SMALL, 'model.backbone.init_cfg=None', *(f'model.backbone.{change}' for change in changes)]
    if 'BandsPreprocessor' in cfg.model.data_preprocessor.type:
        options += [f'model.data_preprocessor.{key}=127.5,127.5,127.5' for key in ('mean', 'std')]
    for number, hook in enumerate(cfg.custom_hooks):
        if hook.type == 'StagedUnfreezeHook':
            options += [f'custom_hooks.{number}.stages.{stage}.begin={stage}' for stage in range(len(hook.stages))]
    if cfg.param_scheduler[1].get('begin') is None:
        options.append('param_scheduler.1.begin=0')  # two iterations are too few for a warm-up and a fall
    takes = 'neck' if 'neck' in cfg.model else 'panoptic_head'
    options += [f'model.{takes}.in_channels={",".join(map(str, channels))}']
    if cfg.model.backbone.get('norm_cfg', {}).get('type') == 'GN':
        options.append('model.backbone.norm_cfg.num_groups=8')
    return options + (SMALL_MASK2FORMER if takes == 'panoptic_head' else SMALL_MASK_RCNN)


@pytest.fixture(scope='module')
def train():
    """`tools/train.py` in this process; yapf, which beautifies eight copies of a run's config, takes 60 % of a run."""
    spec = importlib.util.spec_from_file_location('train_tool', CONFIGS.parent / 'tools/train.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **style: (text, True))
        yield tool.main


def test_every_leaf_trains_saves_and_is_validated(leaf, tiles, train, tmp_path):
    # MMEngine hands out visualizers by name: one for all would go on writing into the first run's folder.
    options = [f'data_root={tiles}', f'visualizer.name={leaf.stem}', *small(Config.fromfile(leaf))]
    assert train([str(leaf), '--work-dir', str(tmp_path), '--cfg-options', *options]) == 0
    content = read_checkpoint(tmp_path / 'iter_2.pth')
    assert all(tensor.isfinite().all() for tensor in content['state_dict'].values())
    assert content['meta']['dataset_meta']['classes'] == ('fallen_tree',)
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert any('coco/segm_mAP_50' in row for row in rows)
    assert all(row['loss'] > 0 for row in rows if 'loss' in row)


def test_options_that_recipes_md_names_are_taken(tiles):
    text = (CONFIGS.parent / 'docs/recipes.md').read_text().split('## One or two keys')[1]
    lines = [line for line in re.findall('`([^`]+)`', text.split('##')[0]) if re.match(r'[a-z_.]+=', line)]
    assert len(lines) > 10
    for line in lines:
        parser = argparse.ArgumentParser()
        parser.add_argument('--options', nargs='+', action=DictAction)
        options = parser.parse_args(['--options', *shlex.split(line)]).options
        cfg = load(CONFIGS / ('m2f_swin-t_trees.py' if 'with_cp' in line else 'm2f_r50_trees.py'), tiles)
        merge_options(cfg, options)
        check_keys(cfg)


def test_recipes_md_names_every_config():
    text = (CONFIGS.parent / 'docs/recipes.md').read_text()
    assert [leaf.name for leaf in LEAVES if leaf.name not in text and 'rgbn' not in leaf.name] == []

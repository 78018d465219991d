"""What must hold for every config, and that our model is MMDetection's but for what its file says."""

import ast
import itertools
from pathlib import Path

import mmdet
import pytest
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from fallen_trees.config_keys import check_keys
from fallen_trees.derive import derive

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
BASES = CONFIGS / '_base_'
LEAVES = sorted(file for file in CONFIGS.rglob('*.py') if '_base_' not in file.parts)


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
    head, classes = cfg.model.panoptic_head, cfg.metainfo.classes
    assert head.num_things_classes == cfg.model.panoptic_fusion_head.num_things_classes == len(classes)
    assert head.num_stuff_classes == cfg.model.panoptic_fusion_head.num_stuff_classes == 0
    assert len(head.loss_cls.class_weight) == len(classes) + 1
    assert cfg.model.test_cfg.max_per_image <= head.num_queries * len(classes)
    assert not cfg.model.test_cfg.panoptic_on
    warmup, steps = cfg.param_scheduler
    assert warmup.end < steps.milestones[0] < steps.milestones[-1] < steps.end == cfg.train_cfg.max_iters
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
    upstream = Config.fromfile(
        Path(mmdet.__file__).parent / '.mim/configs/mask2former/mask2former_r50_8xb2-lsj-50e_coco.py'
    ).model.to_dict()
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
    assert (settings.pop('score_thr'), settings.pop('mask_format'), settings.pop('mask_memory_mb')) == (
        0.01,
        'rle',
        256,
    )
    for registry, one, other in (
        (MODELS, ours['panoptic_head'], upstream['panoptic_head']),
        (MODELS, ours['panoptic_head']['pixel_decoder'], upstream['panoptic_head']['pixel_decoder']),
        (MODELS, ours['panoptic_fusion_head'], upstream['panoptic_fusion_head']),
        (TASK_UTILS, ours['train_cfg']['assigner'], upstream['train_cfg']['assigner']),
    ):
        assert issubclass(registry.get(one.pop('type')), registry.get(other.pop('type')))
    assert ours == upstream


def upstream_classes(count):
    return tuple(f'class {i}' for i in range(count))


def test_the_optimizer_is_mmdetections():
    upstream = Config.fromfile(
        Path(mmdet.__file__).parent / '.mim/configs/mask2former/mask2former_r50_8xb2-lsj-50e_coco.py'
    ).optim_wrapper.to_dict()
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

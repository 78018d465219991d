import copy
import json
from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from fallen_trees.checks.finding import Verdict, worst
from fallen_trees.checks.recipe import RECIPE_CHECKS
from fallen_trees.checks.recipe.class_counts import class_counts, instances_out
from fallen_trees.checks.recipe.intervals import checkpoint_interval, validation_interval
from fallen_trees.checks.recipe.learning_rate import healthy_range, learning_rate
from fallen_trees.checks.recipe.live_bytes import LiveBytes
from fallen_trees.checks.recipe.loading import sampler
from fallen_trees.checks.recipe.lr_curve import lr_curve
from fallen_trees.checks.recipe.memory import memory, predict_peak
from fallen_trees.checks.recipe.model import build_model
from fallen_trees.checks.recipe.pipelines import empty_masks, empty_tiles, scale_of_test
from fallen_trees.checks.recipe.precision import amp
from fallen_trees.checks.recipe.run_length import run_length
from fallen_trees.checks.recipe.schedule import lr_schedule
from fallen_trees.checks.recipe.starting import start_weights
from fallen_trees.checks.recipe.train_step import Batch, Stepper
from fallen_trees.checks.recipe.trainable import trainable_share
from fallen_trees.checks.subject import Subject
from fallen_trees.derive.config import derive

CHECKS = {
    'learning-rate': learning_rate,
    'lr-schedule': lr_schedule,
    'warm-up': lr_schedule,
    'validation-interval': validation_interval,
    'checkpoint-interval': checkpoint_interval,
    'trainable-share': trainable_share,
    'start-weights': start_weights,
    'class-counts': class_counts,
    'instances-out': instances_out,
    'test-scale': scale_of_test,
    'mask-filter': empty_masks,
    'empty-tiles-kept': empty_tiles,
    'sampler': sampler,
    'seed': sampler,
    'amp': amp,
    'memory': memory,
}
OPTIMISER, WRAPPER = 'optim_wrapper.optimizer', 'optim_wrapper'
SGD = dict(_delete_=True, type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4)
COSINE = [dict(type='CosineAnnealingLR', T_max=2300, eta_min=1e-6, by_epoch=False, begin=0, end=2300)]
CROP = dict(type='RandomCrop', crop_size=(128, 128))
LOADING = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
RESIZE = dict(type='Resize', scale=None, keep_ratio=True)


def steps(*milestones, **changes):
    return [dict(type='MultiStepLR', by_epoch=False, begin=0, milestones=list(milestones), gamma=0.1) | changes]


def warm_up(end):
    return [dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=end), *steps(1600, 2000)]


def with_options(cfg, options):
    """A config with options merged, as --cfg-options does; keys with a '.' go inside, `_delete_` replaces."""
    for key, value in options.items():
        *path, last = key.split('.')
        node = cfg
        for part in path:
            node = node[int(part) if part.isdigit() else part]
        if isinstance(value, dict) and '_delete_' in value:
            value = {name: item for name, item in value.items() if name != '_delete_'}
        node[last] = copy.deepcopy(value)
    return cfg


def findings(cfg, checks=RECIPE_CHECKS):
    derive(cfg, ('train', 'val') if cfg.get('val_cfg') else ('train',))
    subject = Subject(cfg, num_samples=4)
    return [finding for check in checks if check is not memory for finding in check(subject)]


FAULTS = {
    'sgd that cannot move': ({OPTIMISER: SGD | dict(lr=1e-4)}, 'learning-rate', Verdict.ERROR),
    'sgd that hardly moves': ({OPTIMISER: SGD | dict(lr=0.05)}, 'learning-rate', Verdict.WARNING),
    'sgd at the rate of adam': (
        {OPTIMISER: SGD | dict(lr=1e-4), f'{WRAPPER}.clip_grad': None},
        'learning-rate',
        Verdict.WARNING,
    ),
    'a hundred times too fast': ({f'{OPTIMISER}.lr': 8e-2}, 'learning-rate', Verdict.ERROR),
    'a hundred times too fast for R50': ({f'{OPTIMISER}.lr': 1e-2}, 'learning-rate', Verdict.ERROR),
    'twice too fast': ({f'{OPTIMISER}.lr': 2e-3}, 'learning-rate', Verdict.WARNING),
    'too slow': ({f'{OPTIMISER}.lr': 3e-6}, 'learning-rate', Verdict.WARNING),
    'far too slow': ({f'{OPTIMISER}.lr': 1e-8}, 'learning-rate', Verdict.ERROR),
    'linear rule on adam': ({'auto_scale_lr': dict(enable=True, base_batch_size=4)}, 'learning-rate', Verdict.WARNING),
    'decay in adam': ({f'{OPTIMISER}.type': 'Adam'}, 'learning-rate', Verdict.WARNING),
    'milestones of another run': ({'param_scheduler': steps(327778, 355092)}, 'lr-schedule', Verdict.WARNING),
    'no schedule': ({'param_scheduler': []}, 'lr-schedule', Verdict.WARNING),
    'epochs as iterations': ({'param_scheduler': steps(8, 11)}, 'lr-schedule', Verdict.ERROR),
    'counts epochs in a loop of iterations': (
        {'param_scheduler': steps(8, 11, by_epoch=True)},
        'lr-schedule',
        Verdict.WARNING,
    ),
    'ends before its milestones': ({'param_scheduler': steps(1600, 2000, end=1000)}, 'lr-schedule', Verdict.WARNING),
    'cosine longer than the run': (
        {'param_scheduler': [COSINE[0] | dict(T_max=48000, end=48000)]},
        'lr-schedule',
        Verdict.WARNING,
    ),
    'long warm-up': ({'param_scheduler': warm_up(800)}, 'warm-up', Verdict.WARNING),
    'never validated on the way': ({'train_cfg.val_interval': 5000}, 'validation-interval', Verdict.WARNING),
    'never saved': ({'default_hooks.checkpoint.interval': 5000}, 'checkpoint-interval', Verdict.WARNING),
    'saved by epoch': ({'default_hooks.checkpoint.by_epoch': True}, 'checkpoint-interval', Verdict.WARNING),
    'saved amid an update': ({f'{WRAPPER}.accumulative_counts': 4}, 'checkpoint-interval', Verdict.WARNING),
    'validated and not kept': (
        {'default_hooks.checkpoint.interval': 400, 'default_hooks.checkpoint.save_best': None},
        'checkpoint-interval',
        Verdict.WARNING,
    ),
    'all multipliers 0': (
        {f'{WRAPPER}.paramwise_cfg.custom_keys': dict(backbone=dict(lr_mult=0.0), panoptic_head=dict(lr_mult=0.0))},
        'trainable-share',
        Verdict.ERROR,
    ),
    'rate 0': ({f'{OPTIMISER}.lr': 0.0}, 'trainable-share', Verdict.ERROR),
    'head still': (
        {f'{WRAPPER}.paramwise_cfg.custom_keys.panoptic_head': dict(lr_mult=0.0)},
        'trainable-share',
        Verdict.WARNING,
    ),
    'frozen at random': ({'model.backbone.frozen_stages': 2}, 'start-weights', Verdict.ERROR),
    'norms frozen at random': ({'model.backbone.norm_cfg.requires_grad': False}, 'start-weights', Verdict.WARNING),
    'no such file': ({'load_from': 'nowhere/x.pth'}, 'start-weights', Verdict.ERROR),
    'class weights of COCO': (
        {'model.panoptic_head.loss_cls.class_weight': [1.0] * 80 + [0.1]},
        'class-counts',
        Verdict.ERROR,
    ),
    'stuff': ({'model.panoptic_head.num_stuff_classes': 53}, 'instances-out', Verdict.ERROR),
    'stuff in the fusion head': ({'model.panoptic_fusion_head.num_stuff_classes': 53}, 'instances-out', Verdict.ERROR),
    'panoptic': ({'model.test_cfg.panoptic_on': True}, 'instances-out', Verdict.ERROR),
    'no instances': ({'model.test_cfg.instance_on': False}, 'instances-out', Verdict.ERROR),
    'tested larger': ({'val_dataloader.dataset.pipeline.1.scale': (1333, 800)}, 'test-scale', Verdict.WARNING),
    'crop without filter': (
        {'train_dataloader.dataset.pipeline': [*LOADING, RESIZE, CROP, dict(type='PackDetInputs')]},
        'mask-filter',
        Verdict.WARNING,
    ),
    'filter before the crop': (
        {'train_dataloader.dataset.pipeline': [*LOADING, dict(type='FilterAnnotations', by_mask=True), CROP]},
        'mask-filter',
        Verdict.WARNING,
    ),
    'filter by box': (
        {'train_dataloader.dataset.pipeline': [*LOADING, CROP, dict(type='FilterAnnotations')]},
        'mask-filter',
        Verdict.WARNING,
    ),
    'tree-less tiles dropped': (
        {'train_dataloader.dataset.filter_cfg.filter_empty_gt': True},
        'empty-tiles-kept',
        Verdict.WARNING,
    ),
    'replays on resume': (
        {'train_dataloader.sampler': dict(type='DefaultSampler', shuffle=True)},
        'sampler',
        Verdict.WARNING,
    ),
    'groups by shape': (
        {'train_dataloader.batch_sampler': dict(type='AspectRatioBatchSampler')},
        'sampler',
        Verdict.WARNING,
    ),
    'in order': ({'train_dataloader.sampler.shuffle': False}, 'sampler', Verdict.WARNING),
    'an epoch without end': (
        {
            'train_cfg': dict(type='EpochBasedTrainLoop', max_epochs=20, val_interval=1),
            'param_scheduler': steps(12, 16, by_epoch=True),
        },
        'sampler',
        Verdict.ERROR,
    ),
    'no seed': ({'randomness': dict(seed=None)}, 'seed', Verdict.WARNING),
    'float16 in the stock head': (
        {f'{WRAPPER}.type': 'AmpOptimWrapper', 'model.panoptic_head.type': 'Mask2FormerHead'},
        'amp',
        Verdict.WARNING,
    ),
}

HEALTHY = {
    'as it is': {},
    'slow': {f'{OPTIMISER}.lr': 2e-5},
    'fast': {f'{OPTIMISER}.lr': 8e-4},
    'as fast as the crowns': {f'{OPTIMISER}.lr': 1.2e-3},
    'one tile, eight times': {
        'train_dataloader.batch_size': 1,
        f'{WRAPPER}.accumulative_counts': 8,
        'train_cfg.max_iters': 8 * 2300,
        'train_cfg.val_interval': 8 * 575,
        'default_hooks.checkpoint.interval': 8 * 575,
        f'{OPTIMISER}.lr': 2e-5,
    },
    'one tile': {'train_dataloader.batch_size': 1, f'{OPTIMISER}.lr': 2e-5},
    'short': {'train_cfg.max_iters': 100},
    'many queries': {'model.panoptic_head.num_queries': 500},
    'sgd without clip': {OPTIMISER: SGD, f'{WRAPPER}.clip_grad': None},
    'sgd, half the rate': {OPTIMISER: SGD | dict(lr=0.01), f'{WRAPPER}.clip_grad': dict(max_norm=35, norm_type=2)},
    'cosine': {'param_scheduler': COSINE},
    'on a plateau': {'param_scheduler': [*warm_up(230)[:1], dict(type='ReduceOnPlateauLR', monitor='coco/segm_mAP')]},
    'poly': {'param_scheduler': [dict(type='PolyLR', power=0.9, eta_min=1e-6, by_epoch=False, begin=0, end=2300)]},
    'cosine of the published fine-tunings': {
        'param_scheduler': [*warm_up(230)[:1], COSINE[0] | dict(begin=230, T_max=2070)]
    },
    'no validation': {'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None},
    'tile of 512': {'image_size': (512, 512)},
    'bfloat16': {f'{WRAPPER}.type': 'AmpOptimWrapper', f'{WRAPPER}.dtype': 'bfloat16', f'{WRAPPER}.loss_scale': 1.0},
    'bfloat16 of our own': {f'{WRAPPER}.type': 'BFloat16OptimWrapper'},
    'float16 with a head for it': {f'{WRAPPER}.type': 'AmpOptimWrapper', f'{WRAPPER}.loss_scale': 'dynamic'},
    'from nothing': {'load_from': None},
    'no crop': {'train_dataloader.dataset.pipeline': [*LOADING, RESIZE, dict(type='PackDetInputs')]},
    'another seed': {'randomness': dict(seed=7)},
    'repeated': {'train_cfg.val_interval': 100, 'default_hooks.checkpoint.interval': 50},
}


@pytest.mark.parametrize('case', FAULTS)
def test_every_fault_is_found_by_its_name(demo_config, case):
    options, name, verdict = FAULTS[case]
    found = findings(with_options(demo_config, options), [CHECKS[name]])
    named = [finding for finding in found if finding.check == name]
    assert worst(named) == verdict, [finding.message for finding in named]
    assert all(finding.message.strip() and '\n' not in finding.message for finding in found)


@pytest.mark.parametrize('case', HEALTHY)
def test_healthy_variants_are_let_pass(demo_config, case):
    found = findings(with_options(demo_config, HEALTHY[case]))
    assert [(finding.check, finding.message) for finding in found if finding.verdict] == []
    assert {finding.check for finding in found} == set(CHECKS) - {'memory'}


def test_three_classes_are_let_pass(demo_config, tiles, tmp_path):
    (tmp_path / 'images').symlink_to(tiles / 'images')
    for split in ('train', 'val'):
        coco = json.loads((tiles / f'annotations/instances_{split}.json').read_text())
        coco['categories'] += [dict(id=2, name='stump'), dict(id=3, name='root_plate')]
        file = tmp_path / f'annotations/instances_{split}.json'
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(coco))
    demo_config.data_root = str(tmp_path)
    found = findings(demo_config)
    assert worst(found) == Verdict.OK
    assert next(finding for finding in found if finding.check == 'class-counts').figures == dict(classes=3)


@pytest.fixture
def save_backbone(tmp_path):
    """Save the weights of a config's own backbone, changed by `edit`, and start from them."""

    def save(cfg, edit=lambda tensors: tensors):
        torch.save(edit(MODELS.build(cfg.model.backbone).state_dict()), tmp_path / 'backbone.pth')
        cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'backbone.pth'))
        return cfg

    return save


def test_a_frozen_backbone_with_its_weights_is_let_pass(demo_config, save_backbone):
    cfg = with_options(save_backbone(demo_config), {'model.backbone.frozen_stages': 2})
    assert worst(findings(cfg)) == Verdict.OK
    cfg.model.backbone.frozen_stages = 4
    found = findings(cfg)
    assert worst(found) == Verdict.OK
    assert next(finding for finding in found if finding.check == 'trainable-share').figures['share'] < 0.7


def test_mask_rcnn_by_epochs_is_let_pass(demo_config, save_backbone):
    """Another model, another loop, another optimiser: MMDetection's Mask R-CNN and its 1x schedule."""
    bases = Path(mmdet.__file__).parent / '.mim/configs/_base_'
    cfg = demo_config
    cfg.model = Config.fromfile(bases / 'models/mask-rcnn_r50_fpn.py').model
    cfg.model.backbone.update(depth=18)
    cfg.model.neck.in_channels = [64, 128, 256, 512]
    cfg.model.roi_head.bbox_head.num_classes = cfg.model.roi_head.mask_head.num_classes = 1
    cfg = save_backbone(cfg)
    schedule = Config.fromfile(bases / 'schedules/schedule_1x.py')
    for key in ('train_cfg', 'param_scheduler', 'optim_wrapper', 'auto_scale_lr'):
        cfg[key] = schedule[key]
    cfg.param_scheduler[0].end = 4  # of far fewer iterations in an epoch than COCO's
    cfg.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    cfg.train_dataloader.batch_sampler = dict(type='AspectRatioBatchSampler')
    cfg.default_hooks.checkpoint.update(by_epoch=True, interval=1)
    assert [(f.check, f.message) for f in findings(cfg) if f.verdict] == []


WRONG_FILES = {
    'another backbone': (lambda tensors: {f'stem.{name}': item for name, item in tensors.items()}, Verdict.ERROR),
    'three stages of four': (
        lambda tensors: {k: v for k, v in tensors.items() if 'layer4.1' not in k and 'layer4.0.conv2' not in k},
        Verdict.ERROR,
    ),
    'a little short': (
        lambda tensors: {k: v for k, v in tensors.items() if 'layer4.1.conv2' not in k},
        Verdict.WARNING,
    ),
    'damaged': (lambda tensors: tensors | {'conv1.weight': tensors['conv1.weight'] * float('nan')}, Verdict.ERROR),
    'with a classifier': (lambda tensors: tensors | {'fc.weight': torch.zeros(10, 256)}, Verdict.OK),
    'saved distributed': (lambda tensors: {f'module.{name}': item for name, item in tensors.items()}, Verdict.OK),
    'in MMEngine form': (lambda tensors: dict(state_dict=tensors, meta={}), Verdict.OK),
}


@pytest.mark.parametrize('case', WRONG_FILES)
def test_backbone_weights_are_held_against_the_backbone(demo_config, save_backbone, case):
    edit, verdict = WRONG_FILES[case]
    found = findings(save_backbone(demo_config, edit), [start_weights])
    assert worst(found) == verdict, found[0].message


@pytest.mark.parametrize(
    ('queries', 'classes', 'verdict'), [(25, 1, Verdict.OK), (25, 80, Verdict.OK), (30, 1, Verdict.OK)]
)
def test_checkpoints_are_held_against_the_model(demo_config, tmp_path, queries, classes, verdict):
    other = with_options(copy.deepcopy(demo_config), {'model.panoptic_head.num_queries': queries})
    derive(other, ('train',))
    other.model.panoptic_head.num_things_classes = classes
    other.model.panoptic_head.loss_cls.class_weight = [1.0] * classes + [0.1]
    torch.save(dict(state_dict=build_model(other).state_dict(), meta={}), tmp_path / 'x.pth')
    demo_config.load_from = str(tmp_path / 'x.pth')
    found = findings(demo_config, [start_weights])
    assert worst(found) == verdict, found[0].message


def test_an_address_out_of_reach_is_said_and_no_fault(demo_config, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    demo_config.load_from = 'http://127.0.0.1:9/m2f-0123abcd.pth'
    (found,) = findings(demo_config, [start_weights])
    assert found.verdict == Verdict.OK and 'not looked at' in found.message
    assert demo_config.load_from.startswith('http')


def test_the_ranges_widen_with_the_batch():
    assert healthy_range('AdamW', 64, 12_000).high == pytest.approx(2e-3)
    assert healthy_range('SGD', 64, 12_000).high == pytest.approx(0.4)
    assert healthy_range('AdamW', 1, 12_000).low == pytest.approx(2.5e-6)
    assert healthy_range('Lion', 16, 12_000) is None


def test_a_short_run_may_learn_faster():
    assert healthy_range('AdamW', 4, 800).high == pytest.approx(1.5e-3)
    assert healthy_range('AdamW', 4, 4000).high == pytest.approx(1e-3)


def test_the_curve_is_the_runs_own(demo_config):
    derive(demo_config, ('train',))
    curve = lr_curve(demo_config, run_length(Subject(demo_config)))
    assert len(curve) == 2300
    assert curve[0] == pytest.approx(8e-7) and curve[40] == pytest.approx(8e-4)
    assert (
        curve[1609] == pytest.approx(8e-4) and curve[1610] == pytest.approx(8e-5) and curve[-1] == pytest.approx(8e-6)
    )


def test_bytes_are_counted_from_birth_to_end():
    weight = torch.ones(100, 100, requires_grad=True)
    with LiveBytes([weight]) as counter:
        kept = (weight * 2).relu()  # the product ends here, its relu is kept for the backward pass
        assert (counter.live, counter.mark()) == (80000, 120000)
        view = kept.view(-1)
        assert counter.live == 80000
        loss = kept.sum()
        del kept, view
        assert counter.live == 80004
        loss.backward()
        del loss
        assert counter.live == 80000  # weight and gradient
    assert counter.peak >= 80004


def test_a_steps_memory_lies_on_a_line(demo_config):
    derive(demo_config, ('train',))
    stepper = Stepper(demo_config, Batch(tiles=2, objects=3, classes=1), fused_attention=False)
    predicted, fixed = predict_peak(stepper, (192, 160))
    counted = max(vars(stepper.peaks((192, 160))).values())
    assert predicted == pytest.approx(counted, rel=0.05)
    weights = sum(weight.numel() * 4 for weight in build_model(demo_config).parameters())
    assert fixed == pytest.approx(3 * weights, rel=0.01)  # and AdamW's two states, without gradients
    assert predicted > 1.5 * fixed


def test_gradients_that_are_accumulated_stay(demo_config):
    demo_config.optim_wrapper.accumulative_counts = 4
    derive(demo_config, ('train',))
    fixed = Stepper(demo_config, Batch(2, 1, 1), fused_attention=False).fixed
    assert fixed == pytest.approx(4 * sum(w.numel() * 4 for w in build_model(demo_config).parameters()), rel=0.01)


def test_the_cuda_operators_form_holds_less(demo_config):
    demo_config.model.panoptic_head.pixel_decoder.type = 'MSDeformAttnPixelDecoder'  # ours has that form on the CPU
    derive(demo_config, ('train',))
    plain, fused = (Stepper(demo_config, Batch(2, 1, 1), form).peaks((96, 96)).forward for form in (False, True))
    assert fused < plain


def test_a_step_too_large_for_the_machine_is_warned_of(demo_config, monkeypatch):
    derive(demo_config, ('train',))
    subject = Subject(demo_config, num_samples=4)
    state = torch.get_rng_state()
    (found,) = memory(subject)
    assert found.verdict == Verdict.OK and 0.01 < found.figures['peak_gib'] < 1
    assert torch.equal(state, torch.get_rng_state())
    monkeypatch.setattr('os.sysconf', lambda name: {'SC_PAGE_SIZE': 4096, 'SC_PHYS_PAGES': 10_000}[name])
    (found,) = memory(subject)
    assert found.verdict == Verdict.WARNING and 'batch_size' in found.message


def test_an_update_counts_accumulation_and_processes(demo_config, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    demo_config.optim_wrapper.accumulative_counts = 4
    derive(demo_config, ('train',))
    length = run_length(Subject(demo_config))
    assert (length.batch, length.updates) == (8 * 4 * 2, 2300 // 4)
    assert length.turns == pytest.approx(575 * 64 / length.tiles)


def test_a_scheduler_without_an_end_lasts_as_long_as_the_run(demo_config):
    demo_config.param_scheduler = [dict(type='LinearLR', start_factor=1.0, end_factor=0.1, by_epoch=False)]
    derive(demo_config, ('train',))
    curve = lr_curve(demo_config, run_length(Subject(demo_config)))
    assert curve[1150] == pytest.approx(8e-4 * 0.55, rel=0.01) and curve[-1] == pytest.approx(8e-5, rel=0.01)

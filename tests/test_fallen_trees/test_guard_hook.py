"""The guard on real runs of seconds: healthy ones are left alone, dead ones are ended with the reason."""

import json
import math
from dataclasses import replace
from pathlib import Path

import mmdet
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from fallen_trees.checks.guard.look import Look, WeightSample, matched_queries, query_figures
from fallen_trees.checks.guard.rules import Patience, Validation, remarks, validation_remarks
from fallen_trees.checks.guard.validation_loss import ValidationLoss, with_truth_first
from fallen_trees.derive.config import REPOSITORY, derive
from fallen_trees.errors import DeadRun

SGD = dict(type='SGD', lr=1e-4, momentum=0.9, weight_decay=0.05)
IMPATIENT = dict(looks=3, updates=6, samples=8)


class Do(Hook):
    """Do something to the runner at the start of an iteration."""

    def __init__(self, iteration, act):
        self.iteration, self.act = iteration, act

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.iteration:
            self.act(runner)


def tiny(tiles, work_dir, max_iters=10, hooks=(), validate=False, **guard):
    """The demo's config at 64 px, watched every second iteration."""
    init_default_scope('mmdet')
    cfg = Config.fromfile(REPOSITORY / 'configs/m2f_trees_demo.py')
    cfg.update(data_root=str(tiles), image_size=(64, 64), work_dir=str(work_dir), log_level='WARNING')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.indices = 4
    cfg.train_dataloader.batch_size = 2
    cfg.param_scheduler = None
    cfg.vis_backends = [dict(type='LocalVisBackend')]
    cfg.visualizer.vis_backends = cfg.vis_backends
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters // 2)
    if not validate:
        cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    cfg.update(test_cfg=None, test_dataloader=None, test_evaluator=None)
    guard = dict(type='GuardHook', interval=2, patience=IMPATIENT, val_batches=2) | guard
    cfg.custom_hooks = [guard, *hooks]
    cfg.default_hooks.checkpoint.interval = max_iters
    cfg.visualizer.name = cfg.experiment_name = f'{work_dir.parent.name}_{work_dir.name}'
    derive(cfg, ('train', 'val') if validate else ('train',))
    return cfg


def guard_of(runner):
    return next(hook for hook in runner.hooks if type(hook).__name__ == 'GuardHook')


def warnings_of(work_dir):
    return [line for log in work_dir.glob('*/*.log') for line in log.read_text().splitlines() if 'guard:' in line]


@pytest.fixture(scope='module')
def healthy(tiles, tmp_path_factory):
    """A run of ten iterations with two validations, watched; and the same without a guard."""
    folder = tmp_path_factory.mktemp('healthy')
    runners = {}
    for name in ('watched', 'alone'):
        cfg = tiny(tiles, folder / name, validate=True)
        if name == 'alone':
            cfg.custom_hooks = []
        runners[name] = Runner.from_cfg(cfg)
        runners[name].train()
    return runners


def test_a_healthy_run_is_looked_at_and_left_alone(healthy):
    runner = healthy['watched']
    guard = guard_of(runner)
    assert [look.iteration for look in guard.looks] == [1, 2, 4, 6, 8, 10]
    assert [look.samples for look in guard.looks] == [2, 2, 4, 4, 4, 4]
    assert sum(look.objects for look in guard.looks) > 0
    last = guard.looks[-2].figures
    assert last['num_queries'] == 25
    assert 0 < last['best_score'] < 1
    assert 1 <= last['matched_queries'] <= 25
    assert last['replaced_costs'] == 0
    assert last['grad_norm'] > 0
    assert max(look.moved or 0 for look in guard.looks) > 1e-3
    said = [line for line in warnings_of(folder(runner)) if 'WARNING' in line]
    assert [line for line in said if 'no-detections' not in line] == []  # true of a run of ten iterations


def test_the_guard_changes_nothing_in_a_run(healthy):
    watched, alone = (healthy[name].model.state_dict() for name in ('watched', 'alone'))
    assert all(torch.equal(watched[name], alone[name]) for name in alone)


def test_what_is_seen_goes_to_the_back_ends(healthy):
    lines = [json.loads(line) for line in next(folder(healthy['watched']).glob('*/vis_data/scalars.json')).open()]
    steps = [line['step'] for line in lines if 'guard/best_score' in line]
    assert steps == [1, 2, 4, 6, 8, 10]
    losses = {line['step']: line['val/loss'] for line in lines if 'val/loss' in line}
    assert list(losses) == [5, 10]
    training = [line['loss'] for line in lines if 'loss' in line]
    assert all(0.3 * min(training) < loss < 3 * max(training) for loss in losses.values())


def test_the_validation_loss_is_that_of_the_resized_truth(healthy, tiles, tmp_path):
    """Truth at its own size beside images at half of it would cost more than truth that fits."""
    cfg = tiny(tiles, tmp_path, validate=True)
    model = healthy['watched'].model
    state = torch.get_rng_state()
    measured = ValidationLoss(cfg.val_dataloader, 2)
    first = measured.measure(model)
    assert measured.measure(model) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert [step['type'] for step in with_truth_first(cfg.val_dataloader.dataset.pipeline)] == [
        'LoadImageFromFile', 'LoadOutlineAnnotations', 'Resize', 'ContiguousPackDetInputs'
    ]  # fmt: skip
    sample = measured._dataset[0]
    assert sample['data_samples'].gt_instances.masks.masks.shape[1:] == sample['inputs'].shape[1:] == (64, 64)


def folder(runner):
    return Path(runner.work_dir)


@pytest.mark.parametrize(
    ('optimizer', 'words'),
    [(SGD, 'clip_grad'), (dict(type='AdamW', lr=0.0, weight_decay=0.05), 'learning rate')],
    ids=['SGD 1e-4 under clip 0.01', 'learning rate 0'],
)
def test_a_run_that_does_not_move_is_ended(tiles, tmp_path, optimizer, words):
    cfg = tiny(tiles, tmp_path / 'run', max_iters=40)
    cfg.optim_wrapper.optimizer = optimizer
    cfg.train_dataloader.update(batch_size=4)  # all tiles of this set: the loss has no noise to hide in
    runner = Runner.from_cfg(cfg)
    with pytest.raises(DeadRun, match='guard: nothing-moves.*' + words):
        runner.train()
    assert 6 < runner.iter < 20
    assert any('nothing-moves' in line for line in warnings_of(tmp_path / 'run'))


def test_frozen_layers_end_a_run_before_its_first_step(tiles, tmp_path):
    cfg = tiny(tiles, tmp_path / 'run')
    cfg.optim_wrapper.pop('paramwise_cfg')  # with it MMEngine leaves frozen layers out and torch refuses the rest
    runner = Runner.from_cfg(cfg)
    runner.model.requires_grad_(False)
    with pytest.raises(DeadRun, match='frozen'):
        runner.train()
    assert runner.iter == 0


def test_weights_that_are_no_numbers_end_a_run_before_they_are_saved(tiles, tmp_path):
    cfg = tiny(tiles, tmp_path / 'run', finite_interval=2, max_iters=8)
    cfg.default_hooks.checkpoint.interval = 2
    runner = Runner.from_cfg(cfg)

    def spoil(runner):
        with torch.no_grad():
            runner.model.panoptic_head.cls_embed.weight[0, 0] = math.nan

    runner.register_hook(Do(3, spoil))
    with pytest.raises(DeadRun, match='weights-not-finite'):
        runner.train()
    assert runner.iter + 1 == 4
    assert (tmp_path / 'run/iter_2.pth').is_file()
    assert not (tmp_path / 'run/iter_4.pth').exists()


def test_data_without_objects_end_a_run(tiles, tmp_path):
    cfg = tiny(tiles, tmp_path / 'run', max_iters=20)
    next(step for step in cfg.train_pipeline if step.type == 'FilterAnnotations').min_gt_mask_area = 10**6
    cfg.train_dataloader.dataset.pipeline = cfg.train_pipeline
    for step in cfg.train_pipeline:
        step.update({key: (64, 64) for key in ('scale', 'crop_size') if key in step})
    with pytest.raises(DeadRun, match='no-objects: 8 tiles'):
        Runner.from_cfg(cfg).train()


def test_a_detector_without_queries_is_guarded_too(tiles, tmp_path):
    cfg = tiny(tiles, tmp_path / 'run', max_iters=4, validate=True)
    cfg.model = mask_rcnn()
    cfg.optim_wrapper.pop('clip_grad')
    runner = Runner.from_cfg(cfg)
    runner.train()
    guard = guard_of(runner)
    assert set(guard.looks[-1].figures) == {'grad_norm'}
    assert guard.looks[-1].figures['grad_norm'] > 0
    assert [validation.iteration for validation in guard.validations] == [2, 4]
    assert all(math.isfinite(validation.val_loss) for validation in guard.validations)


def mask_rcnn():
    model = Config.fromfile(Path(mmdet.__file__).parent / '.mim/configs/_base_/models/mask-rcnn_r50_fpn.py').model
    model.backbone.update(depth=18, base_channels=8, init_cfg=None)
    model.neck.update(in_channels=[8, 16, 32, 64], out_channels=16)
    model.rpn_head.update(in_channels=16, feat_channels=16)
    for extractor in (model.roi_head.bbox_roi_extractor, model.roi_head.mask_roi_extractor):
        extractor.out_channels = 16
    model.roi_head.bbox_head.update(in_channels=16, fc_out_channels=32, num_classes=1)
    model.roi_head.mask_head.update(in_channels=16, conv_out_channels=16, num_classes=1)
    return model


# Rules alone, on looks made by hand: what a run of hours would show.
def series(losses, moved=0.01, every=100, **changes):
    figures = dict(num_queries=100.0, best_score=0.6, empty_mask_share=0.1, full_mask_share=0.0, grad_norm=1.0)
    figures |= changes.pop('figures', {})
    look = Look(0, 0, 0.0, samples=800, objects=900, most_objects=7, warm=True, moved=moved, figures=figures)
    return [replace(look, iteration=i * every, updates=i * every, loss=x, **changes) for i, x in enumerate(losses, 1)]


FALLING = [60 * 0.95**i + 5 for i in range(40)]
HEALTHY = {
    'falling': series(FALLING),
    'slow, moving': series([50 - 0.2 * i for i in range(12)], moved=2e-3),
    'in its warm-up': series([88.0] * 40, moved=None, warm=False),
    'young, without a score': series(FALLING[:4], figures=dict(best_score=0.01)),
    'diluted': series(FALLING, figures=dict(best_score=0.34)),
    'settled on a small loss': series(FALLING + [5.0] * 200),
    'moved once, decayed since': series(FALLING) + series([5.0] * 40, moved=0.2),
    'without queries': [replace(look, figures={}) for look in series(FALLING)],
    'empty tiles for a while': series(FALLING[:1], objects=0, samples=900),
}


@pytest.mark.parametrize('looks', HEALTHY.values(), ids=HEALTHY)
def test_rules_are_silent_on_healthy_runs(looks):
    for end in range(1, len(looks) + 1):
        assert list(remarks(looks[:end], Patience())) == []


ILL = {
    'nothing-moves': series([38.1, 38.1, 38.0, 38.1, 38.0, 38.04], moved=1e-5),
    'no-objects': series([30.0], objects=0, samples=1000),
    'loss-is-flat': series([88.0] * 12, moved=0.3),
    'no-gradient': series(FALLING, figures=dict(grad_norm=0.0)),
    'all-no-object': series(FALLING, figures=dict(best_score=0.04)),
    'masks-collapsed': series(FALLING, figures=dict(empty_mask_share=1.0)),
    'too-few-queries': series(FALLING, most_objects=140),
}


@pytest.mark.parametrize('rule', ILL)
def test_each_rule_names_its_ill_run(rule):
    found = {remark.rule: remark for remark in remarks(ILL[rule], Patience())}
    assert set(found) == {rule}
    assert found[rule].stop == (rule in ('nothing-moves', 'no-objects'))


def validations(train, val, ap50, detections=40):
    rows = zip(train, val, ap50, strict=True)
    return [Validation(500 * i, t, v, a, detections, 0.9) for i, (t, v, a) in enumerate(rows, 1)]


@pytest.mark.parametrize(
    ('history', 'rules'),
    [
        (validations([30, 20, 15], [25, 20, 19], [0.1, 0.3, 0.4]), set()),
        (validations([30, 20, 15], [25, 20, 21], [0.1, 0.3, 0.4]), set()),
        (validations([30, 20, 15, 9], [25, 20, 24, 27], [0.1, 0.3, 0.3, 0.3]), {'train-and-validation-part'}),
        (validations([30, 20, 15], [25, 20, 19], [0, 0, 0]), {'ap-zero'}),
        (validations([30, 29, 28], [25, 25, 25], [0, 0, 0]), set()),
        (validations([30], [25], [0.0], detections=0), set()),
        (validations([30, 29], [25, 24], [0.0, 0.0], detections=0), {'no-detections'}),
        (validations([30, 20, 15, 9], [None] * 4, [None] * 4), set()),
    ],
)
def test_rules_on_validations(history, rules):
    assert {remark.rule for remark in validation_remarks(history)} == rules
    assert not any(remark.stop for remark in validation_remarks(history))


def test_figures_of_queries():
    cls_logits = torch.tensor([[[5.0, 0.0], [0.0, 5.0], [0.0, 5.0], [0.0, 5.0]]])
    mask_logits = torch.full((1, 4, 8, 8), -1.0)
    mask_logits[0, 0, :2] = 1  # a quarter
    mask_logits[0, 1] = 1
    figures = query_figures(cls_logits, mask_logits)
    assert figures['num_queries'] == 4
    assert figures['best_score'] == pytest.approx(1 / (1 + math.exp(-5)))
    assert figures['no_object_share'] == 0.75
    assert figures['empty_mask_share'] == 0.5
    assert figures['full_mask_share'] == 0.25
    assert figures['mask_area_share'] == 0  # torch's median is the lower of two


def test_movement_is_measured_without_weight_decay():
    model = torch.nn.Linear(64, 64)
    sample = WeightSample(model)
    assert sample.moved() is None
    sample.drop_anchor()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.9)
    assert sample.moved() < 1e-6
    with torch.no_grad():
        model.weight += 0.1 * model.weight.norm() / 64 * torch.randn(64, 64, generator=torch.manual_seed(0))
    assert 0.05 < sample.moved() < 0.15


def test_matched_queries_counts_those_that_share_the_work():
    assert matched_queries(torch.tensor([4, 4, 4, 4, 0])) == pytest.approx(4)
    assert matched_queries(torch.tensor([9, 0, 0])) == pytest.approx(1)
    assert matched_queries(torch.zeros(3)) == 0
    assert matched_queries(torch.zeros(0)) == 0

"""Our head against MMDetection's: the same in float32, right in half precision where the other one is not."""

import copy
import math
import warnings
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData

from fallen_trees.derive.config import REPOSITORY, derive

STOCK = dict(type='Mask2FormerHead')
OURS = dict(type='Float32Mask2FormerHead')


def build(head, assigner='HungarianAssigner', **train_cfg):
    """The tiny model with 2 classes, always the same weights."""
    init_default_scope('mmdet')
    cfg = Config.fromfile(Path(REPOSITORY, 'configs/_base_/models/mask2former_r18_tiny.py'))
    cfg.train_dataloader = cfg.val_dataloader = None
    derive(cfg, (), classes=('one', 'other'))
    cfg.model.panoptic_head.update(head)
    cfg.model.panoptic_fusion_head.type = 'MaskFormerFusionHead'
    cfg.model.train_cfg.update(train_cfg, assigner=dict(cfg.model.train_cfg.assigner, type=assigner))
    torch.manual_seed(0)
    return MODELS.build(cfg.model)


@pytest.fixture(scope='module')
def stock():
    return build(STOCK)


@pytest.fixture(scope='module')
def ours():
    return build(OURS, 'GuardedHungarianAssigner')


def inputs(model, num_items=(5, 3), training=True):
    """Two images of different size, padded, with that many objects."""
    data = demo_mm_inputs(2, [[3, 96, 96], [3, 64, 96]], num_items=list(num_items), num_classes=2, with_mask=True)
    data = model.data_preprocessor(data, training)
    return data['inputs'], data['data_samples']


def losses_and_gradients(model, num_items=(5, 3), dtype=None):
    model.train()
    model.zero_grad()
    images, samples = inputs(model, num_items)
    torch.manual_seed(1)
    with torch.autocast('cpu', dtype or torch.bfloat16, enabled=dtype is not None):
        losses = model.loss(images, samples)
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_weights_have_mmdetections_names(stock, ours):
    assert list(stock.state_dict()) == list(ours.state_dict())
    copy.deepcopy(ours).load_state_dict(copy.deepcopy(stock).state_dict(), strict=True)


@pytest.mark.parametrize('num_items', [(5, 3), (4, 0), (0, 0)])
def test_losses_and_gradients_in_float32_are_mmdetections_bit_for_bit(stock, ours, num_items):
    (losses, gradients), (our_losses, our_gradients) = (losses_and_gradients(m, num_items) for m in (stock, ours))
    assert losses.keys() == our_losses.keys() and gradients.keys() == our_gradients.keys()
    assert all(torch.equal(losses[key], our_losses[key]) for key in losses)
    assert all(torch.equal(gradients[key], our_gradients[key]) for key in gradients)
    assert sum(num_items) == 0 or any(gradient.abs().sum() > 0 for gradient in gradients.values())


def test_a_copy_as_ema_makes_it_computes_the_same(ours):
    (losses, _), (of_copy, _) = losses_and_gradients(ours), losses_and_gradients(copy.deepcopy(ours))
    assert all(torch.equal(losses[key], of_copy[key]) for key in losses)


def test_a_pixel_decoder_that_does_not_exist_is_named():
    with pytest.raises(KeyError, match='MSDeformPixelDecoder is not in the .*registry'):
        build(OURS | dict(pixel_decoder=dict(type='MSDeformPixelDecoder', encoder=dict())))


# --- half precision: the losses of given logits ---

POINTS = 12544  # of the published recipe: the more points, the sooner their sum overflows


@pytest.fixture(scope='module')
def heads():
    return {
        'stock': build(STOCK, num_points=POINTS).panoptic_head,
        'ours': build(OURS, num_points=POINTS).panoptic_head,
        'ours, guarded': build(OURS, 'GuardedHungarianAssigner', num_points=POINTS).panoptic_head,
        'stock, guarded': build(STOCK, 'GuardedHungarianAssigner', num_points=POINTS).panoptic_head,
    }


def total_loss(head, dtype, size, seed=0):
    """Loss of two decoder layers in `dtype` under its autocast.

    Their masks see objects everywhere, with logits about `size` large; objects cover 5 %.
    """
    draw = torch.Generator().manual_seed(seed)
    cls_scores = torch.randn(2, 1, head.num_queries, 3, generator=draw)
    logits = size * (0.9 + 0.2 * torch.rand(2, 1, head.num_queries, 24, 24, generator=draw))
    masks = torch.rand(4, 96, 96, generator=draw) < 0.05
    gt = [InstanceData(labels=torch.tensor([0, 1, 1, 0]), masks=masks)]
    torch.manual_seed(seed)
    with torch.autocast('cpu', dtype, enabled=dtype != torch.float32):
        losses = head.loss_by_feat(cls_scores.to(dtype), logits.to(dtype), gt, [{}])
    return float(sum(losses.values()))


@pytest.mark.parametrize('size', [6, 8, 12])
def test_mmdetections_matching_overflows_float16_and_ours_does_not(heads, size):
    with pytest.raises(ValueError, match='infeasible|invalid numeric'):
        total_loss(heads['stock'], torch.float16, size)
    reference = total_loss(heads['stock'], torch.float32, size)
    for name in ('ours', 'ours, guarded'):
        assert total_loss(heads[name], torch.float16, size) == pytest.approx(reference, rel=1e-3), name
    assert heads['ours, guarded'].assigner.non_finite == 0


def test_with_our_assigner_alone_the_losses_still_overflow(heads):
    assert math.isinf(total_loss(heads['stock, guarded'], torch.float16, 8))
    assert heads['stock, guarded'].assigner.non_finite == 0


def test_ours_is_closer_to_float32_under_bfloat16(heads):
    def errors(name):
        references = [total_loss(heads['stock'], torch.float32, 8, seed) for seed in range(4)]
        values = [total_loss(heads[name], torch.bfloat16, 8, seed) for seed in range(4)]
        return [abs(value / reference - 1) for value, reference in zip(values, references, strict=True)]

    assert max(errors('ours')) < 1e-3
    assert sum(errors('stock')) > 2 * sum(errors('ours'))


def test_matching_and_losses_see_no_autocast(heads):
    head, seen = heads['ours'], []
    hooks = [
        loss.register_forward_pre_hook(lambda *call: seen.append(torch.is_autocast_enabled('cpu')))
        for loss in (head.loss_cls, head.loss_mask, head.loss_dice)
    ]
    total_loss(head, torch.bfloat16, 1)
    for hook in hooks:
        hook.remove()
    assert seen == [False] * 6  # three losses of two layers


def test_matching_records_no_gradient(heads, monkeypatch):
    assigner, seen = heads['ours'].assigner, []
    assign = assigner.assign
    monkeypatch.setattr(assigner, 'assign', lambda **kw: seen.append(torch.is_grad_enabled()) or assign(**kw))
    total_loss(heads['ours'], torch.float32, 1)
    assert seen == [False] * 2


def test_matching_on_its_own_sees_no_autocast_either(heads):
    gt = [InstanceData(labels=torch.tensor([0, 1]), masks=torch.rand(2, 96, 96) < 0.05)]
    queries = heads['ours'].num_queries
    logits = torch.zeros(queries, 3).half(), 8 * torch.ones(queries, 24, 24).half()
    with torch.autocast('cpu', torch.float16):
        *_, avg_factor = heads['ours'].get_targets([logits[0]], [logits[1]], gt, [{}])
    assert avg_factor == 2


# --- half precision: the whole model ---


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_losses_are_float32_and_near_under_autocast(ours, dtype):
    reference, _ = losses_and_gradients(ours)
    losses, gradients = losses_and_gradients(ours, dtype=dtype)
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert float(sum(losses.values())) == pytest.approx(float(sum(reference.values())), rel=0.02)
    assert all(gradient.isfinite().all() for gradient in gradients.values())


def test_the_pixel_decoder_sees_no_autocast(stock, ours):
    images, _ = inputs(ours)
    feats = ours.extract_feat(images)

    def decode(model, enabled):
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            return model.panoptic_head.pixel_decoder([feat.bfloat16().to(feat.dtype) for feat in feats])[0]

    assert torch.equal(decode(ours, True), decode(ours, False))
    assert not torch.equal(decode(stock, True).float(), decode(stock, False))
    with torch.autocast('cpu', torch.bfloat16):
        assert ours.panoptic_head.pixel_decoder([feat.bfloat16() for feat in feats])[0].dtype == torch.float32


def test_true_masks_stay_one_byte_a_pixel(stock, ours):
    _, samples = inputs(ours)
    instances = [sample.gt_instances for sample in samples]
    for one, other in zip(
        *(m.panoptic_head.preprocess_gt(instances, [None, None]) for m in (ours, stock)), strict=True
    ):
        assert one.masks.element_size() == 1 and torch.equal(one.masks, other.masks.bool())
        assert torch.equal(one.labels, other.labels)


def test_stuff_becomes_masks_too():
    _, samples = inputs(build(OURS), (2, 1))
    stuff = [PixelData(sem_seg=torch.full((1, 96, 96), 2))] * 2  # the first class after the two of things
    instances = [sample.gt_instances for sample in samples]
    heads = [build(head | dict(num_stuff_classes=1)).panoptic_head for head in (OURS, STOCK)]
    for one, other in zip(*(head.preprocess_gt(instances, stuff) for head in heads), strict=True):
        assert torch.equal(one.masks, other.masks) and torch.equal(one.labels, other.labels)
        assert one.labels[-1] == 2 and one.masks[-1].all()


# --- prediction ---


def test_masks_stay_at_the_decoders_stride(stock, ours):
    images, samples = inputs(ours, training=False)
    head = ours.eval().panoptic_head
    with torch.no_grad():
        feats = ours.extract_feat(images)
        cls_scores, masks = head.predict(feats, samples)
        all_cls_scores, all_masks = head(feats, samples)
        with torch.autocast('cpu', torch.bfloat16):
            assert {result.dtype for result in head.predict(feats, samples)} == {torch.float32}
    assert images.shape[-2:] == (96, 96) and masks.shape[-2:] == (24, 24)
    assert torch.equal(masks, all_masks[-1]) and torch.equal(cls_scores, all_cls_scores[-1])


def test_mmdetections_fusion_head_works_with_upsampled_masks(stock):
    upsampling = build(OURS | dict(upsample_masks=True))
    upsampling.load_state_dict(stock.state_dict())
    images, samples = inputs(stock, training=False)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        results = [m.eval().predict(images, copy.deepcopy(samples), rescale=True) for m in (stock, upsampling)]
    for one, other in zip(*results, strict=True):
        assert len(one.pred_instances) > 0
        for key in ('scores', 'labels', 'masks', 'bboxes'):
            assert torch.equal(one.pred_instances[key], other.pred_instances[key])

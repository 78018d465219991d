"""The head that treats all layers at once against MMDetection's, fed the same points."""

import copy
from pathlib import Path

import pytest
import torch
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmdet.models.dense_heads import mask2former_head as stock_module
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.registry import init_default_scope

from fallen_trees.derive.config import REPOSITORY, derive
from fallen_trees.errors import ConfigError
from fallen_trees.heads import batched_head
from fallen_trees.heads.masked_attention import FusedMultiheadAttention


def build(head='BatchedMask2FormerHead', **changes):
    """The tiny model with 2 classes, always the same weights."""
    init_default_scope('mmdet')
    cfg = Config.fromfile(Path(REPOSITORY, 'configs/_base_/models/mask2former_r18_tiny.py'))
    cfg.train_dataloader = cfg.val_dataloader = None
    derive(cfg, (), classes=('one', 'other'))
    cfg.model.panoptic_head.type = head
    cfg.merge_from_dict({f'model.{key}': value for key, value in changes.items()})
    torch.manual_seed(0)
    return MODELS.build(cfg.model)


@pytest.fixture(scope='module')
def ours():
    return build()


@pytest.fixture(scope='module')
def stock():
    return build('Mask2FormerHead')


def features(model, num_items, training=True):
    """Feature maps of two images of different size, with that many objects."""
    data = demo_mm_inputs(2, [[3, 96, 96], [3, 64, 96]], num_items=list(num_items), num_classes=2, with_mask=True)
    data = model.data_preprocessor(data, training)
    model.train(training)
    return model.extract_feat(data['inputs']), data['data_samples']


def losses_and_gradients(model, num_items=(5, 3), dtype=None):
    model.zero_grad()
    torch.manual_seed(1)
    with torch.autocast('cpu', dtype or torch.bfloat16, enabled=dtype is not None):
        losses = model.panoptic_head.loss(*features(model, num_items))
    sum(losses.values()).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return {name: float(loss) for name, loss in losses.items()}, gradients


@pytest.fixture
def same_points(monkeypatch):
    """Let MMDetection's head sample where ours did: what ours draws is kept and handed out in its order."""
    matching, compared = [], []
    real_rand, real_choice = torch.rand, batched_head.uncertain_points

    def keep_rand(*size, **kwargs):
        drawn = real_rand(*size, **kwargs)
        if len(size) == 4:
            matching.append(drawn)
        return drawn

    def keep_choice(logits, *ratios):
        compared.append(real_choice(logits, *ratios))
        return compared[-1]

    monkeypatch.setattr(torch, 'rand', keep_rand)
    monkeypatch.setattr(batched_head, 'uncertain_points', keep_choice)

    def hand_out(layers):
        queue = list(matching[-1].flatten(0, 1)[:, None])
        groups = list(compared[-1].unflatten(0, (layers, -1))) if compared else []
        monkeypatch.setattr(torch, 'rand', lambda *size, **_: queue.pop(0) if size else None)
        monkeypatch.setattr(stock_module, 'get_uncertain_point_coords_with_randomness', lambda *_: groups.pop(0))
        return queue, groups

    return hand_out


# More objects than queries, one image without any, none at all.
@pytest.mark.parametrize('num_items', [(5, 3), (4, 0), (0, 0), (40, 2)])
def test_losses_and_gradients_are_mmdetections_on_the_same_points(ours, stock, same_points, num_items):
    our_losses, our_gradients = losses_and_gradients(ours, num_items)
    left = same_points(len(our_losses) // 3)
    losses, gradients = losses_and_gradients(stock, num_items)
    assert not any(left)  # all that ours sampled was used
    assert our_losses.keys() == losses.keys() and our_gradients.keys() == gradients.keys()
    for name, loss in losses.items():
        assert our_losses[name] == pytest.approx(loss, rel=1e-4, abs=1e-6), name
    for name, gradient in gradients.items():
        scale = float(gradient.abs().max())
        assert float((our_gradients[name] - gradient).abs().max()) <= 1e-3 * scale + 1e-6, name
    assert sum(num_items) == 0 or max(float(g.abs().max()) for g in our_gradients.values()) > 0


def test_given_logits_have_the_losses_of_their_factors(ours):
    """`loss_by_feat` takes logits that carry the gradient themselves."""
    head = ours.panoptic_head
    x, samples = features(ours, (5, 3))
    truths = head.preprocess_gt([sample.gt_instances for sample in samples], [None, None])
    cls_scores, masks = head(x, samples)
    given = [layer.clone().requires_grad_() for layer in masks]
    losses = []
    for layers in (masks, given):
        torch.manual_seed(1)
        losses.append(head.loss_by_feat(cls_scores, layers, truths, []))
    assert {k: float(v) for k, v in losses[0].items()} == pytest.approx({k: float(v) for k, v in losses[1].items()})
    losses[1]['d0.loss_dice'].backward()
    touched = given[0].grad.abs().flatten(2).sum(-1) > 0
    assert touched.sum(1).tolist() == [5, 3] and all(layer.grad.abs().sum() == 0 for layer in given[1:])


def test_predictions_are_those_of_the_layered_head(ours):
    layered = build('Float32Mask2FormerHead')
    x, samples = features(ours, (1, 1), training=False)
    layered.eval()
    with torch.no_grad():
        found, expected = (model.panoptic_head.predict(x, samples) for model in (ours, layered))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_weights_have_mmdetections_names_and_start_the_same():
    one, other = build().state_dict(), build('Mask2FormerHead').state_dict()
    assert list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_a_copy_as_ema_makes_it_computes_the_same(ours):
    assert losses_and_gradients(ours)[0] == losses_and_gradients(copy.deepcopy(ours))[0]


def test_points_follow_from_the_seed(ours):
    def loss(seed):
        x, samples = features(ours, (5, 3))
        torch.manual_seed(seed)
        return float(ours.panoptic_head.loss(x, samples)['loss_mask'])

    assert loss(0) == loss(0) != loss(1)


@pytest.mark.parametrize('half', [False, True])
def test_mixed_precision_stays_close(half):
    model = build(**{'panoptic_head.half_pixel_decoder': half})
    losses, gradients = losses_and_gradients(model, dtype=torch.bfloat16)
    reference, _ = losses_and_gradients(model)
    assert sum(losses.values()) == pytest.approx(sum(reference.values()), rel=0.02)
    assert all(gradient.isfinite().all() and gradient.dtype == torch.float32 for gradient in gradients.values())


def test_matches_are_counted_for_the_guard(ours):
    head = ours.panoptic_head
    head.assigner.reset()
    losses_and_gradients(ours, (5, 3))
    layers = head.num_transformer_decoder_layers + 1
    assert int(head.assigner.matched.sum()) == 8 * layers and len(head.assigner.matched) == head.num_queries


def test_logits_that_are_not_finite_are_counted_and_do_not_end_the_run(ours):
    head = ours.panoptic_head
    x, samples = features(ours, (5, 3))
    truths = head.preprocess_gt([sample.gt_instances for sample in samples], [None, None])
    cls_scores, masks = head(x, samples)
    cls_scores[0][1, 2] = float('nan')
    before = head.assigner.non_finite
    losses = head.loss_by_feat(cls_scores, masks, truths, [])
    assert head.assigner.non_finite == before + 3  # one query against three objects
    assert not losses['d0.loss_cls'].isfinite() and losses['loss_cls'].isfinite()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'train_cfg.assigner.type': 'HungarianAssigner'}, 'must be GuardedHungarianAssigner.*not HungarianAssigner'),
        ({'train_cfg.assigner.match_costs.0': dict(type='FocalLossCost', weight=2.0)}, 'not FocalLossCost'),
        ({'train_cfg.assigner.match_costs.2.naive_dice': False}, 'not DiceCost'),
    ],
)
def test_costs_it_cannot_sum_are_refused_at_building(changes, message):
    with pytest.raises(ConfigError, match=message):
        build(**changes)


# --- attention ---


@pytest.fixture(scope='module')
def attentions():
    torch.manual_seed(0)
    stock = MultiheadAttention(32, 4, batch_first=True)
    fused = FusedMultiheadAttention(32, 4, batch_first=True)
    fused.load_state_dict(stock.state_dict())
    return stock, fused


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('keys', [None, 1, 21])
def test_attention_is_mmcvs_forward_and_backward(attentions, masked, keys):
    draw = torch.Generator().manual_seed(1)
    query, query_pos = torch.randn(2, 2, 6, 32, generator=draw)
    key, key_pos = (None, None) if keys is None else torch.randn(2, 2, keys, 32, generator=draw)
    blocked = torch.rand(2, 1, 6, keys or 6, generator=draw) < 0.5
    blocked[..., 0] = False
    results = []
    for attention in attentions:
        inputs = [x.clone().requires_grad_() for x in (query, query_pos, key, key_pos) if x is not None]
        kwargs = dict(zip(('query', 'query_pos', 'key', 'key_pos'), inputs, strict=False))
        if masked:
            heads = blocked if attention is attentions[1] else blocked.expand(-1, 4, -1, -1).flatten(0, 1)
            kwargs['attn_mask'] = heads
        attention.zero_grad()
        output = attention(**kwargs)
        (output * torch.arange(32.0)).sum().backward()
        results.append([output, *(x.grad for x in inputs), *(p.grad for p in attention.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-4)


def test_attention_refuses_what_it_would_ignore(attentions):
    with pytest.raises(NotImplementedError, match='key_padding_mask must be None'):
        attentions[1](torch.rand(1, 2, 32), key_padding_mask=torch.zeros(1, 2, dtype=torch.bool))

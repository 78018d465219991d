"""The attention module and the pixel decoder against those of mmcv and MMDetection, and a model that trains on them."""

import copy

import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.registry import init_default_scope

from fallen_trees.derive.config import REPOSITORY, derive
from fallen_trees.ops.attention import FusedMultiScaleDeformableAttention

TOLERANCE = 2e-6  # of losses, relative, and of gradients, relative to the largest; measured 2e-7


def build(pixel_decoder, start=True):
    """The tiny model with 2 classes."""
    init_default_scope('mmdet')
    cfg = Config.fromfile(REPOSITORY / 'configs/_base_/models/mask2former_r18_tiny.py')
    cfg.train_dataloader = cfg.val_dataloader = None
    derive(cfg, (), classes=('one', 'other'))
    if pixel_decoder:
        cfg.model.panoptic_head.pixel_decoder.type = pixel_decoder
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    if start:
        model.init_weights()
    return model


@pytest.fixture
def stock():
    return build('MSDeformAttnPixelDecoder')


@pytest.fixture
def ours():
    return build(None)


def losses_and_gradients(model):
    model.train().zero_grad()
    data = demo_mm_inputs(2, [[3, 96, 96], [3, 64, 96]], num_items=[5, 3], num_classes=2, with_mask=True)
    data = model.data_preprocessor(data, True)
    torch.manual_seed(1)
    losses = model.loss(data['inputs'], data['data_samples'])
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def error(one, other):
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-6))


def test_the_config_switches_it_on(ours):
    layers = ours.panoptic_head.pixel_decoder.encoder.layers
    assert {type(layer.self_attn) for layer in layers} == {FusedMultiScaleDeformableAttention}


@pytest.mark.parametrize('start', [False, True])
def test_the_same_seed_gives_the_same_weights_under_the_same_names(start):
    theirs, weights = (build(name, start).state_dict() for name in ('MSDeformAttnPixelDecoder', None))
    assert list(theirs) == list(weights)
    assert all(torch.equal(theirs[name], weights[name]) for name in theirs)


def test_losses_and_gradients_are_those_of_the_stock_path(stock, ours):
    for model in (stock, ours):
        torch.manual_seed(2)
        for layer in model.panoptic_head.pixel_decoder.encoder.layers:
            torch.nn.init.normal_(layer.self_attn.sampling_offsets.weight, std=0.1)
    worst = differences(losses_and_gradients(ours), losses_and_gradients(stock))
    assert max(worst.values()) < TOLERANCE, worst


def test_with_fresh_weights_only_the_gradient_of_the_offsets_differs(stock, ours):
    """Fresh offsets are whole pixels: each point lies where the gradient jumps, and rounding chooses the side."""
    worst = differences(losses_and_gradients(ours), losses_and_gradients(stock))
    assert max(error for name, error in worst.items() if 'sampling_offsets' not in name) < TOLERANCE, worst


def differences(one, other):
    """Of each loss, relative; of each weight's gradient, relative to the largest of all."""
    (losses, gradients), (other_losses, other_gradients) = one, other
    assert losses.keys() == other_losses.keys() and gradients.keys() == other_gradients.keys()
    largest = max(gradient.abs().max() for gradient in other_gradients.values())
    of_losses = {name: abs(loss.item() / other_losses[name].item() - 1) for name, loss in losses.items()}
    of_gradients = {name: g.sub(other_gradients[name]).abs().max() / largest for name, g in gradients.items()}
    return of_losses | {name: float(value) for name, value in of_gradients.items()}


def test_four_steps_of_training_are_those_of_the_stock_path(stock, ours):
    def train(model):
        optimizer, losses = torch.optim.AdamW(model.parameters(), lr=1e-4), []
        for _ in range(4):
            losses.append(sum(losses_and_gradients(model)[0].values()).item())
            optimizer.step()
        return losses

    before, after = train(stock), train(ours)
    assert after == pytest.approx(before, rel=1e-3)
    assert after[-1] < after[0]


def test_a_training_step_uses_the_operator(ours):
    with torch.profiler.profile() as profile:
        losses_and_gradients(ours)
    names = {event.key: event.count for event in profile.key_averages()}
    layers = len(ours.panoptic_head.pixel_decoder.encoder.layers)
    assert names['fallen_trees::ms_deform_attn'] == names['fallen_trees::ms_deform_attn_backward'] == layers


def test_a_copy_as_ema_makes_it_computes_the_same(ours):
    (losses, _), (of_copy, _) = losses_and_gradients(ours), losses_and_gradients(copy.deepcopy(ours))
    assert all(torch.equal(losses[key], of_copy[key]) for key in losses)


def module_inputs(boxes, batch_first, seed=0):
    torch.manual_seed(seed)
    shapes = torch.tensor([[3, 5], [2, 2]])
    query, value, position = torch.randn(2, 6, 16), torch.randn(2, 19, 16), torch.randn(2, 6, 16)
    if not batch_first:
        query, value, position = (tensor.transpose(0, 1) for tensor in (query, value, position))
    return dict(
        query=query,
        value=value,
        query_pos=position,
        key_padding_mask=torch.rand(2, 19) < 0.2,
        reference_points=torch.rand(2, 6, 2, 4 if boxes else 2),
        spatial_shapes=shapes,
        level_start_index=torch.tensor([0, 15]),
    )


@pytest.mark.parametrize('batch_first', [True, False])
@pytest.mark.parametrize('boxes', [False, True])
@pytest.mark.parametrize('ratio', [1.0, 0.5])
def test_the_module_is_mmcvs(boxes, batch_first, ratio):
    options = dict(
        embed_dims=16, num_heads=2, num_levels=2, num_points=3, batch_first=batch_first, value_proj_ratio=ratio
    )
    init_default_scope('mmdet')
    module = MODELS.build(dict(type='FusedMultiScaleDeformableAttention', **options)).eval()
    theirs = MultiScaleDeformableAttention(**options).eval()
    for weight in module.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    theirs.load_state_dict(module.state_dict(), strict=True)
    data = module_inputs(boxes, batch_first)
    assert error(module(**data), theirs(**data)) < 1e-5
    only_query = data | dict(
        value=None, query_pos=None, key_padding_mask=None, spatial_shapes=torch.tensor([[1, 2], [2, 2]])
    )
    assert error(module(**only_query), theirs(**only_query)) < 1e-5


def test_points_of_other_sizes_are_named():
    module = FusedMultiScaleDeformableAttention(embed_dims=16, num_heads=2, num_levels=2, batch_first=True)
    data = module_inputs(False, True)
    with pytest.raises(ValueError, match=r'2 or 4 numbers each; got \(2, 6, 2, 3\)'):
        module(**data | dict(reference_points=torch.rand(2, 6, 2, 3)))

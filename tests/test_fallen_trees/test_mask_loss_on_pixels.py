"""The mask loss on all pixels of true masks: value by hand, gradient, and points at the centres of all pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from fallen_trees.derive.config import REPOSITORY, derive
from fallen_trees.errors import ConfigError
from fallen_trees.heads import batched_head
from fallen_trees.heads.batched_matching import Matches

LAYERS, SIDE = 2, 24  # logits at a quarter of it


def build(mask_loss_on='pixels'):
    init_default_scope('mmdet')
    cfg = Config.fromfile(Path(REPOSITORY, 'configs/_base_/models/mask2former_r18_tiny.py'))
    cfg.train_dataloader = cfg.val_dataloader = None
    derive(cfg, (), classes=('one', 'other'))
    cfg.model.panoptic_head.mask_loss_on = mask_loss_on
    torch.manual_seed(0)
    return MODELS.build(cfg.model).panoptic_head


@pytest.fixture(scope='module')
def head():
    return build()


@pytest.fixture
def case():
    """Logits of two layers for 3 queries of one image, two objects, and who is matched with whom."""
    draw = torch.Generator().manual_seed(3)
    logits = [torch.randn(1, 3, SIDE // 4, SIDE // 4, generator=draw).requires_grad_() for _ in range(LAYERS)]
    masks = torch.rand(2, SIDE, SIDE, generator=draw) < 0.4
    layers, queries, objects = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 2, 1, 2]), torch.tensor([1, 0, 0, 1])
    matches = Matches([2], layers, torch.zeros(4, dtype=torch.long), queries, objects)
    return logits, matches, [InstanceData(labels=torch.tensor([0, 1]), masks=masks)]


def by_hand(logits, matches, masks):
    """Cross entropy and dice of each layer out of their definitions, in NumPy's float64; weights 5 and 5."""
    entropy, dice = np.zeros(LAYERS), np.zeros(LAYERS)
    for layer, query, found in zip(matches.layers, matches.queries, matches.objects, strict=True):
        x = F.interpolate(logits[layer][:, query, None].detach().double(), (SIDE, SIDE), mode='bilinear')[0, 0].numpy()
        t, p = masks[found].numpy().astype(float), 1 / (1 + np.exp(-x))
        entropy[layer] += 5 * -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean() / 2
        dice[layer] += 5 * (1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)) / 2
    return entropy, dice


def test_the_value_is_that_computed_by_hand(head, case):
    logits, matches, truths = case
    entropy, dice = head._mask_losses(logits, matches, truths)
    expected = by_hand(logits, matches, truths[0].masks)
    np.testing.assert_allclose(entropy.detach(), expected[0], rtol=1e-5)
    np.testing.assert_allclose(dice.detach(), expected[1], rtol=1e-5)


def test_pixels_are_points_at_every_pixels_centre(head, case, monkeypatch):
    """Value and gradient of the point loss, with points at all centres; beyond the border the border's logits count."""
    logits, matches, truths = case
    row = (torch.arange(SIDE) + 0.5) / SIDE
    centres = torch.stack(torch.meshgrid(row, row, indexing='xy'), -1).flatten(0, 1).expand(4, -1, -1)
    points = build('points')

    def sample(found, at):
        return F.grid_sample(found[:, None], 2 * at[:, None] - 1, padding_mode='border', align_corners=False)[:, 0, 0]

    monkeypatch.setattr(batched_head, 'uncertain_points', lambda *_: centres.contiguous())
    monkeypatch.setattr(batched_head, 'sample_logits', sample)
    results = []
    for which in (head, points):
        entropy, dice = which._mask_losses(logits, matches, truths)
        results.append([entropy, dice, *torch.autograd.grad((entropy + 2 * dice).sum(), logits)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)
    assert all(gradient.abs().sum() > 0 for gradient in results[0][2:])


def test_the_gradient_is_that_of_differences(head, case):
    logits, matches, truths = case
    entropy, dice = head._mask_losses(logits, matches, truths)
    (gradient,) = torch.autograd.grad((entropy + dice).sum(), logits[0])
    assert gradient[0, 1].abs().max() == 0  # not matched in this layer
    for place in ((0, 0, 0, 0), (0, 2, 3, 4), (0, 0, 5, 2)):
        sums = []
        for step in (1e-4, -1e-4):
            moved = [layer.detach().clone() for layer in logits]
            moved[0][place] += step
            sums.append(sum(losses.sum() for losses in by_hand(moved, matches, truths[0].masks)))
        assert float(gradient[place]) == pytest.approx((sums[0] - sums[1]) / 2e-4, rel=2e-3, abs=1e-6)


def test_a_whole_step_has_both_and_they_differ():
    from mmdet.testing import demo_mm_inputs

    losses = {}
    for kind in ('points', 'pixels'):
        head = build(kind)
        shapes = [
            (1, channels, 96 // s, 96 // s) for channels, s in zip((32, 64, 128, 256), (4, 8, 16, 32), strict=True)
        ]
        torch.manual_seed(1)
        features = [torch.randn(shape) for shape in shapes]
        samples = demo_mm_inputs(1, [[3, 96, 96]], num_items=[3], num_classes=2, with_mask=True)['data_samples']
        for sample in samples:
            sample.set_metainfo(dict(batch_input_shape=(96, 96)))
        losses[kind] = head.loss(tuple(features), samples)
    assert losses['points'].keys() == losses['pixels'].keys()
    assert torch.equal(losses['points']['loss_cls'], losses['pixels']['loss_cls'])  # matching is the same
    assert all(loss.isfinite() for loss in losses['pixels'].values())
    assert losses['points']['loss_mask'] != losses['pixels']['loss_mask']


def test_nothing_else_can_be_asked_for():
    with pytest.raises(ConfigError, match="must be 'points' or 'pixels'; got 'lines'"):
        build('lines')

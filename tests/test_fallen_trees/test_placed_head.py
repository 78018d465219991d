"""Queries that stand for places, and the ellipses that keep their masks there."""

import pytest
import torch

from fallen_trees.heads.ellipses import UNIT_PX, EllipsePredictor, ellipse_logits
from fallen_trees.heads.mask_factors import MaskFactors
from fallen_trees.start_weights import describe_start

from .test_batched_head import build, features


@pytest.fixture(scope='module')
def placed():
    return build('PlacedMask2FormerHead')


def test_ellipse_is_the_quadratic_form_of_its_factor():
    torch.manual_seed(0)
    ellipses = torch.randn(3, 5).double()
    logits = ellipse_logits(ellipses, 5, 7, stride=4)
    for (centre_x, centre_y, l11, l21, l22), found in zip(ellipses, logits, strict=True):
        factor = torch.stack([l11, torch.zeros(()), l21, l22]).view(2, 2).double()
        for row in range(5):
            for column in range(7):
                middle = torch.tensor([column + 0.5, row + 0.5]) * 4 / UNIT_PX
                offset = middle - torch.stack([centre_x, centre_y])
                expected = -0.5 * offset @ factor @ factor.T @ offset
                torch.testing.assert_close(found[row, column], expected)


def test_untrained_ellipse_lies_about_its_place_with_16_px():
    place = torch.tensor([[40.0, 24.0]]) / UNIT_PX
    ellipse = EllipsePredictor(8)(torch.randn(1, 8), place)
    logits = ellipse_logits(ellipse, 64, 64, stride=1)[0]
    assert logits[23:25, 39:41].allclose(torch.tensor(-0.5 * 2 * 0.5**2 / 16**2))
    assert logits[23:25, 39:41].min() == logits.max()
    assert logits[23, 55].item() == pytest.approx(-0.5 * (15.5**2 + 0.5**2) / 16**2)


def test_masks_are_those_of_embeddings_and_ellipses(placed):
    maps, samples = features(placed, (2, 2))
    with torch.no_grad():
        classes, masks = placed.panoptic_head(maps, samples)
    queries = placed.panoptic_head.num_queries
    assert len(classes) == len(masks) == 4
    assert classes[0].shape == (2, queries, 3)
    assert masks[0].shape == (2, queries, 24, 24)
    for layer in masks:
        factors = layer.factors
        products = torch.einsum('bqc,bchw->bqhw', factors.embeddings, factors.features)
        torch.testing.assert_close(layer - products, ellipse_logits(factors.ellipses, 24, 24, 4), atol=1e-4, rtol=1e-4)


def test_matched_masks_with_gradient_are_the_same_masks(placed):
    seen = []
    head = placed.panoptic_head
    compare = head._compared

    def keep(logits, *truth):
        seen.append(logits)
        return compare(logits, *truth)

    head._compared = keep
    try:
        maps, samples = features(placed, (2, 3))
        torch.manual_seed(0)
        head.loss(maps, samples)
    finally:
        del head._compared
    with torch.no_grad():
        _, masks = head(maps, samples)
    logits = seen[0].detach()
    assert logits.shape == (4 * 5, 24, 24)
    every = torch.stack(masks).flatten(0, 2)
    nearest = (every[None] - logits[:, None]).abs().amax((2, 3)).amin(1)
    assert nearest.max() < 1e-3


@pytest.mark.parametrize('num_items', [(5, 3), (0, 0)], ids=['objects', 'none'])
def test_every_weight_gets_a_gradient(placed, num_items):
    placed.zero_grad()
    sum(placed.panoptic_head.loss(*features(placed, num_items)).values()).backward()
    # Processes that exchange gradients wait for each of them.
    assert [name for name, weight in placed.panoptic_head.named_parameters() if weight.grad is None] == []
    each_output = placed.panoptic_head.ellipse.shape.weight.grad.abs().amax(1)
    assert (each_output > 0).tolist() == [sum(num_items) > 0] * 5


def test_decoder_gets_the_chosen_places_without_gradient(placed):
    placed.zero_grad()
    classes, _ = placed.panoptic_head(*features(placed, (2, 2)))
    classes[-1].sum().backward()
    assert placed.panoptic_head.place_content[0].weight.grad is None
    assert placed.panoptic_head.place_position.weight.grad is not None


def peaked(head, sizes, sureness):
    """The places that a head chooses where its classifier is as sure as that of maps' first channel."""
    channels = head.level_embed.embedding_dim
    keys = tuple(torch.zeros(1, h * w, channels) for h, w in sizes)
    for key, level in zip(keys, sureness, strict=True):
        key[0, :, 0] = level.flatten()
    positions = tuple(torch.zeros_like(key) for key in keys)
    return head._choose(keys, positions, [torch.Size(size) for size in sizes])[2][0] * UNIT_PX


@pytest.fixture
def sure_of_first_channel():
    """A head that is as sure of class 0 as the first channel is large."""
    head = build('PlacedMask2FormerHead', **{'panoptic_head.num_queries': 3}).panoptic_head
    head.place_content = head.transformer_decoder.post_norm = torch.nn.Identity()
    with torch.no_grad():
        head.cls_embed.weight.zero_()[0, 0] = 1
        head.cls_embed.bias.zero_()
    return head


def test_peaks_are_chosen_before_what_is_beside_a_surer_one(sure_of_first_channel):
    coarse, middle, fine = torch.zeros(1, 1), torch.zeros(2, 2), torch.zeros(8, 8)
    fine[1, 1], fine[1, 2], fine[6, 5] = 9.0, 8.0, 1.0
    middle[1, 0] = 5.0
    places = peaked(sure_of_first_channel, [(1, 1), (2, 2), (8, 8)], [coarse - 9, middle, fine])
    # x, y: strides are 32, 16 and 8; (1, 2) is the second surest, and beside (1, 1)
    assert places.tolist() == [[12.0, 12.0], [8.0, 24.0], [44.0, 52.0]]


def test_image_of_few_places_has_as_many_queries():
    head = build('PlacedMask2FormerHead', **{'panoptic_head.num_queries': 500}).panoptic_head
    model = build('PlacedMask2FormerHead', **{'panoptic_head.num_queries': 500})
    maps, samples = features(model, (2, 2))
    with torch.no_grad():
        classes, masks = head(maps, samples)
    assert classes[0].shape[1] == masks[-1].shape[1] == 9 + 36 + 144


def test_half_precision_is_near_to_float32(placed):
    maps, samples = features(placed, (3, 3), training=False)
    with torch.no_grad():
        exact = placed.panoptic_head.predict(maps, samples)[1]
        with torch.autocast('cpu', torch.bfloat16):
            rough = placed.panoptic_head.predict(maps, samples)[1]
    assert rough.dtype == torch.float32
    # Ellipses alone differ by up to 20 over these images; queries may be chosen otherwise.
    assert (exact - rough).abs().median() < 0.5


def test_masks_without_ellipses_are_plain_products():
    factors = MaskFactors(torch.randn(1, 2, 4), torch.randn(1, 4, 3, 3))
    masks, hidden = factors.masks((3, 3))
    torch.testing.assert_close(masks, torch.einsum('bqc,bchw->bqhw', factors.embeddings, factors.features))
    assert torch.equal(hidden[:, 0], masks.flatten(2) < 0)


def test_mask2formers_own_weights_fill_all_but_what_is_new(placed, tmp_path):
    path = tmp_path / 'learnt.pth'
    torch.save({'state_dict': build().state_dict(), 'meta': {}}, path)
    said = describe_start(placed, path)[-1]
    new = len(placed.panoptic_head.place_content.state_dict()) + 2 + 2  # place_position, ellipse
    weights = [name for name in placed.state_dict() if not name.endswith('num_batches_tracked')]
    assert f'fill {len(weights) - new} of {len(weights)} tensors' in said
    assert 'random: panoptic_head.place_content' in said

"""Compiled sampling of masks against PyTorch's, in float64 where rounding would blur it."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.utils import get_uncertain_point_coords_with_randomness

from fallen_trees.ops.build import operators_available
from fallen_trees.ops.points import matching_sums, sample_logits, sample_truth, uncertain_points

FIELDS = ('softplus', 'sigmoid', 'logit_in', 'sigmoid_in', 'area')


@pytest.fixture(autouse=True, scope='module')
def compiled():
    if not operators_available():
        pytest.skip('no compiler here: both sides would be the same code')


def inputs(layers=3, queries=11, plane=(13, 9), objects=4, mask=(52, 36), points=200, size=3.0, seed=0):
    """Logits of each layer, points (layers, points, 2) with the corners among them, true masks."""
    draw = torch.Generator().manual_seed(seed)
    logits = [size * torch.randn(queries, *plane, generator=draw) for _ in range(layers)]
    where = torch.rand(layers, points, 2, generator=draw)
    where[:, :4] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.5]])[:points]
    truth = torch.rand(objects, *mask, generator=draw) < torch.linspace(0, 1, objects)[:, None, None]
    return logits, where, truth


def in_float64(logits, where, truth):
    """PyTorch's path, as the compiled one is for float32."""
    return matching_sums([layer.double() for layer in logits], where.double(), truth)


@pytest.mark.parametrize(
    'case',
    [
        {},
        dict(queries=1, points=1),
        dict(queries=8),
        dict(queries=100, plane=(64, 64), points=1000),
        dict(plane=(1, 1), mask=(1, 1)),
        dict(plane=(1, 17), mask=(3, 64)),
        dict(objects=0),
        dict(size=60.0),
    ],
    ids=str,
)
def test_sums_are_those_of_float64(case):
    logits, where, truth = inputs(**case)
    ours, reference = matching_sums(logits, where, truth), in_float64(logits, where, truth)
    assert ours.points == reference.points == where.shape[1]
    for name in FIELDS:
        found, expected = getattr(ours, name), getattr(reference, name)
        assert found.shape == expected.shape and found.dtype == torch.float32
        torch.testing.assert_close(
            found.double(), expected, rtol=2e-6, atol=4e-7 * where.shape[1] * case.get('size', 3)
        )


def test_the_reference_itself_is_grid_sample():
    logits, where, truth = inputs()
    at = [F.grid_sample(x[None].double(), 2 * where[1][None, None].double() - 1, align_corners=False)[0, :, 0]
          for x in (logits[1], truth)]  # fmt: skip
    reference = in_float64(logits, where, truth)
    torch.testing.assert_close(reference.softplus[1], (1 + at[0].exp()).log().sum(-1))
    torch.testing.assert_close(reference.logit_in[1], torch.einsum('qp,gp->qg', *at))
    torch.testing.assert_close(reference.area[1], at[1].sum(-1))


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_a_logit_that_is_not_finite_shows_in_its_query_alone(value):
    logits, where, truth = inputs()
    logits[1][5] = value
    softplus = matching_sums(logits, where, truth).softplus
    assert not softplus[1, 5].isfinite() and softplus.isfinite().sum() == softplus.numel() - 1


def test_results_do_not_depend_on_the_number_of_threads():
    given, threads = inputs(queries=30, objects=6), torch.get_num_threads()
    results = []
    for count in (1, 3):
        torch.set_num_threads(count)
        torch.manual_seed(0)
        results.append((matching_sums(*given), uncertain_points(given[0][0], 50, 3.0, 0.75)))
    torch.set_num_threads(threads)
    (sums, points), (other_sums, other_points) = results
    assert all(torch.equal(getattr(sums, name), getattr(other_sums, name)) for name in FIELDS)
    assert torch.equal(points, other_points)


@pytest.mark.parametrize('mask', [(52, 36), (1, 1), (7, 200)])
def test_truth_is_sampled_as_grid_sample_does(mask):
    _, where, truth = inputs(mask=mask, objects=5)
    truth[3] = False
    truth[3, -1, -1] = True  # a box of one pixel, in the corner
    objects, points = torch.tensor([4, 0, 3, 3]), torch.cat([where, where[:1]])
    found = sample_truth(truth, objects, points)
    expected = sample_logits(truth[objects].double(), points.double())
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
    # What runs where there is no compiler, and on a GPU.
    torch.testing.assert_close(sample_truth(truth, objects, points.double()), expected, rtol=0, atol=1e-12)
    assert found[1].abs().sum() == 0 and found[2].sum() > 0


def test_points_outside_of_a_mask_are_zero_and_harmless():
    truth = torch.ones(1, 5, 5, dtype=torch.bool)
    points = torch.tensor([[[-1e9, 0.5], [0.5, 1e9], [float('nan'), 0.5], [float('inf'), float('-inf')], [0.5, 0.5]]])
    assert sample_truth(truth, torch.tensor([0]), points).tolist() == [[0, 0, 0, 0, 1]]
    sums = matching_sums([torch.ones(1, 5, 5)], points, truth)
    assert float(sums.logit_in) == 1 and float(sums.area) == 1


def test_of_candidates_those_nearest_to_zero_are_taken():
    plane = torch.linspace(-4, 4, 64).expand(3, 64, 64).clone()  # 0 in the middle of each row
    points = uncertain_points(plane, 1000, 4.0, 0.5)
    inner = points[:, :500][(points[:, :500, 1] - 0.5).abs() < 0.45]  # beside the mask all is 0, too
    distance = (inner[:, 0] - 0.5).abs()
    # The nearest 500 of 4000 uniform points lie within an eighth of the width around the middle.
    assert distance.max() < 0.08 and (distance > 0.05).any()
    assert points[:, 500:, 0].std() > 0.25  # the others are anywhere
    assert points.min() >= 0 and points.max() < 1
    assert not torch.equal(points[0], points[1])


def test_ties_are_taken_up_to_the_number_wanted():
    points = uncertain_points(torch.zeros(2, 8, 8), 300, 3.0, 0.75)
    assert points.shape == (2, 300, 2) and len(points[0].unique(dim=0)) == 300


def test_candidates_are_uniform():
    points = uncertain_points(torch.randn(4, 8, 8), 20000, 1.0, 1.0).flatten(0, 1)
    counts = torch.histogramdd(points, bins=[10, 10], range=[0, 1, 0, 1]).hist
    chi2 = float(((counts - 800) ** 2 / 800).sum())  # 99 degrees of freedom
    assert 45 < chi2 < 165
    assert abs(float(torch.corrcoef(points.T)[0, 1])) < 0.02


@pytest.mark.parametrize('ratios', [(3.0, 0.75), (1.0, 0.0), (2.5, 1.0)])
def test_points_are_distributed_as_mmdetections(ratios):
    logits = torch.randn(20, 24, 24, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    ours = uncertain_points(logits, 2000, *ratios)
    theirs = get_uncertain_point_coords_with_randomness(logits[:, None], None, 2000, *ratios)
    means = [float(sample_logits(logits, points).abs().mean()) for points in (ours, theirs)]
    assert means[0] == pytest.approx(means[1], rel=0.02)
    assert ours.shape == theirs.shape


def test_seeds_of_torch_decide():
    logits = torch.randn(2, 8, 8)
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append(uncertain_points(logits, 100, 3.0, 0.75))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda o: o.matching_sums([], torch.rand(0, 4, 2), torch.ones(1, 4, 4).bool()), 'at least one layer'),
        (lambda o: o.matching_sums([torch.rand(2, 4, 4)], torch.rand(2, 4, 2), torch.ones(1, 4, 4).bool()), 'points'),
        (lambda o: o.matching_sums([torch.rand(2, 4, 4)], torch.rand(1, 4, 2), torch.ones(1, 4, 4)), 'bool or uint8'),
        (lambda o: o.sample_truth(torch.ones(1, 4, 4).bool(), torch.tensor([1]), torch.rand(1, 4, 2)), 'below 1'),
        (lambda o: o.uncertain_points(torch.rand(1, 4, 4), 4, 5, 0, 0), 'at most 4'),
    ],
)
def test_wrong_shapes_are_refused(call, message):
    with pytest.raises(RuntimeError, match=message):
        call(torch.ops.fallen_trees)

"""Our assigner against MMDetection's: the same on finite costs; counts instead of raising on others."""

import math

import pytest
import torch
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

from fallen_trees.heads.guarded_assigner import GuardedHungarianAssigner

COSTS = [
    dict(type='ClassificationCost', weight=2.0),
    dict(type='CrossEntropyLossCost', weight=5.0, use_sigmoid=True),
    dict(type='DiceCost', weight=5.0, pred_act=True, eps=1.0),
]
NUM_QUERIES, POINTS = 12, 12544


def make(kind='GuardedHungarianAssigner'):
    return TASK_UTILS.build(dict(type=kind, match_costs=COSTS))


def instances(num_gts=5, num_queries=NUM_QUERIES, size=1.0, seed=0):
    """Logits of predictions that see objects everywhere, about `size` large, and objects that cover 5 %."""
    draw = torch.Generator().manual_seed(seed)
    predicted = InstanceData(
        scores=torch.randn(num_queries, 3, generator=draw),
        masks=size * (0.9 + 0.2 * torch.rand(num_queries, POINTS, generator=draw)),
    )
    true = InstanceData(
        labels=torch.randint(2, (num_gts,), generator=draw),
        masks=(torch.rand(num_gts, POINTS, generator=draw) < 0.05).float(),
    )
    return predicted, true


def pairs(result):
    """Query -> true instance."""
    return {query: gt - 1 for query, gt in enumerate(result.gt_inds.tolist()) if gt}


@pytest.mark.parametrize('num_gts', [0, 1, 5, NUM_QUERIES, 20])
@pytest.mark.parametrize('seed', range(3))
def test_on_finite_costs_it_is_mmdetections(num_gts, seed):
    ours, stock = (
        make(kind).assign(*instances(num_gts, seed=seed)) for kind in ('GuardedHungarianAssigner', 'HungarianAssigner')
    )
    assert torch.equal(ours.gt_inds, stock.gt_inds) and torch.equal(ours.labels, stock.labels)
    assert ours.num_gts == stock.num_gts == num_gts
    assert len(pairs(ours)) == min(num_gts, NUM_QUERIES)


def test_no_queries_match_nothing():
    assert make().assign(*instances(num_queries=0)).gt_inds.tolist() == []


@pytest.mark.parametrize('size', [6.0, 8.0, 12.0])
def test_float16_autocast_ends_mmdetections_run_and_not_ours(size):
    predicted, true = instances(size=size)
    half = InstanceData(scores=predicted.scores.half(), masks=predicted.masks.half())
    ours = make()
    with torch.autocast('cpu', torch.float16):
        with pytest.raises(ValueError, match='infeasible|invalid numeric'):
            make('HungarianAssigner').assign(half, true)
        result = ours.assign(half, true)
        cost = ours._cost(half, true, None)
    assert ours.non_finite == 0
    assert pairs(result) == pairs(make('HungarianAssigner').assign(predicted, true))
    assert cost.dtype == torch.float32
    assert torch.allclose(cost, ours._cost(predicted, true, None), rtol=1e-3)


def test_bfloat16_autocast_blurs_mmdetections_costs_and_not_ours():
    predicted, true = instances(size=6.0)
    ours = make()
    exact = ours._cost(predicted, true, None)
    with torch.autocast('cpu', torch.bfloat16):
        stock = torch.stack([cost(predicted, true) for cost in make('HungarianAssigner').match_costs]).sum(0)
        assert torch.equal(ours._cost(predicted, true, None), exact)
    assert (stock - exact).abs().max() > 0.02


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_counted_and_matched_last(bad):
    predicted, true = instances(num_gts=5)
    best = pairs(make().assign(predicted, true))
    spoilt = min(best)
    predicted.scores[spoilt] = bad  # softmax of inf is nan: the whole row
    ours = make()
    with pytest.raises(ValueError, match='infeasible|invalid numeric'):
        make('HungarianAssigner').assign(predicted, true)
    found = pairs(ours.assign(predicted, true))
    assert ours.non_finite == 5
    others = [query for query in range(NUM_QUERIES) if query != spoilt]
    assert {others[q]: gt for q, gt in pairs(make().assign(predicted[others], true)).items()} == found


def test_a_cost_of_minus_infinity_wins_nothing():
    ours = make()
    cost = torch.tensor([[-math.inf, 5.0], [math.inf, math.nan]])
    finite = ours._finite(cost)
    assert ours.non_finite == 3
    assert finite[0, 1] == 5 and finite.flatten()[[0, 2, 3]].min() > 1e6


def test_a_model_that_is_all_nan_is_matched_and_counted():
    predicted, true = instances(num_gts=5)
    predicted.masks[:] = math.nan
    ours = make()
    assert len(pairs(ours.assign(predicted, true))) == 5
    ours.assign(predicted, true)
    assert ours.non_finite == 2 * NUM_QUERIES * 5


def test_matches_are_counted_by_query_until_reset():
    ours = make()
    assert ours.matched.tolist() == []
    expected = torch.zeros(NUM_QUERIES, dtype=torch.long)
    for seed in range(4):
        expected[list(pairs(ours.assign(*instances(seed=seed))))] += 1
    assert torch.equal(ours.matched, expected) and expected.sum() == 20
    ours.assign(*instances(num_gts=0))
    assert torch.equal(ours.matched, expected)
    ours.non_finite = 3
    ours.reset()
    assert ours.matched.sum() == 0 and ours.non_finite == 3
    ours.assign(*instances(num_gts=2, num_queries=3))
    ours.assign(*instances())
    ours.assign(*instances(num_gts=2, num_queries=3))
    assert len(ours.matched) == NUM_QUERIES and ours.matched.sum() == 9


def test_no_gradient_is_recorded():
    predicted, true = instances()
    predicted.masks.requires_grad_()
    seen = []
    ours = GuardedHungarianAssigner(COSTS)
    ours.match_costs.append(
        lambda pred_instances, **_: seen.append(torch.is_grad_enabled()) or torch.zeros(NUM_QUERIES, 5)
    )
    ours.assign(predicted, true)
    assert seen == [False]

"""Which tree belongs to which unit, and how often intervals hold the truth."""

import numpy as np
import pytest
from boxed_scene import boxed_scene
from hypothesis import given, settings
from hypothesis import strategies as st

from tree_map.scoring.bootstrap import around, draws, intervals, standard_error
from tree_map.scoring.figures import Figure, from_sums
from tree_map.scoring.units import units_of

ONE = (0, 0, 10, 2)


def test_from_eight_scenes_on_each_is_a_unit_trees_or_none():
    scenes = [boxed_scene([ONE] * (number % 2), [(ONE, 0.5)] * 2) for number in range(8)]
    units = units_of(scenes)
    assert (units.count, units.kind) == (8, 'scene')
    assert [part.tolist() for part in units.truth] == [[n] * (n % 2) for n in range(8)]
    assert [part.tolist() for part in units.found] == [[n, n] for n in range(8)]
    assert units_of(scenes[:7]).kind == 'block'


def test_a_scene_is_cut_into_equal_blocks_that_are_no_longer_than_asked():
    boxes = [(x, y, x + 2, y + 2) for y in (30, 120) for x in (10, 60, 110)]
    scene = boxed_scene(boxes, [], side=128)
    assert units_of([scene]).truth[0].tolist() == [0, 0, 2, 1, 1, 3]  # 2 x 2 blocks of 64 m, column by column
    assert units_of([scene], block_m=128).count == 1
    assert units_of([scene], block_m=127.9).count == 4
    assert units_of([scene], block_m=1).count == 6  # blocks without a tree do not count


def test_a_paired_tree_belongs_to_the_block_of_its_partner():
    truth, found = (40, 0, 58, 2), (44, 0, 59, 2)  # centres of gravity on either side of x = 50
    scene = boxed_scene([truth], [(found, 0.1), ((44, 10, 59, 12), 0.9)], side=100)
    units = units_of([scene], block_m=50)
    assert units.truth[0].tolist() == [0] and units.found[0].tolist() == [1, 0]


def test_trees_of_two_scenes_share_no_block():
    scene = boxed_scene([ONE], [(ONE, 0.5)])
    units = units_of([scene, scene])
    assert units.count == 2 and [part.tolist() for part in units.truth + units.found] == [[0], [1], [0], [1]]


def test_no_tree_anywhere_makes_no_unit():
    units = units_of([boxed_scene([], [])])
    assert units.count == 0 and len(units.truth[0]) == len(units.found[0]) == 0


def ratio(sums):
    return from_sums('ratio', '', 1, np.asarray(sums, float), lambda above, below: above / below)


def test_the_value_is_that_of_each_unit_once_and_the_seed_decides_the_rest():
    figure = ratio([[1, 2], [3, 3], [0, 5]])
    one, same, other = (intervals([figure], 3, 100, seed)[0] for seed in (0, 0, 1))
    assert one.value == 0.4 and one == same and one != other and one.low <= one.value <= one.high
    assert draws(5, 100, 0).sum(1).tolist() == [5] * 100


@pytest.mark.parametrize('count', [0, 1])
def test_fewer_than_two_units_have_no_interval(count):
    found = intervals([ratio(np.ones((count, 2)))], count)[0]
    assert np.isnan(found.low) and np.isnan(found.high) and np.isnan(found.value) == (count == 0)


def test_no_replicates_no_interval():
    found = intervals([ratio([[1, 2], [2, 2]])], 2, replicates=0)[0]
    assert found.value == 0.75 and np.isnan(found.low)


def test_draws_in_which_a_figure_does_not_exist_are_left_out_unless_they_are_most():
    some = intervals([ratio([[1, 1], [0, 1], [0, 0], [0, 0]])], 4)[0]  # in 1 of 16 draws none of the first two is drawn
    assert some.low < some.value == 0.5 < some.high
    none = intervals([Figure('x', '', 1, lambda weights: np.where(weights.max(1) > 1, np.nan, 1))], 9)[0]
    assert none.value == 1 and np.isnan(none.low) and np.isnan(none.high)


def test_students_interval_on_the_scale_of_the_figure():
    share, error, bias = (Figure('x', unit, better, None) for unit, better in (('', 1), ('m', -1), ('m', 0)))
    assert around(0.0, 0.1, bias) == (-0.1, 0.1)
    low, high = around(2.0, 2 * np.log(2), error)
    assert (low, high) == (pytest.approx(1), pytest.approx(4))  # half and twice
    low, high = around(0.8, 0.16 * np.log(4), share)  # odds of 4, times and over 4
    assert (low, high) == (pytest.approx(1 / 2), pytest.approx(16 / 17))
    assert around(1.0, 0.0, share) == (1, 1) and np.isnan(around(0.5, np.nan, share)).all()
    assert 0 <= around(0.0, 0.01, share)[0] < 0.01


def test_the_standard_error_of_a_mean_is_that_of_the_textbook():
    values = np.random.default_rng(0).normal(5, 2, 12)
    mean = ratio(np.column_stack([values, np.ones(12)]))
    error = standard_error(mean.of(draws(12, 200_000, 0)), 12)
    assert error == pytest.approx(np.std(values, ddof=1) / np.sqrt(12), rel=0.01)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=2, max_size=30))
def test_intervals_hold_the_range_of_the_figure(rows):
    found = intervals([ratio([(min(a, b), b) for a, b in rows])], len(rows), 200)[0]
    assert 0 <= found.low <= found.high <= 1


@pytest.mark.parametrize('count', [4, 8, 20])
def test_95_of_100_intervals_hold_the_truth(count):
    """Units of very unlike size, whose trees resemble each other: recall of 0.7 on the whole."""
    rng, held = np.random.default_rng(count), 0
    for world in range(1000):
        trees = rng.poisson(rng.gamma(2, 10, count)) + 1
        right = rng.binomial(trees, rng.beta(7, 3, count))
        found = intervals([ratio(np.column_stack([right, trees]))], count, 200, world)[0]
        held += found.low <= 0.7 <= found.high
    assert 0.9 <= held / 1000 <= 0.98

"""Metres of trunk found and right."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_bars import bar, scene, values

from tree_map.scoring import centrelines
from tree_map.scoring.scores import ScoreSettings

STEP = 0.125  # a quarter of the tolerance: how finely lines are cut


def lines(truth, found, **options):
    """Completeness, correctness and F1."""
    ignored = options.pop('ignored', ())
    figures = values(centrelines, [scene(truth, found, ignored=ignored)], ScoreSettings(score_thr=0.5, **options))
    return [figures[f'centreline/{name}'] for name in ('completeness', 'correctness', 'F1')]


def test_the_same_lines_are_all_right():
    truth = [bar(10, 10), bar(10, 20, 30), bar(50, 50, 200, 22)]
    assert lines(truth, truth) == [1, 1, 1]


def test_one_half_and_a_false_one():
    """Of 20 labelled metres 5 (and the tolerance at the end) are found; of 12 found metres 5 are right."""
    completeness, correctness, f1 = lines(
        [bar(10, 10, length=10), bar(10, 20, length=10)],
        [bar(10, 10, length=5), bar(10, 50, length=7)],
    )
    assert completeness == pytest.approx(5.5 / 20, abs=STEP / 20)
    assert correctness == pytest.approx(5 / 12)
    assert f1 == pytest.approx(2 * completeness * correctness / (completeness + correctness))


@pytest.mark.parametrize(('aside', 'right'), [(0.0, 1), (0.3, 1), (0.49, 1), (0.52, 0), (3.0, 0)])
def test_the_tolerance_is_a_distance_across(aside, right):
    assert lines([bar(10, 10)], [bar(10, 10 + aside)]) == [right] * 3


def test_a_wider_tolerance_forgives_more():
    assert lines([bar(10, 10)], [bar(10, 10.9)], tolerance_m=1.0) == [1, 1, 1]


def test_lines_may_end_half_a_metre_apart():
    assert lines([bar(10, 10, length=10)], [bar(10.45, 10, length=10)])[0] == pytest.approx(1, abs=0.01)
    longer = lines([bar(10, 10, length=10)], [bar(8, 10, length=14)])
    assert longer[:2] == pytest.approx([1, 11 / 14], abs=2 * STEP / 14)


def test_a_crossing_line_finds_nothing():
    assert lines([bar(10, 10, 90)], [bar(15, 5, 0)]) == [0, 0, 0]
    assert lines([bar(10, 10, 90)], [bar(10, 10, 90), bar(15, 5, 0)])[:2] == [1, 0.5]


@pytest.mark.parametrize(
    ('turn', 'right'), [(20, True), (29, True), (31, False), (149, False), (151, True), (180, True)]
)
def test_direction_counts_either_way_round(turn, right):
    """Bars of 0.8 m that cross in their middles, so that they are near along their whole length."""
    way = np.radians(90 + turn)
    found = bar(10.4 - 0.4 * np.sin(way), 10 - 0.4 * np.cos(way), 90 + turn, 0.8)
    assert lines([bar(10, 10, 90, 0.8)], [found])[2] == (1 if right else 0)


def test_one_truth_makes_one_found_tree_right():
    once, twice = lines([bar(10, 10)], [bar(10, 10)]), lines([bar(10, 10)], [bar(10, 10), bar(10, 10.1, score=0.7)])
    assert once == [1, 1, 1]
    assert twice == pytest.approx([1, 1 / 2, 2 / 3])
    thrice = lines([bar(10, 10)], [bar(10, 10), bar(10, 10.1), bar(10, 9.9)])
    assert thrice[:2] == pytest.approx([1, 1 / 3])


def test_of_two_on_one_trunk_the_nearer_and_longer_is_right_whatever_the_score():
    completeness, correctness, _ = lines([bar(10, 10)], [bar(10, 10, score=0.6), bar(10, 10.2, length=3, score=0.9)])
    assert (completeness, correctness) == pytest.approx((1, 10 / 13))


def test_parallel_trunks_are_found_one_by_one():
    truth = [bar(10, 10), bar(10, 10.4)]
    assert lines(truth, truth) == [1, 1, 1]
    assert lines(truth, [bar(10, 10.1), bar(10, 10.5)]) == [1, 1, 1]
    assert lines(truth, [bar(10, 10.2)])[:2] == [0.5, 1]


def test_a_chain_of_neighbours_finds_its_partners():
    """Each found line lies nearer to the next trunk than to its own, which has one that is nearer still."""
    truth = [bar(10, 10 + 0.45 * k, length=12 - k) for k in range(4)]
    found = [bar(10, 10 + 0.45 * k, length=12 - k) for k in range(4)]
    assert lines(truth, found) == [1, 1, 1]


def test_cutting_and_joining_change_nothing():
    halves = [bar(10, 10, length=5), bar(15, 10, length=5)]
    assert lines([bar(10, 10)], halves) == [1, 1, 1]
    assert lines(halves, [bar(10, 10)]) == [1, 1, 1]


def test_bent_lines_are_followed():
    bend = shapely.LineString([(10, 10), (15, 10), (15, 16)])
    bent = bar(10, 10, length=11, centreline=bend)
    pieces = [bar(10, 10, 90, 5), bar(15, 10, 0, 6)]
    assert lines([bent], pieces)[:2] == pytest.approx([1, 1], abs=0.1)  # at the bend the direction is that between
    assert lines([bent], [bar(10, 10, 90, 5)])[0] == pytest.approx(5 / 11, abs=0.05)


def test_unsure_trees_other_classes_and_ignored_trees():
    assert lines([bar(10, 10)], [bar(10, 10, score=0.4)])[0] == 0
    assert lines([bar(10, 10)], [bar(10, 10, name='beech')]) == [0, 0, 0]
    assert lines([bar(10, 10)], [bar(10, 10), bar(10, 50)], ignored=[bar(10, 50)]) == [1, 1, 1]


def test_trees_without_a_centreline():
    assert lines([bar(10, 10), bar(10, 20, centreline=None)], [bar(10, 10), bar(10, 20)]) == [1, 1, 1]
    assert lines([bar(10, 10)], [bar(10, 10), bar(10, 20, centreline=None)]) == [1, 1, 1]
    assert lines([bar(10, 10)], [bar(10, 10, centreline=shapely.LineString())])[0] == 0


def test_where_nothing_is():
    assert lines([bar(10, 10)], [])[::2] == [0, 0] and np.isnan(lines([bar(10, 10)], [])[1])
    assert lines([], [bar(10, 10)])[1:] == [0, 0] and np.isnan(lines([], [bar(10, 10)])[0])
    assert np.isnan(lines([], [])).all()


@given(
    st.lists(st.tuples(*[st.floats(0, 30)] * 2, st.floats(0, 360), st.floats(0.5, 20)), min_size=1, max_size=8),
    st.lists(st.tuples(*[st.floats(0, 30)] * 2, st.floats(0, 360), st.floats(0.5, 20)), min_size=1, max_size=8),
)
@settings(max_examples=25, deadline=None)
def test_sides_mirror_each_other_and_no_order_matters(truth, found):
    truth, found = ([bar(*row) for row in rows] for rows in (truth, found))
    there, back = lines(truth, found), lines(found, truth)
    assert there[:2] == pytest.approx(back[1::-1], abs=1e-9)
    assert lines(truth[::-1], found[::-1]) == pytest.approx(there, abs=1e-9)
    assert min(there) >= 0 and max(there) <= 1

"""AP that forgives borders."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_bars import bar, scene, values

from tree_map.scoring import precision, relaxed
from tree_map.scoring.matching import overlaps_of
from tree_map.scoring.relaxed import relaxed_overlaps
from tree_map.scoring.scores import ScoreSettings


def iou(truth, found, border_m=0.1):
    return relaxed_overlaps(scene([truth], [found]), border_m).iou.tolist()


@pytest.mark.parametrize(('aside', 'expected'), [(0, 1), (0.1, 1), (0.2, 0.6), (0.3, 1 / 3), (0.4, 1 / 7)])
def test_a_bar_beside_its_label(aside, expected):
    """0.4 m wide: of both areas the share 1 - (aside - 0.1) / 0.4 lies within 0.1 m of the other."""
    assert iou(bar(10, 10), bar(10, 10 + aside)) == pytest.approx([expected])


def test_outlines_that_only_come_near_have_an_overlap_and_no_further():
    assert iou(bar(10, 10), bar(10, 10.45)) == pytest.approx([0.125**2 / (0.25 - 0.125**2)], rel=0.01)
    assert iou(bar(10, 10), bar(10, 10.51)) == []


def test_a_bar_that_is_too_short():
    """All of it is right; of the label 6 m and 0.1 m beyond are found."""
    assert iou(bar(10, 10, length=10), bar(10, 10, length=6)) == pytest.approx([0.61], abs=1e-3)


def test_a_thick_label_on_a_thin_tree():
    """0.8 m against 0.4 m on one axis: the found area is all right, the label but for 0.1 m on each side."""
    assert iou(bar(10, 10, width=0.8), bar(10, 10)) == pytest.approx([0.6 / 0.8], rel=1e-3)


@given(st.floats(-1, 1), st.floats(-4, 4), st.floats(-30, 30), st.floats(2, 14), st.floats(0.2, 1))
@settings(max_examples=60, deadline=None)
def test_a_wider_margin_never_lowers_it_and_none_is_iou(aside, ahead, turn, length, width):
    one = scene([bar(10, 10)], [bar(10 + ahead, 10 + aside, 90 + turn, length, width)])
    plain = overlaps_of(one).iou
    by_margin = [relaxed_overlaps(one, border).iou.sum() for border in (0, 0.05, 0.1, 0.3, 1)]
    assert by_margin[0] == pytest.approx(plain.sum(), abs=1e-12)
    assert (np.diff(by_margin) >= -1e-3).all()  # margins have round corners of few points
    assert by_margin[-1] <= 1


def ap(truth, found, ignored=(), border_m=0.1, module=relaxed):
    kind = 'relaxed' if module is relaxed else 'scene'
    found = values(module, [scene(truth, found, ignored=ignored)], ScoreSettings(border_m=border_m))
    return [found[f'{kind}/AP'], found[f'{kind}/AP50']]


def test_ap_of_trees_beside_their_labels():
    """0.2 m aside the relaxed IoU is 0.6: right at the thresholds 0.5, 0.55 and 0.6 of ten, but IoU is 1/3."""
    truth, found = [bar(10, 10), bar(10, 20)], [bar(10, 10.1999), bar(10, 20.1999)]
    assert ap(truth, found) == pytest.approx([0.3, 1])
    assert ap(truth, found, module=precision) == [0, 0]
    assert ap(truth, truth) == [1, 1]


def test_without_a_margin_it_is_the_plain_ap():
    rng = np.random.default_rng(0)
    truth = [bar(*rng.uniform(0, 60, 2), rng.uniform(0, 360)) for _ in range(40)]
    found = [bar(*row['centreline'].coords[0] + rng.normal(0, 0.1, 2), row['azimuth_deg'] + rng.normal(),
                 score=rng.random()) for row in truth[:30]]  # fmt: skip
    found += [bar(*rng.uniform(0, 60, 2), rng.uniform(0, 360), score=rng.random()) for _ in range(10)]
    plain, strict, loose = (ap(truth, found, module=precision), ap(truth, found, border_m=0.0), ap(truth, found))
    assert strict == plain
    assert 0 < plain[0] < loose[0] < 1 and plain[1] < loose[1]


def test_a_tree_matches_one_label_of_its_class_and_ignored_ones_do_not_count():
    assert ap([bar(10, 10), bar(10, 10.3)], [bar(10, 10.15)])[1] == pytest.approx(51 / 101)
    assert iou(bar(10, 10), bar(10, 10, name='beech')) == []
    both = [bar(10, 10), bar(10, 50, score=0.95)]
    assert ap([bar(10, 10)], both)[1] == pytest.approx(0.5)
    assert ap([bar(10, 10)], both, ignored=[bar(10, 50.1)])[1] == pytest.approx(1)


def test_parts_with_a_gap_are_one_outline():
    parts = shapely.MultiPolygon([bar(10, 10, length=4)['geometry'], bar(15, 10, length=5)['geometry']])
    assert iou(bar(10, 10), bar(10, 10, geometry=parts)) == pytest.approx([9.2 / 10], rel=1e-3)

"""Errors of measures, of sums, and the medians of replicates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_bars import bar, scene, values

from tree_map.scoring import errors
from tree_map.scoring.bootstrap import intervals
from tree_map.scoring.errors import mean_figure, median_figure
from tree_map.scoring.matching import Pairs
from tree_map.scoring.scores import ScoreSettings
from tree_map.scoring.units import Units

SETTINGS = ScoreSettings(score_thr=0.5)
UNITS = {'length/bias_m': ('m', 0), 'length/MAE_m': ('m', -1), 'length/median_percent': ('%', -1),
         'diameter/bias_m': ('m', 0), 'diameter/MAE_m': ('m', -1), 'diameter/median_percent': ('%', -1),
         'volume/bias_m3': ('m3', 0), 'volume/MAE_m3': ('m3', -1), 'volume/median_percent': ('%', -1),
         'azimuth/MAE_deg': ('deg', -1), 'azimuth/right_direction': ('', 1), 'count/error_percent': ('%', 0),
         'length/total_error_percent': ('%', 0), 'volume/total_error_percent': ('%', 0)}  # fmt: skip


def of(truth, found, **options):
    return values(errors, [scene(truth, found, **options)], SETTINGS)


def test_three_pairs_by_hand():
    truth = [bar(10, 10, volume_m3=2.0), bar(10, 20, volume_m3=1.0), bar(10, 30, volume_m3=4.0), bar(10, 40)]
    found = [
        bar(10, 10, length_m=9.0, diameter_mid_m=0.5, volume_m3=2.2),
        bar(10, 20, length_m=12.0, diameter_mid_m=0.4, volume_m3=0.5),
        bar(10, 30, length_m=10.5, diameter_mid_m=0.38, volume_m3=4.0),
        bar(90, 90, length_m=6.0, volume_m3=1.3),
        bar(90, 10, score=0.3),
    ]
    got = of(truth, found)
    assert got['length/bias_m'] == pytest.approx((-1 + 2 + 0.5) / 3)
    assert got['length/MAE_m'] == pytest.approx(3.5 / 3)
    assert got['length/median_percent'] == pytest.approx(10)
    assert got['diameter/bias_m'] == pytest.approx((0.1 - 0.02) / 3)
    assert got['diameter/MAE_m'] == pytest.approx(0.12 / 3)
    assert got['diameter/median_percent'] == pytest.approx(5)
    assert got['volume/bias_m3'] == pytest.approx(-0.1)
    assert got['volume/MAE_m3'] == pytest.approx(0.7 / 3)
    assert got['volume/median_percent'] == pytest.approx(10)
    assert got['count/error_percent'] == pytest.approx(0)
    assert got['length/total_error_percent'] == pytest.approx(100 * (37.5 / 40 - 1))
    assert got['volume/total_error_percent'] == pytest.approx(100 * (8 / (7 + truth[3]['volume_m3']) - 1))


def test_every_figure_says_its_unit_and_what_is_better():
    units = Units(1, 'scene', [np.zeros(0, int)], [np.zeros(0, int)])
    empty = Pairs(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    made = errors.figures([scene([], [])], [empty], units, SETTINGS)
    assert {figure.name: (figure.unit, figure.better) for figure in made} == UNITS
    assert all(np.isnan(figure.of(np.ones((2, 1)))).all() for figure in made)


@pytest.mark.parametrize(
    ('truth', 'found', 'error', 'right'),
    [(10, 12, 2, 1), (359, 3, 4, 1), (3, 359, 4, 1), (5, 183, 2, 0), (179, 1, 2, 0), (90, 300, 30, 0), (0, 91, 89, 0),
     (350, 80, 90, 0)],
)  # fmt: skip
def test_azimuths_are_axes_and_directions_apart(truth, found, error, right):
    got = of([bar(50, 50, azimuth_deg=truth)], [bar(50, 50, azimuth_deg=found)])
    assert got['azimuth/MAE_deg'] == pytest.approx(error)
    assert got['azimuth/right_direction'] == right


def test_directions_count_where_both_sides_know_them():
    truth = [bar(10, 10), bar(10, 20), bar(10, 30, direction='axis'), bar(10, 40, direction=None)]
    found = [bar(10, 10), *(bar(10, y, azimuth_deg=270.0) for y in (20, 30, 40))]
    assert of(truth, found)['azimuth/right_direction'] == 0.5
    assert of(truth, found)['azimuth/MAE_deg'] == 0
    unknown = [bar(10, 10, direction='axis', azimuth_deg=None)]
    assert np.isnan([of(truth, unknown)[f'azimuth/{name}'] for name in ('MAE_deg', 'right_direction')]).all()


def test_unknown_measures_are_left_out():
    truth = [bar(10, 10, volume_m3=None), bar(10, 20, volume_m3=1.0), bar(10, 30, volume_m3=2.0)]
    found = [bar(10, 10, volume_m3=50.0), bar(10, 20, volume_m3=1.5), bar(10, 30, volume_m3=None)]
    got = of(truth, found)
    assert got['volume/bias_m3'] == 0.5
    assert got['volume/total_error_percent'] == pytest.approx(-50)  # 1.5 found of 3 labelled
    assert got['length/total_error_percent'] == 0
    nowhere = of([bar(10, 10, volume_m3=None)], [bar(10, 10)])
    assert np.isnan(nowhere['volume/total_error_percent']) and nowhere['count/error_percent'] == 0


def test_trees_that_nobody_is_asked_to_find_are_in_no_sum():
    got = of([bar(10, 10)], [bar(10, 10), bar(10, 50, length=30)], ignored=[bar(10, 50, length=30)])
    assert got['count/error_percent'] == got['length/total_error_percent'] == 0


def test_nothing_found_and_nothing_to_find():
    got = of([bar(10, 10)], [])
    assert got['count/error_percent'] == got['length/total_error_percent'] == -100
    assert np.isnan(got['length/bias_m'])
    assert np.isnan(of([], [bar(10, 10)])['count/error_percent'])


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 4)), max_size=30), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_weighted_means_and_medians_are_those_of_repeated_values(rows, seed):
    numbers, units = [float(value) for value, _ in rows], [unit for _, unit in rows]
    numbers += [np.nan]
    units += [0]
    weights = np.random.default_rng(seed).integers(0, 4, (5, 5)).astype(float)
    median = median_figure('median', '', 0, numbers, units).of(weights)
    mean = mean_figure('mean', '', 0, numbers, units, 5).of(weights)
    for row, a, b in zip(weights, median, mean, strict=True):
        repeated = [value for value, unit in zip(numbers[:-1], units[:-1], strict=True) for _ in range(int(row[unit]))]
        assert a == pytest.approx(np.median(repeated) if repeated else np.nan, nan_ok=True)
        assert b == pytest.approx(np.mean(repeated) if repeated else np.nan, nan_ok=True)


def test_intervals_of_means_and_medians_hold_the_truth():
    """Errors that resemble each other within a unit; true median and mean from very many units."""
    rng = np.random.default_rng(0)
    many = np.exp(rng.normal(0, 0.5, (200_000, 1)) + rng.normal(0, 0.8, (200_000, 4)))
    true, held = (np.median(many), many.mean()), np.zeros(2)
    for world in range(400):
        unit = np.repeat(np.arange(10), rng.integers(2, 12, 10))
        error = np.exp(rng.normal(0, 0.5, 10)[unit] + rng.normal(0, 0.8, len(unit)))
        made = [median_figure('a', 'm', -1, error, unit), mean_figure('b', 'm', -1, error, unit, 10)]
        held += [
            low <= value <= high for value, (_, low, high) in zip(true, intervals(made, 10, 200, world), strict=True)
        ]
    assert (held / 400 >= 0.9).all() and (held / 400 <= 0.98).all(), held / 400


def test_medians_do_not_depend_on_how_many_replicates_are_held_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    figure = median_figure('median', '', 0, rng.normal(size=50), rng.integers(0, 6, 50))
    weights = rng.integers(0, 3, (40, 6)).astype(float)
    whole = figure.of(weights)
    monkeypatch.setattr(errors, 'AT_ONCE', 150)
    assert (figure.of(weights) == whole).all() and len(set(whole)) > 10

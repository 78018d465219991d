"""Measures of trunks whose shape is known."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tree_map.measuring import measure
from tree_map.measuring.centreline import smooth
from tree_map.measuring.volume import by_sections, huber, newton, smalian

GSD = 0.05


def ribbon(xy, base, top):
    """Outline around a line whose width goes evenly from base to top."""
    xy = np.asarray(xy, float)
    along = np.gradient(xy, axis=0)
    normal = along[:, ::-1] * (-1, 1) / np.hypot(*along.T)[:, None]
    at = np.append(0, np.cumsum(np.hypot(*np.diff(xy, axis=0).T)))
    half = np.interp(at, [0, at[-1]], [base / 2, top / 2])[:, None]
    return shapely.Polygon(np.concatenate([xy + half * normal, (xy - half * normal)[::-1]]))


def trunk(azimuth=90.0, length=12.0, base=0.5, top=0.2, start=(0.0, 0.0)):
    way = np.array([np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))])
    return ribbon(np.array(start) + np.linspace(0, length, 50)[:, None] * way, base, top)


def one(polygon, gsd=GSD, **options):
    measures = measure(np.array([polygon], object), gsd, **options)
    return measures.table.iloc[0], measures.centrelines[0]


def apart(a, b):
    return abs((a - b + 180) % 360 - 180)


@given(st.floats(0, 360), st.floats(20, 50), st.floats(0.3, 0.8), st.floats(0.3, 0.8), st.floats(-1e5, 1e5))
@settings(max_examples=40)
def test_a_straight_trunk_is_measured_at_any_azimuth_and_place(azimuth, slimness, base, ratio, shift):
    length = slimness * base
    row, line = one(trunk(azimuth, length, base, ratio * base, (shift, -shift)), mask_error_px=0)
    frustum = np.pi / 12 * length * base**2 * (1 + ratio + ratio**2)
    assert row.length_m == pytest.approx(length, rel=0.01)
    assert row.diameter_base_m == pytest.approx(base * (1 - 0.06 * (1 - ratio)), rel=0.01)
    assert row.diameter_mid_m == pytest.approx(base * (1 + ratio) / 2, rel=0.01)
    assert row.diameter_top_m == pytest.approx(base * ratio, rel=0.03)
    assert frustum * 0.98 < row.volume_m3 < frustum * 1.06  # what flares are taken to add
    assert row.area_m2 == pytest.approx(length * base * (1 + ratio) / 2, rel=1e-3)
    assert row.direction == 'fall' and apart(row.azimuth_deg, azimuth) < 0.1
    assert line.length == pytest.approx(row.length_m) and row.visible_fraction > 0.99
    assert np.hypot(*(np.array(line.coords[0]) - (shift, -shift))) < 0.1


@given(st.floats(0.1, 30), st.floats(0, 360), st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_scale_and_rotation_carry_over_to_all_measures(scale, turn, seed):
    rng = np.random.default_rng(seed)
    along = np.linspace(0, 12, 60)
    rough = shapely.union_all([ribbon(np.stack([along, 0.3 * np.sin(along / 5)], 1), 0.5, 0.25),
                               *(shapely.Point(x, 0.1).buffer(0.25) for x in rng.uniform(0, 12, 3))])  # fmt: skip
    moved = shapely.affinity.rotate(shapely.affinity.scale(rough, scale, scale, origin=(0, 0)), -turn, origin=(0, 0))
    (a, _), (b, _) = one(rough), one(moved, GSD * scale)
    for name, power in (
        ('length_m', 1),
        ('diameter_base_m', 1),
        ('diameter_mid_m', 1),
        ('diameter_top_m', 1),
        ('volume_m3', 3),
        ('area_m2', 2),
        ('length_hi_m', 1),
    ):
        assert b[name] == pytest.approx(a[name] * scale**power, rel=0.02)
    folds = 2 if a.direction == 'axis' else 1  # an axis turned by 180 degrees is the same
    assert b.direction == a.direction and apart(folds * b.azimuth_deg, folds * (a.azimuth_deg + turn)) < 0.3 * folds


@pytest.mark.parametrize('angle', [40, 90, 150])
def test_length_follows_a_bend(angle):
    """An arc of some degrees, 15 m long."""
    radius = 15 / np.radians(angle)
    turn = np.radians(np.linspace(0, angle, 80))
    row, line = one(ribbon(radius * np.stack([np.sin(turn), 1 - np.cos(turn)], 1), 0.5, 0.25))
    assert row.length_m == pytest.approx(15, rel=0.01)
    assert row.volume_m3 == pytest.approx(np.pi / 12 * 15 * 0.5**2 * 1.75, rel=0.05)
    assert apart(row.azimuth_deg, 90 - angle / 2) < 1


def test_a_tree_that_turns_back_on_itself_is_followed():
    turn = np.radians(np.linspace(0, 250, 120))
    radius = 15 / turn[-1]
    row, _ = one(ribbon(radius * np.stack([np.sin(turn), 1 - np.cos(turn)], 1), 0.5, 0.25))
    assert row.length_m == pytest.approx(15, rel=0.04)


def test_a_gap_is_bridged_and_said_as_hidden():
    whole = trunk(70)
    way, across = (np.array([np.sin(np.radians(a)), np.cos(np.radians(a))]) for a in (70, 160))
    row, line = one(whole - trunk(160, 10, 3, 3, start=6 * way - 5 * across))
    assert row.length_m == pytest.approx(12, rel=0.01) and apart(row.azimuth_deg, 70) < 0.2
    assert row.diameter_mid_m == pytest.approx(0.35, rel=0.01)
    assert row.visible_fraction == pytest.approx(0.75, abs=0.01)
    assert row.area_m2 == pytest.approx(12 * 0.35 - 3 * 0.35, rel=0.01) and line.length == pytest.approx(12, rel=0.01)


def test_a_root_plate_is_the_base_and_its_middle_the_end_of_the_stem():
    """The taper says nothing here."""
    plate = shapely.affinity.scale(shapely.Point(0, 0).buffer(1), 0.5, 1.2)
    row, line = one(shapely.union(trunk(90, 12, 0.4, 0.4), plate))
    assert row.direction == 'fall' and apart(row.azimuth_deg, 90) < 0.5
    assert row.length_m == pytest.approx(12, rel=0.02) and row.diameter_base_m == pytest.approx(0.4, rel=0.02)
    assert abs(line.coords[0][0]) < 0.15


def test_a_crown_is_the_top_and_no_part_of_the_stem():
    crown = shapely.Polygon([(8, 0.2), (9, 0.8), (10.5, 0.6), (12.3, 0), (10.5, -0.7), (9, -0.6), (8, -0.2)])
    row, _ = one(shapely.union(trunk(90, 12, 0.4, 0.2), crown))
    assert row.direction == 'fall' and apart(row.azimuth_deg, 90) < 0.5
    assert row.diameter_mid_m == pytest.approx(0.3, rel=0.03) and row.diameter_top_m == pytest.approx(0.2, rel=0.1)
    assert row.length_m == pytest.approx(12, rel=0.02)


def test_where_nothing_tells_the_base_the_axis_is_given():
    for azimuth in (30, 210, 150):
        row, line = one(trunk(azimuth, 12, 0.4, 0.4))
        assert row.direction == 'axis' and 0 <= row.azimuth_deg < 180 and apart(row.azimuth_deg, azimuth % 180) < 0.1
        assert line.coords[0][0] < line.coords[-1][0]


def test_the_thicker_end_is_the_base_even_where_the_fall_is_not_sure():
    for azimuth in (60, 240):
        row, _ = one(trunk(azimuth, 12, 0.4, 0.35), mask_error_px=2)
        assert row.direction == 'axis' and row.diameter_base_m == pytest.approx(0.397, abs=0.004)
        assert row.diameter_top_m == pytest.approx(0.35, abs=0.004)


def test_intervals_hold_what_they_surround_and_widen_with_error_and_level():
    exact, rough, surer = (one(trunk(20), **o)[0] for o in (dict(mask_error_px=0), {}, dict(level=0.99)))
    for name in ('length{}_m', 'diameter_base{}_m', 'diameter_mid{}_m', 'volume{}_m3', 'area{}_m2'):
        low, value, high = (
            np.array([row[name.format(b)] for row in (exact, rough, surer)]) for b in ('_lo', '', '_hi')
        )
        assert (low <= value).all() and (value <= high).all() and (np.diff(high - low) > 0).all()
    assert exact.azimuth_error_deg < rough.azimuth_error_deg < surer.azimuth_error_deg < 10


@pytest.mark.filterwarnings('ignore:invalid value encountered in linearrings')
def test_what_cannot_be_measured_does_not_stop_the_rest():
    odd = [
        shapely.Polygon(), None, shapely.box(0, 0, 10, 0), shapely.LineString([(0, 0), (1, 1)]),
        shapely.Polygon([(0, 0), (np.nan, 1), (1, 0)]),
    ]  # fmt: skip
    sane = [
        shapely.box(0, 0, GSD, GSD), shapely.box(0, 0, 3 * GSD, GSD), shapely.Point(1, 1).buffer(3),
        shapely.box(0, 0, 99, 0.01),
        shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), shapely.Polygon([(0, 0), (GSD, 0), (0, GSD)]),
        shapely.MultiPolygon([shapely.box(0, 0, 5, 0.3), shapely.box(500, 900, 501, 900.3)]),
        shapely.box(0, 0, 500, 500),
    ]  # fmt: skip
    measures = measure(np.array(odd + sane + [trunk()], object), GSD)
    table = measures.table
    assert len(table) == 14 and table.iloc[:5].isna().all().all() and list(measures.centrelines[:5]) == [None] * 5
    numbers = table.iloc[5:].drop(columns='direction').to_numpy(float)
    assert np.isfinite(numbers).all() and (numbers >= 0).all()
    assert table.length_m.iloc[-1] == pytest.approx(12, rel=0.01)
    lengths = dict(zip(range(8), table.length_m.iloc[5:13], strict=True))
    assert (
        lengths[0] < 0.12 and lengths[1] == pytest.approx(0.15, abs=0.06) and lengths[3] == pytest.approx(99, rel=0.01)
    )
    assert lengths[6] == pytest.approx(1030, rel=0.02)


def test_no_trees_give_an_empty_table():
    measures = measure(np.array([], object), GSD)
    assert len(measures.table) == len(measures.centrelines) == 0 and 'volume_hi_m3' in measures.table


@pytest.mark.parametrize('options', [dict(gsd_m=0), dict(gsd_m=0.1, mask_error_px=-1), dict(gsd_m=0.1, level=1)])
def test_settings_without_sense_are_refused(options):
    with pytest.raises(ValueError, match='must hold'):
        measure(np.array([trunk()], object), **options)


def test_formulas_of_volume_are_exact_for_the_solids_they_are_known_to_be():
    at = np.linspace(0, 10, 4001)
    cone, paraboloid, neiloid = 0.5 * (1 - at / 10), 0.5 * np.sqrt(1 - at / 10), 0.5 * (1 - at / 10) ** 1.5
    for solid, share in ((cone, 1 / 3), (paraboloid, 1 / 2), (neiloid, 1 / 4)):
        true = share * 10 * np.pi / 4 * 0.25
        assert by_sections(at, solid) == pytest.approx(true, rel=1e-5)
        assert newton(10, solid[0], solid[2000], solid[-1]) == pytest.approx(true)
    assert [huber(10, paraboloid[2000]), smalian(10, 0.5, 0)] == pytest.approx([10 * np.pi / 8 * 0.25] * 2)
    assert huber(10, cone[2000]) == pytest.approx(3 / 4 * 10 * np.pi / 12 * 0.25)


def test_the_smoother_halves_a_wave_of_its_reach_and_goes_on_straight_over_gaps():
    at = np.arange(400)
    for reach, kept in ((40, 0.5), (10, 1), (160, 0)):
        wave = smooth(np.sin(2 * np.pi * at / 40), np.ones(400), reach)[100:300]
        assert np.ptp(wave) / 2 == pytest.approx(kept, abs=0.03)
    gap = np.where((at > 100) & (at < 300), 0.0, 1.0)
    assert smooth(np.where(gap > 0, 2.0 + at, 0), gap, 40) == pytest.approx(2.0 + at, abs=1e-3)

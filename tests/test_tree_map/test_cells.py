"""Trees summed up by cells."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.errors import DataError
from tree_map.cells import cells, mean_direction


def trees_at(middles, azimuths=None, directions=None, *, crs='EPSG:32633', length=10.0, volume=0.5):
    count = len(middles)
    lines = [shapely.LineString([(x - 1, y), (x + 1, y)]) for x, y in middles]
    columns = dict(
        length_m=np.full(count, length), volume_m3=np.full(count, volume),
        azimuth_deg=np.zeros(count) if azimuths is None else azimuths,
        direction=['fall'] * count if directions is None else directions,
    )  # fmt: skip
    return gpd.GeoDataFrame(columns, geometry=lines, crs=crs)


def test_cells_lie_at_multiples_and_hold_what_lies_in_them():
    found = cells(trees_at([(510, 120), (520, 180), (610, 120), (-10, -10)]), 100)
    assert [part.bounds for part in found.geometry] == [
        (-100, -100, 0, 0), (500, 100, 600, 200), (600, 100, 700, 200)]  # fmt: skip
    assert found['trees'].tolist() == [1, 2, 1] and found.crs == 'EPSG:32633'
    assert found['volume_m3'].tolist() == [0.5, 1.0, 0.5] and found['length_m_per_ha'].tolist() == [10, 20, 10]


def test_figures_per_hectare_divide_by_what_was_mapped_of_a_cell():
    mapped = shapely.box(500, 100, 550, 200).union(shapely.box(700, 100, 725, 200))
    found = cells(trees_at([(510, 120), (520, 180), (610, 120)]), 100, mapped)
    assert found['mapped_ha'].tolist() == pytest.approx([0.5, 0, 0.25])
    assert found['trees'].tolist() == [2, 1, 0]
    np.testing.assert_allclose(found['trees_per_ha'], [4, np.nan, 0])
    np.testing.assert_allclose(found['volume_m3_per_ha'], [2, np.nan, 0])


def test_mapped_area_may_have_holes_and_no_cell_is_made_where_nothing_is_mapped():
    mapped = shapely.box(0, 0, 400, 400) - shapely.box(90, 90, 310, 310)
    found = cells(trees_at([]), 100, mapped)
    assert len(found) == 12 and found['mapped_ha'].sum() == pytest.approx(mapped.area / 1e4)
    assert (found['trees'] == 0).all() and found['mean_direction_deg'].isna().all()


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=30), st.floats(1, 1000))
@settings(max_examples=50)
def test_cells_add_up_to_the_whole(middles, side):
    found = cells(trees_at(middles, crs=None), side)
    assert found['trees'].sum() == len(middles)
    assert found['volume_m3'].sum() == pytest.approx(0.5 * len(middles))
    assert (found['length_m_per_ha'] * found['mapped_ha']).sum() == pytest.approx(10 * len(middles))


def test_mean_direction_goes_over_north_and_axes_are_doubled():
    found = cells(trees_at([(5, 5)] * 2, [350, 10]), 100).iloc[0]
    assert found['mean_direction_deg'] == pytest.approx(0, abs=1e-9) or found['mean_direction_deg'] == pytest.approx(
        360
    )
    assert found['direction_strength'] == pytest.approx(np.cos(np.radians(10)))
    found = cells(trees_at([(5, 5)] * 2, [30, 210]), 100).iloc[0]
    assert found['direction_strength'] == pytest.approx(0, abs=1e-9) and np.isnan(found['mean_direction_deg'])
    assert found['axis_deg'] == pytest.approx(30)


def test_trees_without_known_fall_count_for_the_axis_only():
    found = cells(trees_at([(5, 5)] * 3, [90.0, 170, 10], ['fall', 'axis', 'axis']), 100).iloc[0]
    assert (found['mean_direction_deg'], found['direction_strength']) == (pytest.approx(90), pytest.approx(1))
    assert found['axis_deg'] == pytest.approx(0, abs=1e-6) or found['axis_deg'] == pytest.approx(180)


@given(st.lists(st.floats(0, 360), min_size=1, max_size=20), st.floats(0, 360))
def test_turning_all_turns_the_mean(degrees, by):
    group = np.zeros(len(degrees), int)
    mean, strength = mean_direction(np.array(degrees), group, 1)
    turned, again = mean_direction(np.array(degrees) + by, group, 1)
    assert again[0] == pytest.approx(strength[0], abs=1e-9)
    if strength[0] > 0.01:
        assert np.cos(np.radians(turned[0] - mean[0] - by)) == pytest.approx(1, abs=1e-9)


def test_trees_that_were_not_measured_are_not_counted():
    trees = trees_at([(5, 5), (6, 6)])
    trees.loc[1, ['length_m', 'volume_m3', 'azimuth_deg']] = np.nan
    trees.loc[1, 'geometry'] = None
    assert cells(trees, 100)['trees'].tolist() == [1]


def test_outlines_stand_where_lines_do():
    trees = trees_at([(95, 50)])
    trees['geometry'] = [shapely.box(90, 49, 130, 51)]
    assert cells(trees, 100).geometry.iloc[0].bounds == (100, 0, 200, 100)


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (lambda t: dict(trees=t.drop(columns='azimuth_deg')), 'azimuth_deg is missing'),
        (lambda t: dict(trees=t, cell_m=0), 'above 0 m, not 0'),
        (lambda t: dict(trees=t.set_crs('EPSG:4326', allow_override=True)), 'must be in metres, but EPSG:4326'),
        (lambda t: dict(trees=t, cell_m=0.01, mapped=shapely.box(0, 0, 1000, 1000)), 'make them larger'),
    ],
)
def test_what_cannot_be_summed_is_said(change, said):
    with pytest.raises(DataError, match=said):
        cells(**change(trees_at([(5, 5)])))

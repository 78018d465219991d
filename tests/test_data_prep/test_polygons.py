"""Repair keeps the area, clipping loses nothing, rounding leaves proper rings."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import GeometryCollection, LineString, MultiPolygon, Point, Polygon

from data_prep.polygons import clip, has_holes, polygon_parts, repair, rings, to_tile, unusable

BOW_TIE = Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
RING = Polygon(shapely.box(0, 0, 10, 10).exterior.coords, [shapely.box(3, 3, 6, 6).exterior.coords])

coordinate = st.floats(-20, 84, allow_nan=False).map(lambda value: round(value, 3))


@st.composite
def polygons(draw):
    """Valid polygons, some in parts, drawn as any outline and repaired."""
    points = draw(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=12))
    polygon, _ = repair(Polygon(points))
    return polygon if polygon is not None and polygon.area > 1 else shapely.box(3, 4, 50, 60)


def test_bow_tie_keeps_both_lobes():
    polygon, problem = repair(BOW_TIE)
    assert polygon.area == pytest.approx(50) and polygon.is_valid and len(polygon.geoms) == 2
    assert problem == 'Self-intersection'


def test_overlapping_loops_are_not_cut_out():
    loop = Polygon([(0, 0), (10, 0), (10, 10), (4, 10), (4, -5), (6, -5), (6, 12), (0, 12)])
    assert repair(loop)[0].area == pytest.approx(122)  # even-odd filling would leave 102


def test_collapsed_parts_are_left_out():
    spike = Polygon([(0, 0), (4, 0), (4, 4), (9, 4), (4, 4), (0, 4)])
    polygon, problem = repair(spike)
    assert polygon.geom_type == 'Polygon' and polygon.area == 16 and problem
    assert repair(Polygon([(0, 0), (5, 5), (10, 10)]))[0] is None


def test_valid_polygons_with_holes_and_parts_pass_untouched():
    both = MultiPolygon([RING, shapely.box(20, 20, 22, 22)])
    assert repair(RING) == (RING, None)
    assert shapely.equals(repair(both)[0], both) and repair(both)[1] is None


def test_only_parts_with_area_are_kept():
    mixed = GeometryCollection(
        [Point(0, 0), LineString([(0, 0), (1, 1)]), MultiPolygon([RING]), shapely.box(20, 0, 21, 1)]
    )
    assert polygon_parts(mixed).area == RING.area + 1
    assert polygon_parts(LineString([(0, 0), (1, 1)])) is None and polygon_parts(None) is None


@pytest.mark.parametrize(
    ('geometry', 'reason'),
    [
        (None, 'no readable geometry'),
        (Polygon(), 'empty'),
        (Point(1, 2), 'Point is not a polygon'),
        (LineString([(0, 0), (1, 1)]), 'LineString is not a polygon'),
        (Polygon([(0, 0), (np.nan, 5), (5, 0)]), 'NaN'),
        (Polygon([(0, 0), (np.inf, 5), (5, 0)]), 'infinite'),
    ],
)
def test_unusable(geometry, reason):
    assert reason in unusable(geometry)


@given(polygons())
def test_parts_of_a_grid_add_up_to_the_whole(polygon):
    boxes = [(x, y, x + 16, y + 16) for x in range(-32, 96, 16) for y in range(-32, 96, 16)]
    parts = [part for part in (clip(polygon, item) for item in boxes) if part is not None]
    assert sum(part.area for part in parts) == pytest.approx(polygon.area, rel=1e-9)
    assert shapely.symmetric_difference(shapely.union_all(parts), polygon).area == pytest.approx(0, abs=1e-6)


@given(polygons(), st.integers(0, 40), st.integers(0, 40))
def test_clipped_part_lies_in_the_tile(polygon, x, y):
    part = clip(polygon, (x, y, x + 32, y + 32))
    part = None if part is None else to_tile(part, x, y)
    if part is None:
        return
    x0, y0, x1, y1 = part.bounds
    assert 0 <= x0 < x1 <= 32 and 0 <= y0 < y1 <= 32
    for ring in rings(part):
        assert len(ring) >= 3 and Polygon(ring).area > 0
        assert np.array_equal(ring, np.round(ring, 3))


def test_touching_is_not_overlapping():
    assert clip(shapely.box(0, 0, 10, 10), (10, 0, 20, 10)) is None


def test_flat_rings_vanish_in_rounding():
    hair = MultiPolygon([shapely.box(0, 0, 4, 4), shapely.box(8, 0, 8.0001, 4)])
    assert len(rings(to_tile(hair, 0, 0))) == 1
    assert to_tile(shapely.box(8, 0, 8.0001, 4), 0, 0) is None
    pinhole = Polygon(shapely.box(0, 0, 9, 9).exterior.coords, [shapely.box(3, 3, 3.0001, 4).exterior.coords])
    assert has_holes(pinhole) and not has_holes(to_tile(pinhole, 0, 0))

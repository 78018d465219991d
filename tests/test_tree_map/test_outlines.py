"""Outlines keep the area and place of thin trunks, and smoothing keeps within its bound."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tree_map.outlines import SPECK_PX, low_pass, outline, smooth


def trunk(width, length=160.0, angle=0.4, bend=0.5, centre=(150.3, 140.7)):
    """An arc as a polygon."""
    heading = angle + bend * np.linspace(-0.5, 0.5, 33)
    steps = np.stack([np.cos(heading), np.sin(heading)], 1) * length / 33
    line = np.cumsum(steps, 0)
    return shapely.LineString(line - line.mean(0) + centre).buffer(width / 2, cap_style='flat')


def drawn(polygon):
    """A mask of the pixels whose centres lie inside, and its origin."""
    x0, y0, x1, y1 = np.floor(polygon.bounds).astype(int) + [-1, -1, 2, 2]
    rows, columns = np.mgrid[y0:y1, x0:x1]
    return shapely.contains_xy(polygon, columns + 0.5, rows + 0.5), (x0, y0)


def iou(a, b):
    return a.intersection(b).area / a.union(b).area


@pytest.mark.parametrize('width, area_error, least_iou', [(4, 0.006, 0.93), (6, 0.005, 0.95), (12, 0.004, 0.97)])
def test_thin_trunks_keep_their_area_and_place(width, area_error, least_iou):
    rng = np.random.default_rng(0)
    true = [
        trunk(width, rng.uniform(60, 300), rng.uniform(0, np.pi), rng.uniform(-0.6, 0.6), rng.uniform(200, 201, 2))
        for _ in range(60)
    ]
    traced = [outline(*drawn(polygon)) for polygon in true]
    assert sum(shapely.area(traced)) / sum(shapely.area(true)) == pytest.approx(1, abs=area_error)
    assert np.mean([iou(*pair) for pair in zip(true, traced, strict=True)]) > least_iou
    smoothed = smooth(np.array(traced, object), 0.5)
    assert np.mean([iou(*pair) for pair in zip(true, smoothed, strict=True)]) > least_iou - 0.003
    assert shapely.get_num_coordinates(smoothed).mean() < 0.6 * shapely.get_num_coordinates(traced).mean()


def test_place_is_that_of_pixel_corners():
    mask = np.zeros((30, 40), bool)
    mask[10:20, 5:35] = True
    assert outline(mask, (100, 200)).bounds == pytest.approx((105, 210, 135, 220), abs=0.01)
    assert outline(np.ones((10, 10), bool), (0, 0)).bounds == pytest.approx((0, 0, 10, 10), abs=0.01)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)))
@settings(max_examples=200, deadline=None)
def test_any_mask_gives_a_valid_outline_of_its_area(mask):
    mask[0, 0] = True
    polygon = outline(mask, (7, -3))
    assert polygon.is_valid and polygon.geom_type in ('Polygon', 'MultiPolygon')
    assert abs(polygon.area - mask.sum()) <= 0.03 * mask.sum() + 1e-9
    x0, y0, x1, y1 = polygon.bounds
    assert x0 >= 7 and y0 >= -3 and x1 <= 7 + mask.shape[1] and y1 <= -3 + mask.shape[0]


def test_a_trunk_that_another_crosses_stays_one_outline_of_two_parts():
    mask = np.zeros((20, 100), bool)
    mask[6:14] = True
    mask[:, 45:55] = False
    polygon = outline(mask, (0, 0))
    assert polygon.geom_type == 'MultiPolygon' and len(polygon.geoms) == 2
    assert polygon.area == pytest.approx(mask.sum(), rel=0.02)


def test_holes_stay_and_specks_go():
    mask = np.ones((40, 40), bool)
    mask[10:20, 10:20] = False
    mask[30, 30] = False
    polygon = outline(np.pad(mask, ((0, 0), (0, 10))), (0, 0))
    assert len(polygon.interiors) == 1 and shapely.Polygon(polygon.interiors[0]).area == pytest.approx(100, rel=0.05)
    spotted = np.zeros((40, 60), bool)
    spotted[5:35, 5:35] = spotted[20, 50] = True
    assert outline(spotted, (0, 0)).geom_type == 'Polygon'
    assert 0 < outline(spotted[:, 45:], (0, 0)).area < SPECK_PX


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match='must have a pixel set, all of 7 x 5 are 0'):
        outline(np.zeros((5, 7), bool), (0, 0))


@given(
    width=st.floats(2, 30),
    bend=st.floats(-1, 1),
    tolerance=st.floats(0, 8),
    bound=st.floats(0, 0.05) | st.just(1.0),
    hole=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_smoothing_never_breaks_its_bound(width, bend, tolerance, bound, hole):
    rough = np.array([outline(*drawn(trunk(width, bend=bend))), trunk(width + 3).buffer(0.3)], object)
    if hole:
        rough[1] = rough[1].difference(shapely.Point(rough[1].representative_point()).buffer(width / 4))
    parts = shapely.MultiPolygon([shapely.box(0, 0, 40, 5), shapely.box(50, 0, 80, 5), shapely.box(90, 0, 92, 2)])
    curl = shapely.LineString([(0, 0), (90, 4), (92, 9), (5, 12), (3, 16), (80, 21)]).buffer(width / 12)
    rough = np.append(rough, [parts, curl])
    before = rough.copy()
    smoothed = smooth(rough, tolerance, bound)
    assert shapely.is_valid(smoothed).all()
    change = np.abs(shapely.area(smoothed) / shapely.area(rough) - 1)
    assert (change <= bound + 1e-9).all()
    assert (shapely.get_num_geometries(smoothed) == shapely.get_num_geometries(rough)).all()
    assert (rough == before).all()


def test_smoothing_takes_noise_away_and_stays_near():
    true = trunk(12)
    ring = shapely.get_coordinates(shapely.segmentize(true, 1))[:-1]
    rough = shapely.Polygon(ring + np.random.default_rng(0).uniform(-0.5, 0.5, ring.shape)).buffer(0)
    smoothed = smooth(np.array([rough], object), 0.5)[0]
    assert len(smoothed.exterior.coords) < len(rough.exterior.coords) / 4
    assert smoothed.length < 1.02 * true.length < 1.08 * true.length < rough.length
    assert smoothed.hausdorff_distance(true) < 1.5
    assert smoothed.area == pytest.approx(rough.area, rel=0.02)
    assert smooth(np.array([rough], object), 0)[0].equals_exact(rough)
    assert len(smooth(np.empty(0, object), 1)) == 0


def test_the_filter_itself_does_not_shrink():
    disc = shapely.Point(50, 50).buffer(12, quad_segs=32)
    assert low_pass(np.array([disc], object), 3)[0].area == pytest.approx(disc.area, rel=0.01)

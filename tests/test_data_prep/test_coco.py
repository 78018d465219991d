"""Outlines keep their area; what has holes becomes a mask."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as rle
from shapely.geometry import MultiPolygon, Polygon

from data_prep.coco import annotation, number_records, segmentation
from data_prep.polygons import repair, to_tile

SIZE_WH = (48, 40)


def truth(polygon, oversample=8):
    """Share of each pixel inside a polygon, by points; True where it is most of the pixel."""
    width, height = SIZE_WH
    x, y = ((np.arange(n * oversample) + 0.5) / oversample for n in (width, height))
    inside = shapely.contains_xy(polygon, *np.meshgrid(x, y))
    return inside.reshape(height, oversample, width, oversample).mean(axis=(1, 3))


def test_parts_become_rings():
    both = MultiPolygon([shapely.box(1, 2, 5, 6), Polygon([(10, 10), (20, 10), (15, 20)])])
    outline, area = segmentation(both, SIZE_WH)
    assert len(outline) == 2 and area == 16 + 50
    assert sorted(len(ring) for ring in outline) == [6, 8]
    assert all(isinstance(value, float) for ring in outline for value in ring)
    decoded = rle.decode(rle.merge(rle.frPyObjects(outline, 40, 48)))
    assert abs(int(decoded.sum()) - area) <= 6


def test_holes_become_rle_equal_to_the_truth():
    outer, hole = shapely.box(4, 5, 40, 30), shapely.box(10, 10, 20, 22)
    ring = Polygon(outer.exterior.coords, [hole.exterior.coords])
    island = shapely.box(12, 12, 15, 18)  # a tree in the clearing
    for polygon in (ring, MultiPolygon([ring, island])):
        encoded, area = segmentation(polygon, SIZE_WH)
        assert encoded['size'] == [40, 48] and isinstance(encoded['counts'], str)
        assert np.array_equal(rle.decode(encoded), truth(polygon) == 1)
        assert area == polygon.area == float(rle.area(encoded))


outlines = st.lists(st.tuples(st.floats(0, 48), st.floats(0, 40)), min_size=3, max_size=8)


@given(outlines, outlines)
def test_any_holes_match_the_truth_but_for_edge_pixels(shell, hole):
    shell, hole = repair(Polygon(shell))[0], repair(Polygon(hole))[0]
    if shell is None or hole is None:
        return
    polygon = repair(shapely.difference(shell, hole))[0]
    polygon = None if polygon is None else to_tile(polygon, 0, 0)
    if polygon is None:
        return
    outline, area = segmentation(polygon, SIZE_WH)
    if isinstance(outline, list):
        assert area == pytest.approx(polygon.area, abs=1e-6)
        return
    share = truth(polygon)
    mask = rle.decode(outline) > 0
    edge = shapely.buffer(polygon.boundary, 1.0)
    x, y = np.meshgrid(np.arange(48) + 0.5, np.arange(40) + 0.5)
    far = ~shapely.contains_xy(edge, x, y)
    assert np.array_equal(mask[far], share[far] > 0.5)


def test_annotation_has_its_box_in_xywh():
    entry = annotation(shapely.box(3, 4, 10, 24), SIZE_WH, category_id=2, object_id='s/7', visible_fraction=0.123456789)
    assert entry == {
        'category_id': 2,
        'bbox': [3.0, 4.0, 7.0, 20.0],
        'area': 140.0,
        'iscrowd': 0,
        'segmentation': entry['segmentation'],
        'object_id': 's/7',
        'visible_fraction': 0.123457,
    }


def test_ids_count_from_one():
    content = number_records([({'file_name': 'a'}, []), ({'file_name': 'b'}, [{}, {}])], ['x', 'y'], 'note')
    assert [image['id'] for image in content['images']] == [1, 2]
    assert [(part['id'], part['image_id']) for part in content['annotations']] == [(1, 2), (2, 2)]
    assert [(item['id'], item['name']) for item in content['categories']] == [(1, 'x'), (2, 'y')]
    assert all(item['supercategory'] for item in content['categories'])

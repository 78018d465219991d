"""Labels of every format land on the same pixels; what cannot be used is listed with its reason."""

import json

import numpy as np
import pytest
import shapely
from rasterio.transform import Affine

from data_prep.errors import DataError
from data_prep.imagery.rasters import raster_info
from data_prep.labels.objects import load_objects
from data_prep.scenes import Scene

TREES = [[[10.5, 10], [30, 12], [28, 20]], [[50, 30], [70, 30], [70, 40.25], [50, 40]], [[80, 50], [110, 50], [90, 60]]]
BOW_TIE = [[40, 5], [50, 15], [50, 5], [40, 15]]


@pytest.fixture
def load(tmp_path, write_raster):
    """Load a label file on a raster of 96 x 64 px."""

    def run(labels, label_field='label', keep=None, **profile):
        raster = write_raster(tmp_path / 'scene.tif', **profile)
        return load_objects(Scene('scene', raster, labels), raster_info(raster), label_field, keep)

    return run


def polygons(found):
    return [item.polygon for item in found.objects]


@pytest.mark.parametrize('name', ['a.gpkg', 'a.shp', 'a.geojson', 'a.json'])
def test_vector_files_give_the_same_objects_as_labelme(tmp_path, load, write_labelme, write_vectors, to_map, name):
    expected = load(write_labelme(tmp_path / 'labelme.json', [('tree', tree) for tree in TREES]))
    kind = 'Polygon' if name.endswith('.shp') else 'Unknown'
    features = [('tree', to_map(tree)) for tree in TREES]
    path = write_vectors(tmp_path / name.replace('.json', '.geojson'), features, geometry_type=kind)
    found = load(path.rename(tmp_path / name) if name.endswith('.json') else path)
    assert [item.object_id for item in found.objects] == [f'scene/{n}' for n in (1, 2, 3)]
    for ours, theirs in zip(polygons(found), polygons(expected), strict=True):
        assert shapely.symmetric_difference(ours, theirs).area < 1e-3


@pytest.mark.parametrize('crs', ['EPSG:4326', 'EPSG:25832', 'EPSG:3857'])
def test_other_crs_is_reprojected(tmp_path, load, write_vectors, to_map, crs):
    from rasterio.warp import transform

    def there(xy):
        return np.stack(transform('EPSG:32633', crs, *xy.T), axis=1)

    features = [('tree', shapely.transform(to_map(tree), there)) for tree in TREES]
    found = load(write_vectors(tmp_path / 'a.gpkg', features, crs=crs))
    for ours, theirs in zip(polygons(found), map(shapely.Polygon, TREES), strict=True):
        assert shapely.symmetric_difference(ours, theirs).area < 0.05  # a millimetre of 0.1 m pixels


def test_geojson_without_crs_is_longitude_and_latitude(tmp_path, load, to_map):
    from rasterio.warp import transform

    ring = np.stack(transform('EPSG:32633', 'EPSG:4326', *to_map(TREES[0]).exterior.xy), axis=1).tolist()
    feature = {
        'type': 'Feature',
        'properties': {'label': 'tree'},
        'geometry': {'type': 'Polygon', 'coordinates': [ring]},
    }
    path = tmp_path / 'a.geojson'
    path.write_text(json.dumps({'type': 'FeatureCollection', 'features': [feature]}))
    assert shapely.symmetric_difference(*polygons(load(path)), shapely.Polygon(TREES[0])).area < 0.05


def test_rotated_raster(tmp_path, load, write_vectors):
    placed = Affine.translation(5e5, 5.5e6) * Affine.rotation(30) * Affine.scale(0.1, -0.1)
    there = shapely.Polygon([placed * tuple(point) for point in TREES[0]])
    found = load(write_vectors(tmp_path / 'a.gpkg', [('tree', there)]), transform=placed)
    assert shapely.symmetric_difference(*polygons(found), shapely.Polygon(TREES[0])).area < 1e-3


def test_holes_and_parts_are_kept(tmp_path, load, write_vectors, to_map):
    ring = shapely.Polygon(shapely.box(5, 5, 25, 25).exterior.coords, [shapely.box(10, 10, 15, 15).exterior.coords])
    both = shapely.MultiPolygon([ring, shapely.box(40, 5, 50, 10)])
    (polygon,) = polygons(load(write_vectors(tmp_path / 'a.gpkg', [('tree', to_map(both))])))
    assert shapely.symmetric_difference(polygon, both).area < 1e-3


def test_rectangles_become_polygons(tmp_path, load, write_labelme):
    two = {'label': 'tree', 'points': [[30, 20], [10, 5]], 'shape_type': 'rectangle'}
    four = {'label': 'tree', 'points': [[10, 5], [30, 5], [30, 20], [10, 20]], 'shape_type': 'rectangle'}
    path = write_labelme(tmp_path / 'a.json', [])
    path.write_text(json.dumps({'shapes': [two, four]}))
    found = load(path)
    assert all(shapely.equals(polygon, shapely.box(10, 5, 30, 20)) for polygon in polygons(found))


def grouped(points, group, label='tree', **more):
    return {'label': label, 'points': points, 'group_id': group, **more}


def square(x, y, side=10):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def test_labelme_shapes_of_one_label_and_group_are_one_object(tmp_path, load, write_labelme):
    shapes = [grouped(square(5, 5), 1), grouped(square(50, 5), 2), grouped(square(20, 5), 1),
              grouped(square(70, 5), 2, 'log'), *(grouped(square(x, 40), None) for x in (5, 20))]  # fmt: skip
    path = write_labelme(tmp_path / 'a.json', [])
    path.write_text(json.dumps({'shapes': shapes}))
    found = load(path)
    assert [item.feature for item in found.objects] == [1, 2, 4, 5, 6]
    assert [(note.feature, note.reason) for note in found.skipped] == [(3, 'part of feature 1, by its group_id')]
    assert [len(shapely.get_parts(polygon)) for polygon in polygons(found)] == [2, 1, 1, 1, 1]
    parts = shapely.get_parts(polygons(found)[0])
    assert [part.exterior.coords[:-1] for part in parts] == [[*map(tuple, square(5, 5))], [*map(tuple, square(20, 5))]]


def test_parts_of_a_labelme_group_that_touch_are_one_and_holes_are_cut_out(tmp_path, load, write_labelme):
    hole = {'flags': {'hole': True}}
    shapes = [grouped(square(5, 5), 1), grouped(square(15, 5), 1), grouped(square(50, 5, 20), 2),
              grouped(square(55, 10, 5), 2, **hole)]  # fmt: skip
    path = write_labelme(tmp_path / 'a.json', [])
    path.write_text(json.dumps({'shapes': shapes}))
    found = load(path)
    one, ring = polygons(found)
    assert shapely.equals(one, shapely.box(5, 5, 25, 15)) and not found.repaired and not found.dropped
    assert shapely.equals(ring, shapely.box(50, 5, 70, 25).difference(shapely.box(55, 10, 60, 15)))


def test_a_group_without_its_broken_shapes(tmp_path, load, write_labelme):
    shapes = [grouped([[1, 1], [2, 2]], 1), grouped(square(5, 5), 1), grouped(BOW_TIE, 1)]
    path = write_labelme(tmp_path / 'a.json', [])
    path.write_text(json.dumps({'shapes': shapes}))
    found = load(path)
    assert [item.feature for item in found.objects] == [2] and [note.feature for note in found.dropped] == [1]
    assert polygons(found)[0].area == pytest.approx(100 + 50) and [note.feature for note in found.skipped] == [3]


def test_every_feature_is_an_object_or_listed(tmp_path, load, write_labelme):
    good, nan = TREES[0], float('nan')
    shapes = [
        ('tree', good),
        ('tree', BOW_TIE),
        ('tree', [[1, 1], [nan, 5], [9, 9]]),
        ('tree', [[1, 1], [5, 5]]),
        ('tree', [[1, 1], [5, 5], [9, 9]]),
        ('tree', [[200, 200], [210, 200], [210, 210]]),
        ('tree', [[96, 0], [99, 0], [99, 9]]),
        ('tree', []),
        ('tree', 'nonsense'),
        ('tree', [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        ('tree', good),
    ]
    path = write_labelme(tmp_path / 'a.json', shapes)
    content = json.loads(path.read_text())
    content['shapes'] += [{'label': 'tree', 'points': good, 'shape_type': 'line'}, {'label': 'tree'}]
    path.write_text(json.dumps(content))
    found = load(path)
    assert [item.object_id for item in found.objects] == ['scene/1', 'scene/2', 'scene/11']
    assert [(note.file, note.feature, note.reason) for note in found.repaired] == [('a.json', 2, 'Self-intersection')]
    assert found.objects[1].polygon.area == pytest.approx(50)
    assert {note.feature: note.reason for note in found.dropped} == {
        3: 'coordinates are NaN or infinite',
        4: 'fewer than 3 points (2)',
        5: 'no area',
        6: 'wholly outside the raster',
        7: 'wholly outside the raster',
        8: 'fewer than 3 points (0)',
        9: 'points are not pairs of numbers',
        10: 'points are not pairs of numbers',
        12: 'shape type line is not a polygon',
        13: 'points are not pairs of numbers',
    }


def test_vector_features_that_are_no_polygons_are_listed(tmp_path, load, write_vectors, to_map):
    line = shapely.LineString(np.asarray(to_map(TREES[0]).exterior.coords))
    features = [('tree', line), ('tree', to_map(TREES[0])), ('tree', None), ('tree', shapely.Polygon())]
    found = load(write_vectors(tmp_path / 'a.gpkg', features))
    assert [item.object_id for item in found.objects] == ['scene/2']
    assert [note.reason.split()[0] for note in found.dropped] == ['LineString', 'no', 'empty']


def test_broken_geojson_geometry_is_listed_alone(tmp_path, load, to_map):
    def feature(geometry):
        return {'type': 'Feature', 'properties': {'label': 'tree'}, 'geometry': geometry}

    good = [np.asarray(to_map(TREES[0]).exterior.coords).tolist()]
    unclosed = [good[0][:-1]]
    broken = [None, {}, {'type': 'Polygon'}, {'type': 'Polygon', 'coordinates': [[1, 2]]}, {'type': 'Cube'}, 7]
    crs = {'type': 'name', 'properties': {'name': 'urn:ogc:def:crs:EPSG::32633'}}
    features = [feature(geometry) for geometry in broken]
    features += [feature({'type': 'Polygon', 'coordinates': rings}) for rings in (good, unclosed)]
    path = tmp_path / 'a.geojson'
    path.write_text(json.dumps({'type': 'FeatureCollection', 'crs': crs, 'features': features}))
    found = load(path)
    assert [item.feature for item in found.objects] == [7, 8]
    assert [note.feature for note in found.dropped] == [1, 2, 3, 4, 5, 6]


def test_places_that_proj_refuses_are_outside_and_spare_the_others(tmp_path, load, write_vectors, to_map):
    from rasterio.warp import transform

    good = shapely.transform(to_map(TREES[0]), lambda xy: np.stack(transform('EPSG:32633', 'EPSG:4326', *xy.T), axis=1))
    features = [('tree', shapely.box(500_000, 5_000_000, 500_010, 5_000_010)), ('tree', good)]
    found = load(write_vectors(tmp_path / 'a.gpkg', features, crs='EPSG:4326'))
    assert [item.feature for item in found.objects] == [2]
    assert [note.reason for note in found.dropped] == ['wholly outside the raster']


def test_all_outside_is_an_error(tmp_path, load, write_labelme):
    with pytest.raises(DataError, match=r'a\.json: every polygon lies outside .*scene\.tif'):
        load(write_labelme(tmp_path / 'a.json', [('tree', [[200, 200], [210, 200], [210, 210]])]))


def test_empty_files_are_scenes_without_objects(tmp_path, load, write_labelme, write_vectors):
    assert load(write_labelme(tmp_path / 'a.json', [])).objects == []
    assert load(write_vectors(tmp_path / 'a.gpkg', [])).objects == []
    assert load(None).objects == []


def test_labels_are_kept_skipped_or_refused(tmp_path, load, write_labelme):
    path = write_labelme(tmp_path / 'a.json', [('tree', TREES[0]), ('stump', TREES[1])])
    found = load(path, keep=lambda label: label == 'tree')
    assert [note.feature for note in found.skipped] == [2] and len(found.objects) == 1

    def refuse(label):
        if label == 'stump':
            raise ValueError('unknown')
        return True

    with pytest.raises(DataError, match=r'a\.json, feature 2: unknown'):
        load(path, keep=refuse)


@pytest.mark.parametrize('label', [None, '', '  '])
def test_missing_label_is_refused(tmp_path, load, write_labelme, label):
    with pytest.raises(DataError, match=r'a\.json, feature 1 has no label'):
        load(write_labelme(tmp_path / 'a.json', [(label, TREES[0])]))


def test_other_label_field(tmp_path, load, write_vectors, to_map):
    path = write_vectors(tmp_path / 'a.gpkg', [('oak', to_map(TREES[0]))], field='species')
    assert load(path, 'species').objects[0].label == 'oak'
    with pytest.raises(DataError, match=r"has no field 'label' \(fields: species\); pass --label-field"):
        load(path)

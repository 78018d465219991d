"""Maps written in every format and read back by others' readers and by our own."""

import json
import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from data_prep.errors import DataError
from tree_map.columns import CELLS, CENTRELINES, LAYERS, TREES, complete, empty_layer, markdown
from tree_map.scene_map import SceneMap
from tree_map.writing import WRITERS, check_output, write_map
from tree_map.writing.coco import coco_content, write_coco
from tree_map.writing.rings import rings, without_holes

from .drawn_map import CREATED, GSD, ODD, SIDE, drawn_map, provenance

pytestmark = pytest.mark.filterwarnings('error', 'ignore:__array__')  # the latter is pycocotools'
ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = sorted(WRITERS)


@pytest.fixture(scope='module')
def made():
    return drawn_map()


@pytest.fixture(scope='module')
def folder(made, tmp_path_factory):
    """The map in all formats, in a folder with a name that trips URLs, archives and shells."""
    folder = tmp_path_factory.mktemp('maps') / "wald ä!b;c#d?e%20'f.zip"
    folder.mkdir()
    for suffix in SUFFIXES:
        write_map(made, folder / f'wind!wurf; ü{suffix}')
    return folder


def there(folder, suffix):
    return folder / f'wind!wurf; ü{suffix}'


def test_nothing_else_is_in_the_folder(folder):
    assert sorted(path.suffix for path in folder.iterdir()) == SUFFIXES


@pytest.mark.parametrize('layer', LAYERS, ids=lambda layer: layer.name)
def test_geopackage_gives_back_every_layer(made, folder, layer, tmp_path):
    plain = tmp_path / 'plain.gpkg'  # readers stumble over such names, the writer does not
    plain.write_bytes(there(folder, '.gpkg').read_bytes())
    found, wanted = gpd.read_file(plain, layer=layer.name), getattr(made, layer.name)
    assert found.crs == made.crs and list(found.columns) == [*layer.names, 'geometry']
    assert np.allclose(found.area, wanted.area) and np.allclose(found.length, wanted.length)
    assert found.geometry.geom_equals(wanted.geometry).all()
    for column in layer.columns:
        left, right = found[column.name].to_numpy('object'), wanted[column.name].to_numpy('object')
        missing = pd.isna(right)
        assert (pd.isna(left) == missing).all(), column
        assert (left[~missing] == right[~missing]).all(), column


def test_geojson_is_what_rfc_7946_asks_for(made, folder):
    content = json.loads(there(folder, '.geojson').read_text('utf-8'))
    assert content['type'] == 'FeatureCollection' and 'crs' not in content
    assert content['provenance'] == {**made.provenance, 'unread_windows': made.unread}
    assert len(content['features']) == len(made.trees)
    for feature in content['features']:
        geometry = shapely.geometry.shape(feature['geometry'])
        for part in shapely.get_parts(geometry):
            assert part.exterior.is_ccw and not any(hole.is_ccw for hole in part.interiors)
        assert list(feature['properties']) == TREES.names
    geometries = [feature['geometry'] for feature in content['features']]
    decimals = [len(number.partition('.')[2]) for number in re.findall(r'15\.\d+', json.dumps(geometries))]
    assert max(decimals) == 8


def test_geojson_comes_back_to_the_centimetre(made, folder, tmp_path):
    plain = tmp_path / 'plain.geojson'
    plain.write_bytes(there(folder, '.geojson').read_bytes())
    found = gpd.read_file(plain)
    back = found.to_crs(made.crs)
    moved = [a.hausdorff_distance(b) for a, b in zip(back.geometry, made.trees.geometry, strict=True)]
    assert max(moved) < 0.01
    assert np.allclose(back.area, made.trees.area, rtol=0.005)
    assert found['class'].tolist() == made.trees['class'].tolist()
    assert found['tree_id'].tolist() == made.trees['tree_id'].tolist()


def test_csv_has_a_row_for_each_tree(made, folder):
    found = pd.read_csv(there(folder, '.csv'))
    assert list(found.columns) == [*TREES.names, 'x', 'y', 'lon', 'lat', 'crs']
    assert found['class'].tolist() == made.trees['class'].tolist()  # a line break and quotes inside
    assert np.allclose(found['x'], made.trees.centroid.x, atol=1e-3, rtol=0) and set(found['crs']) == {'EPSG:32633'}
    geographic = gpd.GeoSeries(gpd.points_from_xy(found['lon'], found['lat']), crs=4326).to_crs(made.crs)
    assert geographic.distance(made.trees.centroid).max() < 0.01
    assert np.allclose(found['length_m'], made.trees['length_m'], equal_nan=True)
    assert found['volume_m3'].isna().all() and found['seam_joined'].tolist() == made.trees['seam_joined'].tolist()


def test_coco_lies_in_source_pixels(made, folder):
    from pycocotools.coco import COCO

    content = json.loads(there(folder, '.json').read_text('utf-8'))
    assert [category['id'] for category in content['categories']] == [1, 2, 3, 4]
    assert [category['name'] for category in content['categories']] == ODD
    image = content['images'][0]
    assert (image['width'], image['height'], image['window_xywh']) == (SIDE, SIDE, [0, 0, SIDE, SIDE])
    assert image['transform'] == made.provenance['transform'] and image['crs'] == 'EPSG:32633'
    assert image['gsd_m'] == GSD  # of the source, not of the finer grid that the network saw
    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    pixels = np.array([coco.annToMask(annotation).sum() for annotation in content['annotations']])
    areas = made.trees.area.to_numpy() / GSD**2
    assert np.allclose([annotation['area'] for annotation in content['annotations']], areas)
    holes = np.array([bool(sum(len(p.interiors) for p in shapely.get_parts(g))) for g in made.trees.geometry])
    assert holes.any() and np.median(np.abs(pixels / areas - 1)) < 0.1
    assert np.abs(pixels / areas - 1)[holes].max() < 0.1
    first = content['annotations'][0]
    assert first['object_id'] == 'stand 7 ü/1' and first['score'] == made.trees['score'][0]
    x, y, width, height = first['bbox']
    x0, y0, x1, y1 = made.trees.geometry[0].bounds
    corner = ((x0 - 500_000) / GSD, (5_500_000 - y1) / GSD)
    assert np.allclose([x, y], corner, atol=1e-3)
    assert np.allclose([width, height], [(x1 - x0) / GSD, (y1 - y0) / GSD], atol=2e-3)


def test_coco_passes_our_own_check(folder, tmp_path, data_prep):
    path = tmp_path / 'found.json'
    path.write_bytes(there(folder, '.json').read_bytes())
    code, out, err = data_prep('check', path)
    assert code < 2, out + err


def test_the_same_map_gives_the_same_bytes(made, folder, tmp_path):
    for suffix in SUFFIXES:
        write_map(drawn_map(), tmp_path / f'again{suffix}')
        assert (tmp_path / f'again{suffix}').read_bytes() == there(folder, suffix).read_bytes(), suffix


@pytest.mark.parametrize('crs', ['EPSG:32633', None, 'EPSG:4326', '+proj=tmerc +lon_0=15.5 +ellps=bessel +units=m'])
def test_a_map_without_a_tree_is_a_map(tmp_path, crs):
    empty = SceneMap.empty(crs, provenance=provenance())
    for suffix in SUFFIXES:
        if suffix != '.geojson' or crs:
            write_map(empty, tmp_path / f'm{suffix}')
    for layer in LAYERS:
        found = gpd.read_file(tmp_path / 'm.gpkg', layer=layer.name)
        assert len(found) == 0 and list(found.columns) == [*layer.names, 'geometry']
        assert (found.crs is None) == (crs is None)
    assert json.loads((tmp_path / 'm.json').read_text())['annotations'] == []
    assert pd.read_csv(tmp_path / 'm.csv').columns[: len(TREES.names)].tolist() == TREES.names
    if crs:
        assert json.loads((tmp_path / 'm.geojson').read_text())['features'] == []


def test_a_scene_without_crs_stays_in_pixels(tmp_path):
    made = drawn_map(crs=None)
    for suffix in ('.gpkg', '.csv', '.json'):
        write_map(made, tmp_path / f'm{suffix}')
    found = gpd.read_file(tmp_path / 'm.gpkg', layer='trees')
    assert found.crs is None and np.allclose(found.area, made.trees.area)
    table = pd.read_csv(tmp_path / 'm.csv')
    assert table['y_px'].between(0, SIDE).all() and 'lon' not in table
    image = json.loads((tmp_path / 'm.json').read_text())['images'][0]
    assert image['crs'] is None and image['transform'] == [1, 0, 0, 0, 1, 0]
    with pytest.raises(DataError, match='GeoJSON holds longitude'):
        write_map(made, tmp_path / 'm.geojson')


def test_a_crs_without_a_code_is_kept(tmp_path):
    made = drawn_map(4, crs='+proj=tmerc +lon_0=15.5 +ellps=bessel +units=m')
    write_map(made, tmp_path / 'm.gpkg')
    found = gpd.read_file(tmp_path / 'm.gpkg', layer='trees').crs
    assert 15.5 in [parameter.value for parameter in found.coordinate_operation.params]


def test_photos_share_one_coco_file(tmp_path):
    write_coco([drawn_map(3, crs=None), drawn_map(2, crs=None, seed=1)], tmp_path / 'm.json')
    content = json.loads((tmp_path / 'm.json').read_text())
    assert [annotation['image_id'] for annotation in content['annotations']] == [1, 1, 1, 2, 2]
    assert [annotation['id'] for annotation in content['annotations']] == [1, 2, 3, 4, 5]
    with pytest.raises(DataError, match='same classes'):
        coco_content([drawn_map(1), drawn_map(1, classes=['tree'])])


def test_coco_says_what_the_provenance_lacks():
    made = drawn_map(1)
    for key in ('classes', 'width', 'transform'):
        with pytest.raises(ValueError, match=key):
            coco_content([SceneMap(made.trees, provenance={k: v for k, v in made.provenance.items() if k != key})])


@pytest.mark.parametrize(('name', 'said'), [('m.shp', 'must end in'), ('m', 'must end in'), ('no/m.gpkg', 'no folder')])
def test_names_that_cannot_be_written_are_told_before_the_work(tmp_path, name, said):
    with pytest.raises(DataError, match=said) as caught:
        check_output(tmp_path / name)
    assert '\n' not in str(caught.value)


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / 'm.gpkg').mkdir()
    with pytest.raises(DataError, match='a folder is there'):
        write_map(drawn_map(1), tmp_path / 'm.gpkg')


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('name', ['a\0b', 'half \ud83c'])
def test_text_that_no_file_can_hold_is_refused(tmp_path, suffix, name):
    with pytest.raises(DataError, match="'class' must hold text"):
        write_map(drawn_map(2, classes=[name]), tmp_path / f'm{suffix}')
    assert list(tmp_path.iterdir()) == []


def test_an_older_map_is_replaced_whole(tmp_path):
    for suffix in SUFFIXES:
        write_map(drawn_map(30), tmp_path / f'm{suffix}')
        before = (tmp_path / f'm{suffix}').read_bytes()
        with open(tmp_path / f'm{suffix}', 'rb') as reader:  # who has the older one open keeps it
            write_map(drawn_map(2), tmp_path / f'm{suffix}')
            assert reader.read() == before != (tmp_path / f'm{suffix}').read_bytes()
    assert len(gpd.read_file(tmp_path / 'm.gpkg', layer='trees')) == 2
    assert len(json.loads((tmp_path / 'm.json').read_text())['annotations']) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [f'm{suffix}' for suffix in SUFFIXES]


def test_columns_are_completed_and_others_kept():
    frame = gpd.GeoDataFrame({'note': ['a'], 'parts': [2.0], 'score': ['0.5']}, geometry=[shapely.Point(0, 0)])
    whole = complete(frame.set_index(pd.Index([7])), TREES)
    assert list(whole.columns) == [*TREES.names, 'note', 'geometry'] and whole['parts'].tolist() == [2]
    assert whole['volume_m3'].isna().all() and whole['score'].tolist() == [0.5]
    with pytest.raises(ValueError, match="column 'parts'"):
        complete(frame.assign(parts='many'), TREES)
    assert list(empty_layer(CELLS).columns) == [*CELLS.names, 'geometry']


def test_layers_of_two_crs_are_refused():
    made = drawn_map(2)
    with pytest.raises(ValueError, match='one CRS'):
        SceneMap(made.trees, made.centrelines.set_crs(25832, allow_override=True))


@given(st.lists(st.tuples(st.floats(1, 9), st.floats(1, 9), st.floats(0.05, 1.5)), max_size=6))
def test_cutting_through_holes_keeps_the_area(holes):
    solid = shapely.box(0, 0, 10, 10)
    for x, y, radius in holes:
        solid = solid.difference(shapely.Point(x, y).buffer(radius))
    pieces = [piece for part in shapely.get_parts(solid) for piece in without_holes(part)]
    assert not any(len(piece.interiors) for piece in pieces)
    assert np.isclose(sum(piece.area for piece in pieces), solid.area)
    assert np.isclose(shapely.union_all(pieces).area, solid.area)
    assert np.isclose(sum(shapely.Polygon(ring).area for ring in rings(solid)), solid.area, rtol=1e-3)


def test_the_readme_lists_the_columns_as_they_are_written():
    text = (ROOT / 'projects/tree_map/README.md').read_text('utf-8')
    for layer in (TREES, CENTRELINES, CELLS):
        assert markdown(layer) in text, f'put this into the README:\n{markdown(layer)}'


def test_the_date_is_the_maps_own(folder, tmp_path):
    import sqlite3

    plain = tmp_path / 'plain.gpkg'
    plain.write_bytes(there(folder, '.gpkg').read_bytes())
    with sqlite3.connect(plain) as base:
        dates = {date for (date,) in base.execute('SELECT last_change FROM gpkg_contents')}
    assert dates == {'2026-11-21T08:00:00.000Z'} and CREATED.endswith('+02:00')

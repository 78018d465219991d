"""The GeoPackage as others open it: GDAL's command line, its own check of the standard, and QGIS drawing it."""

import json
import re
import shutil
import sqlite3
import subprocess
from functools import cache
from importlib.resources import files
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio

from tree_map.columns import LAYERS
from tree_map.scene_map import SceneMap
from tree_map.writing import write_map
from tree_map.writing.geopackage import NO_DATE

from .drawn_map import ODD, ORIGIN, drawn_map

PICTURE = 800  # pixels a side
SYSTEM_PYTHON = '/usr/bin/python3'  # Debian's, for which its packages of QGIS and GDAL are built
VALIDATOR = '/usr/lib/python3/dist-packages/osgeo_utils/samples/validate_gpkg.py'


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp('karte ä') / 'wald 松.gpkg'
    write_map(drawn_map(), path)
    return path


@pytest.fixture(scope='module')
def base(path):
    with sqlite3.connect(path) as base:
        yield base
    base.close()


def test_it_is_a_geopackage(base):
    assert base.execute('PRAGMA application_id').fetchone()[0] == int.from_bytes(b'GPKG')
    assert base.execute('PRAGMA user_version').fetchone()[0] == 10300
    assert base.execute('PRAGMA integrity_check').fetchone()[0] == 'ok'
    assert base.execute('PRAGMA foreign_key_check').fetchall() == []
    found = dict(base.execute('SELECT table_name, data_type FROM gpkg_contents'))
    assert found == {'trees': 'features', 'centrelines': 'features', 'cells': 'features', 'provenance': 'attributes',
                     'layer_styles': 'attributes'}  # fmt: skip
    kinds = dict(base.execute('SELECT table_name, geometry_type_name FROM gpkg_geometry_columns'))
    assert kinds == {'trees': 'MULTIPOLYGON', 'centrelines': 'LINESTRING', 'cells': 'MULTIPOLYGON'}
    assert {srs for (srs,) in base.execute('SELECT srs_id FROM gpkg_geometry_columns')} == {32633}


@pytest.mark.parametrize('layer', LAYERS, ids=lambda layer: layer.name)
def test_the_index_holds_every_feature(base, layer):
    (rows,) = base.execute(f'SELECT count(*) FROM "{layer.name}"').fetchone()
    assert base.execute(f'SELECT count(*) FROM "rtree_{layer.name}_geom"').fetchone() == (rows,) and rows > 0
    extension = "SELECT count(*) FROM gpkg_extensions WHERE extension_name = 'gpkg_rtree_index' AND table_name = ?"
    assert base.execute(extension, (layer.name,)).fetchone() == (1,)


@pytest.mark.parametrize('layer', LAYERS, ids=lambda layer: layer.name)
def test_every_column_is_described(base, layer):
    rows = base.execute('SELECT column_name, title, description FROM gpkg_data_columns WHERE table_name = ?',
                        (layer.name,)).fetchall()  # fmt: skip
    assert [name for name, _, _ in rows] == layer.names
    for (_, title, description), column in zip(rows, layer.columns, strict=True):
        assert column.meaning in description and f'[{column.unit}]' in title or not column.unit
    described = base.execute('SELECT description FROM gpkg_contents WHERE table_name = ?', (layer.name,)).fetchone()
    assert described == (layer.meaning,)
    there = [row[1] for row in base.execute(f'PRAGMA table_info("{layer.name}")')]
    assert there == ['fid', 'geom', *layer.names]


def test_how_it_was_made_is_a_table(base):
    found, made = dict(base.execute('SELECT key, value FROM provenance')), drawn_map(1)
    assert list(found) == [*made.provenance, 'unread_windows']
    assert json.loads(found['classes']) == ODD and found['stretch_lo_hi'] is None and found['score_thr'] == '0.25'
    assert json.loads(found['unread_windows']) == made.unread


def test_how_it_was_made_is_metadata_of_the_trees(path):
    found, made = pyogrio.read_info(path, layer='trees')['layer_metadata'], drawn_map(1)
    assert found['checkpoint_sha256'] == 'ab' * 32 and json.loads(found['classes']) == ODD
    assert set(found) - {'DESCRIPTION', 'unread_windows'} == {k for k, v in made.provenance.items() if v is not None}


def test_readers_leave_no_file_beside_it(tmp_path):
    write_map(drawn_map(2), tmp_path / 'm.gpkg')
    pyogrio.set_gdal_config_options({'GDAL_PAM_ENABLED': 'YES'})  # as it is by itself
    try:
        gpd.read_file(tmp_path / 'm.gpkg', layer='trees')
    finally:
        pyogrio.set_gdal_config_options({'GDAL_PAM_ENABLED': None})
    assert [path.name for path in tmp_path.iterdir()] == ['m.gpkg']


def test_styles_are_defaults(base):
    rows = base.execute('SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles').fetchall()
    assert [row[:3] for row in rows] == [('trees', 'geom', 1), ('centrelines', 'geom', 1), ('cells', 'geom', 1)]
    for name, _, _, style in rows:
        assert style == files('tree_map.writing').joinpath('styles', f'{name}.qml').read_text('utf-8')


def test_a_map_without_a_date_has_always_the_same(tmp_path):
    made = drawn_map(1, created=None)
    write_map(made, tmp_path / 'm.gpkg')
    with sqlite3.connect(tmp_path / 'm.gpkg') as base:
        assert {date for (date,) in base.execute('SELECT last_change FROM gpkg_contents')} == {NO_DATE}


def test_ogrinfo_reads_it_without_a_warning(path):
    if not shutil.which('ogrinfo'):
        pytest.skip('ogrinfo is absent: apt-get install gdal-bin')
    done = subprocess.run(['ogrinfo', '-so', '-al', path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == '', done.stderr
    for layer, kind, count in (
        ('trees', 'Multi Polygon', 40),
        ('centrelines', 'Line String', 40),
        ('cells', 'Multi', 4),
    ):
        assert re.search(f'Layer name: {layer}\n.*?Geometry: {kind}.*?Feature Count: {count}\n', done.stdout, re.S)
    assert '32633' in done.stdout and ODD[3] in done.stdout  # provenance as metadata


@pytest.mark.parametrize('made', [drawn_map(), drawn_map(crs=None), SceneMap.empty('EPSG:32633')],
                         ids=['map', 'pixels', 'empty'])  # fmt: skip
def test_gdals_check_of_the_standard_finds_nothing(made, tmp_path):
    if not Path(VALIDATOR).is_file():
        pytest.skip('the check is absent: apt-get install python3-gdal')
    write_map(made, tmp_path / 'm.gpkg')
    done = subprocess.run([SYSTEM_PYTHON, VALIDATOR, '--warning-as-error', '--extra', tmp_path / 'm.gpkg'],
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@cache
def has_qgis():
    return subprocess.run([SYSTEM_PYTHON, '-c', 'import qgis.core'], capture_output=True).returncode == 0


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    """Maps drawn by one QGIS without a screen: name -> pixels, and what QGIS says of the layers."""
    if not Path(SYSTEM_PYTHON).exists() or not has_qgis():
        pytest.skip('QGIS is absent: apt-get install python3-qgis')
    folder, jobs = tmp_path_factory.mktemp('qgis ä'), []
    for name, (made, bounds, layers) in maps().items():
        write_map(made, folder / f'{name} ü.gpkg')
        jobs.append([str(folder / f'{name} ü.gpkg'), str(folder / f'{name}.png'), bounds, layers])
    script = Path(__file__).with_name('draw_in_qgis.py')
    done = subprocess.run(
        [SYSTEM_PYTHON, script, json.dumps(jobs), str(PICTURE)], capture_output=True, text=True, timeout=120,
        env={'QT_QPA_PLATFORM': 'offscreen', 'PATH': '/usr/bin:/bin', 'HOME': str(folder), 'LANG': 'C.UTF-8'},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pictures = []
    for _, picture, *_ in jobs:
        with rasterio.open(picture) as dataset:
            pictures.append(dataset.read()[:3].transpose(1, 2, 0))
    return dict(zip(maps(), zip(pictures, json.loads(done.stdout.splitlines()[-1]), strict=True), strict=True))


def maps():
    """Maps with the part of them to be drawn, and the layers, from the top."""
    (x, y), layers = ORIGIN, ['centrelines', 'trees', 'cells']
    whole, pixels, single = drawn_map(60), drawn_map(crs=None), drawn_map(1)
    whole.trees.loc[:, 'score'] = np.tile([0.2, 0.4, 0.6, 0.8, 0.95], 12)
    axis = SceneMap(single.trees, single.centrelines.assign(direction='axis'))
    fall = SceneMap(single.trees, single.centrelines.assign(direction='fall'))
    return {
        'whole': (whole, [x, y - 200, x + 200, y], layers),
        'pixels': (pixels, [0, -2000, 2000, 0], ['trees']),
        'empty': (SceneMap.empty('EPSG:32633'), [x, y - 200, x + 200, y], layers),
        'fall': (fall, around(single), ['centrelines']),
        'axis': (axis, around(single), ['centrelines']),
    }


def around(made):
    """A square around the only tree."""
    x, y = made.centrelines.geometry[0].centroid.coords[0]
    return [x - 15, y - 15, x + 15, y + 15]


def colours_of(name):
    """Fills of a style, from its first class to its last."""
    style = files('tree_map.writing').joinpath('styles', f'{name}.qml').read_text('utf-8')
    return [tuple(map(int, found.split(',')[:3])) for found in re.findall(r'name="color" value="([^"]*)"', style)]


def shows(pixels, colour):
    return int((np.abs(pixels.astype(int) - colour).max(axis=2) <= 2).sum())


def test_qgis_opens_the_map_in_its_own_style(drawn):
    pixels, said = drawn['whole']
    assert {name: found['renderer'] for name, found in said.items()} == {
        'centrelines': 'RuleRenderer', 'trees': 'graduatedSymbol', 'cells': 'graduatedSymbol'}  # fmt: skip
    for name, found in said.items():
        assert found['valid'] and found['index'] and found['crs'] == 'EPSG:32633'
        assert found['style'].startswith(f'{name} by ') and found['features'] == (4 if name == 'cells' else 60)
    for colour in colours_of('trees'):
        assert shows(pixels, colour) > 50, colour
    half = PICTURE // 2
    cuts = [(slice(i, i + half), slice(j, j + half)) for j in (0, half) for i in (0, half)]
    for cut, number in zip(cuts, (0, 1, 3, 5), strict=True):  # 0, 8, 40 and 150 trees/ha, over white
        colour = tuple(round((value + 255) / 2) for value in colours_of('cells')[number])
        assert shows(pixels[cut], colour) > 0.5 * half**2, (number, colour)


def test_qgis_draws_an_arrow_at_the_top_where_the_direction_is_known(drawn):
    bounds, line = around(drawn_map(1)), drawn_map(1).centrelines.geometry[0]
    dark = {}
    for direction in ('fall', 'axis'):
        for name, (x, y) in zip(('base', 'top'), line.coords, strict=True):
            column, row = ((at - low) / 30 * PICTURE for at, low in ((x, bounds[0]), (-y, -bounds[3])))
            near = drawn[direction][0][int(row) - 6 : int(row) + 7, int(column) - 6 : int(column) + 7]
            dark[direction, name] = int((near.max(axis=2) < 128).sum())
    assert dark['fall', 'top'] > 3 * dark['axis', 'top'] and dark['fall', 'top'] > 3 * dark['fall', 'base'], dark


def test_qgis_opens_a_map_in_pixels_and_one_without_a_tree(drawn):
    pixels, said = drawn['pixels']
    assert said['trees']['renderer'] == 'graduatedSymbol' and said['trees']['features'] == 40
    assert sum(shows(pixels, colour) for colour in colours_of('trees')) > 200
    pixels, said = drawn['empty']
    assert {found['renderer'] for found in said.values()} == {'graduatedSymbol', 'RuleRenderer'}
    assert all(found['valid'] and not found['features'] for found in said.values()) and (pixels == 255).all()

"""A table pairs rasters and labels, names scenes and splits them."""

import json
import os

import numpy as np
import pytest

BOX = [[4, 4], [20, 4], [20, 20], [4, 20]]


@pytest.fixture
def folder(tmp_path, write_raster, write_labelme, write_vectors, to_map):
    """Two rasters of one name in two folders; labels of other names, one of them shared out of the way."""
    write_raster(tmp_path / 'in/north/ortho.tif', seed=1)
    write_raster(tmp_path / 'in/south/ortho.tif', seed=2)
    write_labelme(tmp_path / 'in/drawn/a.json', [('tree', BOX)])
    write_vectors(tmp_path / 'in/drawn/b.gpkg', [('tree', to_map(BOX)), ('tree', to_map(BOX))])
    return tmp_path / 'in'


ROWS = [
    {'raster': 'north/ortho.tif', 'labels': 'drawn/a.json', 'split': 'train', 'name': 'north'},
    {'raster': 'south/ortho.tif', 'labels': 'drawn/b.gpkg', 'split': 'test', 'name': 'south'},
]


def csv_table(folder, rows, delimiter=','):
    lines = [delimiter.join(rows[0]), *(delimiter.join(row.values()) for row in rows)]
    (folder / 'scenes.csv').write_text('\n'.join(lines) + '\n')
    return folder / 'scenes.csv'


def gpkg_table(folder, rows, name='scenes.gpkg'):
    pyogrio = pytest.importorskip('pyogrio')
    import shapely

    columns = [np.array([row[key] or None for row in rows], object) for key in rows[0]]
    points = shapely.to_wkb([shapely.Point(0, 0)] * len(rows))
    options = {'geometry_type': 'Point', 'crs': 'EPSG:4326'}
    pyogrio.raw.write(folder / name, points, columns, list(rows[0]), **options)
    return folder / name


@pytest.fixture
def run(data_prep, tmp_path):
    """Tile a table; returns code, stderr and the output folder."""

    def tile(table, *options):
        code, _, stderr = data_prep(
            'tile', '--scenes-table', table, '--out', tmp_path / 'out', '--tile-size', 64, *options
        )
        return code, stderr, tmp_path / 'out'

    return tile


def coco(out, split):
    return json.loads((out / f'annotations/instances_{split}.json').read_text())


@pytest.mark.parametrize('kind', ['csv', 'semicolons', 'gpkg'])
def test_a_table_pairs_names_and_splits(run, folder, kind):
    table = gpkg_table(folder, ROWS) if kind == 'gpkg' else csv_table(folder, ROWS, ',' if kind == 'csv' else ';')
    code, stderr, out = run(table)
    assert code == 0, stderr
    assert {image['scene'] for image in coco(out, 'train')['images']} == {'north'}
    assert {part['object_id'] for part in coco(out, 'test')['annotations']} == {'south/1', 'south/2'}
    assert coco(out, 'val')['images'] == []
    info = json.loads((out / 'split_info.json').read_text())
    assert info['split_by'] == 'scene' and info['scenes'] == {'train': ['north'], 'val': [], 'test': ['south']}
    image = coco(out, 'test')['images'][0]
    assert image['file_name'] == 'south_000000_000000.png'
    assert os.path.samefile(out / image['source'], folder / 'south/ortho.tif')
    report = json.loads((out / 'report.json').read_text())
    assert report['scenes']['south']['labels'] == 'b.gpkg'


def test_without_a_split_column_the_options_decide(run, folder):
    rows = [{key: row[key] for key in ('name', 'labels', 'raster')} for row in ROWS]
    code, stderr, out = run(csv_table(folder, rows), '--val', 'south')
    assert code == 0, stderr
    assert {part['object_id'] for part in coco(out, 'val')['annotations']} == {'south/1', 'south/2'}


def test_order_of_rows_does_not_matter(data_prep, tmp_path, folder):
    found = []
    for number, rows in enumerate((ROWS, ROWS[::-1])):
        out = tmp_path / f'out{number}'
        assert data_prep('tile', '--scenes-table', csv_table(folder, rows), '--out', out, '--tile-size', 64)[0] == 0
        found.append([(out / f'annotations/instances_{split}.json').read_bytes() for split in ('train', 'test')])
    assert found[0] == found[1]


def test_rows_without_labels_may_show_no_object(run, folder):
    rows = [ROWS[0], {**ROWS[1], 'labels': ''}]
    code, stderr, out = run(csv_table(folder, rows), '--unlabelled', 'empty', '--max-nodata', 1)
    assert code == 1 and stderr == 'warning: test shows no object; choose another --split or --seed\n'
    assert coco(out, 'test')['images'] and not coco(out, 'test')['annotations']


def test_other_columns_are_not_read_and_absolute_paths_are_paths(run, folder):
    rows = [{'date': '2024', **row, 'raster': str(folder / row['raster'])} for row in ROWS]
    code, stderr, _ = run(gpkg_table(folder, rows))
    assert code == 0, stderr


def spoiled(number, **changes):
    return [{**row, **(changes if at == number else {})} for at, row in enumerate(ROWS)]


CASES = {
    'missing raster': (spoiled(1, raster='south/no.tif'), (), 'row 2 names', 'no.tif, which does not exist'),
    'missing labels': (spoiled(0, labels='drawn/no.json'), (), 'row 1 names', 'relative to the table'),
    'raster is a folder': (spoiled(0, raster='north'), (), 'row 1', 'does not exist'),
    'no raster': (spoiled(1, raster=''), (), 'row 2 names no raster'),
    'no labels': (spoiled(1, labels=''), (), 'row 2 names no labels', '--unlabelled empty'),
    'labels are a raster': (spoiled(1, labels='north/ortho.tif'), (), 'row 2', 'must end in .json'),
    'raster is labels': (spoiled(1, raster='drawn/a.json'), (), 'a.json must be a GeoTIFF'),
    'unknown split': (spoiled(1, split='dev'), (), "row 2 has the split 'dev'", 'train, val, test'),
    'split of some': (spoiled(1, split=''), (), 'row 2 has no split, others have one'),
    'same raster twice': (spoiled(1, raster='north/ortho.tif'), (), 'rows 1 and 2 name the same raster'),
    'same name twice': (spoiled(1, name='North'), (), 'two rasters share the scene name North'),
    'names of the rasters': (spoiled(0, name='') and [{**row, 'name': ''} for row in ROWS], (), 'share the scene name'),
    'name with a slash': (spoiled(1, name='../south'), (), 'holds a slash'),
    'column missing': ([{'raster': 'north/ortho.tif', 'label': 'drawn/a.json'}], (), 'columns raster and labels'),
    'split and --split': (ROWS, ('--split', '0.5,0.5,0'), 'has a column split'),
    'split and --val': (ROWS, ('--val', 'south'), 'has a column split'),
    'split and --kfold': (ROWS, ('--kfold', 2), 'has a column split'),
    'with --labels': (ROWS, ('--labels', 'x'), '--labels does not go with it'),
}


@pytest.mark.parametrize('name', list(CASES))
def test_refused(run, folder, tmp_path, name):
    rows, options, *words = CASES[name]
    code, stderr, out = run(csv_table(folder, rows), *options)
    check_refused(code, stderr, words)
    assert os.listdir(tmp_path) == ['in']


def check_refused(code, stderr, words):
    assert code == 2 and stderr.startswith('error: ') and stderr.count('\n') == 1
    assert all(word in stderr for word in words), stderr


FILES = {
    'another kind': ('scenes.xlsx', b'PK', 'must end in .csv or .gpkg'),
    'no file': ('no.csv', None, 'cannot be read'),
    'empty file': ('scenes.csv', b'', 'columns raster and labels; got none'),
    'header alone': ('scenes.csv', b'raster,labels\n', 'has no row'),
    'row too long': ('scenes.csv', b'raster,labels\na.tif,a.json,train\n', 'row 1 has 3 cells'),
    'column twice': ('scenes.csv', b'raster,labels,split,split\na,b,train,val\n', 'column split twice'),
    'Latin-1': ('scenes.csv', 'raster,labels\nhöhe.tif,a.json\n'.encode('latin-1'), 'must be UTF-8'),
    'text as GeoPackage': ('scenes.gpkg', b'raster,labels\n', 'is not a .gpkg file'),
    'half a GeoPackage': ('scenes.gpkg', b'SQLite format 3\0' + bytes(400), 'scenes.gpkg'),
    'huge cell': ('scenes.csv', b'raster,labels\n"' + b'a' * 200_000 + b'",b\n', 'scenes.csv'),
}


@pytest.mark.parametrize('name', list(FILES))
def test_tables_that_cannot_be_read_are_refused(run, tmp_path, name):
    file, content, *words = FILES[name]
    if content is not None:
        (tmp_path / file).write_bytes(content)
    code, stderr, out = run(tmp_path / file)
    check_refused(code, stderr, words)
    assert not out.exists()


def test_two_layers_are_refused(run, folder):
    pyogrio = pytest.importorskip('pyogrio')
    table = gpkg_table(folder, ROWS)
    meta, _, wkb, cells = pyogrio.raw.read(table)
    pyogrio.raw.write(
        table, wkb, cells, meta['fields'], layer='more', append=True, geometry_type='Point', crs='EPSG:4326'
    )
    code, stderr, _ = run(table)
    check_refused(code, stderr, ['must have one table; got 2'])


def test_scenes_or_a_table(data_prep, folder, tmp_path):
    code, _, stderr = data_prep('tile', '--out', tmp_path / 'out')
    check_refused(code, stderr, ['SCENES or --scenes-table must be given'])
    code, _, stderr = data_prep('tile', folder, '--scenes-table', csv_table(folder, ROWS), '--out', tmp_path / 'out')
    check_refused(code, stderr, ['and not both'])

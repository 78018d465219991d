"""Rasters and labels find each other by name, and nothing is left over unsaid."""

import json

import pytest

from data_prep.errors import DataError
from data_prep.scenes import find_scenes


@pytest.fixture
def folder(tmp_path):
    """A folder with files by name; LabelMe is written into .json files, other files are empty."""

    def make(*names, under='data'):
        for name in names:
            path = tmp_path / under / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({'shapes': []}) if name.endswith('.json') else '')
        return tmp_path / under

    return make


def test_pairs_by_stem(folder):
    data = folder('b.tif', 'b.gpkg', 'a.TIF', 'a.json', 'c.jpg', 'c.geojson', 'd.tiff', 'd.shp', 'd.dbf', 'notes.txt')
    scenes = find_scenes([data])
    assert [(scene.name, scene.labels.suffix) for scene in scenes] == [
        ('a', '.json'),
        ('b', '.gpkg'),
        ('c', '.geojson'),
        ('d', '.shp'),
    ]


def test_order_of_inputs_does_not_matter(folder):
    data = folder('a.tif', 'a.json', 'b.tif', 'b.json')
    assert find_scenes([data / 'b.tif', data / 'a.tif']) == find_scenes([data]) == find_scenes([data / 'a.tif', data])


def test_coco_is_passed_over(folder):
    data = folder('a.tif', 'a.gpkg')
    (data / 'a.json').write_text(json.dumps({'images': [], 'annotations': []}))
    (data / 'all.json').write_text(json.dumps({'images': [], 'annotations': [], 'categories': []}))
    assert find_scenes([data])[0].labels.name == 'a.gpkg'


def test_labels_elsewhere(folder, tmp_path):
    data, drawn = folder('a.tif', 'b.tif', 'a.json', 'a.gpkg'), folder('a.gpkg', 'b.json', 'x.json', under='drawn')
    (drawn / 'x.json').unlink()
    assert [scene.labels for scene in find_scenes([data], drawn)] == [drawn / 'a.gpkg', drawn / 'b.json']
    assert find_scenes([data / 'a.tif'], drawn / 'b.json')[0].labels == drawn / 'b.json'


def test_named_rasters_do_not_answer_for_their_folder(folder):
    data = folder('a.tif', 'a.json', 'orphan.gpkg')
    (data / 'odd.json').write_text('[')
    assert len(find_scenes([data / 'a.tif'])) == 1


def test_unlabelled_may_be_empty(folder):
    data = folder('a.tif', 'b.tif', 'b.json')
    assert [scene.labels is None for scene in find_scenes([data], unlabelled='empty')] == [True, False]


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        pytest.param(
            ['a.tif', 'a.json', 'a.gpkg'], r'one label file; got .*a\.gpkg and .*a\.json', id='two label files'
        ),
        pytest.param(['a.tif', 'a.json', 'b.gpkg'], r'b\.gpkg has no raster', id='label without raster'),
        pytest.param(['a.tif'], r'a\.tif has no label file a\.json', id='raster without label'),
        pytest.param(['a.tif', 'a.png', 'a.json'], 'two rasters share the scene name a', id='two rasters'),
        pytest.param(['a.tif', 'A.tif', 'a.json'], 'two rasters share the scene name', id='names differ in case'),
        pytest.param(['notes.txt'], 'holds no raster', id='no raster'),
        pytest.param(['a\\b.tif', 'a\\b.json'], 'backslash or control', id='backslash'),
        pytest.param(['a\nb.tif', 'a\nb.json'], 'backslash or control', id='line break'),
    ],
)
def test_refused(folder, names, message):
    with pytest.raises(DataError, match=message):
        find_scenes([folder(*names)])


def test_json_that_is_no_label_file_is_refused(folder):
    data = folder('a.tif', 'a.gpkg')
    (data / 'settings.json').write_text('{"level": 3}')
    with pytest.raises(DataError, match=r'settings\.json is neither LabelMe'):
        find_scenes([data])


def test_label_file_for_two_rasters_is_refused(folder):
    data = folder('a.tif', 'b.tif', 'a.json')
    with pytest.raises(DataError, match='takes one raster; got 2'):
        find_scenes([data], data / 'a.json')
    with pytest.raises(DataError, match='does not exist'):
        find_scenes([data], data / 'no.json')

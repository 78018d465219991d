"""Wrong corrections: each mistake gets a line that names its file, nothing is written, and nothing is lost unsaid."""

import json
import shutil

import numpy as np
import pytest

from tree_map.__main__ import main
from tree_map.writing import write_map

from .drawn_map import SIDE, drawn_map

CLASSES, NAME = ('fallen_tree', 'snag'), 'stand 7 ü'


@pytest.fixture(scope='module')
def world(tmp_path_factory, write_raster):
    folder = tmp_path_factory.mktemp('world')
    pixels = np.full((3, SIDE, SIDE), 90, np.uint8)
    write_raster(folder / 'scenes' / f'{NAME}.tif', pixels=pixels, compress='deflate')
    write_raster(folder / 'small' / f'{NAME}.tif')
    write_map(drawn_map(8, classes=CLASSES), folder / 'map.gpkg')
    assert there(folder / 'map.gpkg', folder / 'review', '--scenes', folder / 'scenes') == 0
    assert there(folder / 'map.gpkg', folder / 'coco', '--scenes', folder / 'scenes', '--format', 'coco') == 0
    return folder


@pytest.fixture
def review(world, tmp_path):
    (tmp_path / 'scenes').symlink_to(world / 'scenes')
    return shutil.copytree(world / 'review', tmp_path / 'review')


def there(path, out, *options):
    return main(['review', *map(str, (path, '--out', out, *options))])


def back(path, out, *options):
    return main(['review', *map(str, ('--back', path, '--out', out, *options))])


def change(file, edit):
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def set_shape(**keys):
    return lambda content: content['shapes'][0].update(keys)


BOW_TIE = [[40, 5], [50, 15], [50, 5], [40, 15]]
MISTAKES = [
    (lambda content: content.update(imageWidth=99), '99 x 2000 px'),
    (lambda content: content.update(imagePath='..\\scenes\\stand 8.tif'), 'it was drawn on stand 8.tif'),
    (set_shape(label='falen_tree'), "'falen_tree' (1 times) is none of the map's classes (fallen_tree, snag)"),
    (set_shape(label=' '), 'feature 1 has no label'),
    (lambda content: content.pop('shapes'), "neither LabelMe (no 'shapes')"),
    (lambda content: content.update(shapes=[4]), "'shapes' must be a list of objects"),
]


@pytest.mark.parametrize(('edit', 'told'), MISTAKES, ids=[told for _, told in MISTAKES])
def test_mistakes_are_told_in_one_line_and_stop(review, tmp_path, capsys, edit, told):
    change(review / f'{NAME}.json', edit)
    assert back(review, tmp_path / 'labels') == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line and f'{NAME}.json' in line and line.startswith('error: ')
    assert not (tmp_path / 'labels').exists()


def test_all_mistakes_are_told_at_once(review, tmp_path, capsys):
    (review / f'{NAME}.json').rename(review / 'other.json')
    assert back(review, tmp_path / 'labels') == 2
    first, second = capsys.readouterr().err.splitlines()
    assert 'other.json is no file of this review' in first and f'{NAME}.json is missing' in second


def test_new_classes_are_allowed_by_name(review, tmp_path):
    change(review / f'{NAME}.json', set_shape(label='stump'))
    assert back(review, tmp_path / 'labels') == 2
    assert back(review, tmp_path / 'labels', '--classes', 'stump') == 0


LOOK = [
    (set_shape(points=BOW_TIE, group_id=None), 'tree 1: its outline crosses itself'),
    (set_shape(points=[], group_id=None), 'shape 1: fewer than 3 points (0)'),
    (set_shape(points=[[1, 2], [3, 4]], group_id=None), 'shape 1: fewer than 3 points (2)'),
    (set_shape(shape_type='mask'), 'shape 1: shape type mask is not a polygon'),
    (set_shape(points=[[1, 2], [3, float('nan')], [5, 9]]), 'shape 1: coordinates are NaN or infinite'),
]


@pytest.mark.parametrize(('edit', 'told'), LOOK, ids=[told for _, told in LOOK])
def test_what_cannot_be_a_tree_is_listed(review, tmp_path, capsys, edit, told):
    change(review / f'{NAME}.json', edit)
    assert back(review, tmp_path / 'labels') == 1
    assert told in capsys.readouterr().err
    assert (tmp_path / 'labels' / f'{NAME}.json').is_file()


def test_a_tree_drawn_over_another_is_told(review, tmp_path, capsys):
    def again(content):
        content['shapes'].append({**content['shapes'][0], 'id': None, 'label': 'fallen_tree', 'group_id': None})

    change(review / f'{NAME}.json', again)
    assert back(review, tmp_path / 'labels') == 1
    assert f'a new tree in {NAME}.json: drawn over a tree of {NAME}; delete one' in capsys.readouterr().err


def coco_without(key, value=None):
    def edit(content):
        content[key] = [] if value is None else value

    return edit


COCO = [
    (coco_without('images', [{'id': 1, 'file_name': 'x.tif', 'width': 5, 'height': 5}]), 'is no picture of this'),
    (lambda content: content['images'][0].update(width=7), '7 x 2000 px'),
    (lambda content: content['annotations'][0].update(category_id=9), 'names category 9'),
    (lambda content: content['categories'][0].update(name='log'), "label 'log'"),
]


@pytest.mark.parametrize(('edit', 'told'), COCO, ids=[told for _, told in COCO])
def test_mistakes_in_coco(world, tmp_path, capsys, edit, told):
    shutil.copy(world / 'coco' / 'instances.json', tmp_path / 'a.json')
    change(tmp_path / 'a.json', edit)
    assert back(tmp_path / 'a.json', tmp_path / 'labels', '--against', world / 'coco') == 2
    lines = capsys.readouterr().err.splitlines()
    assert told in lines[0] and 'a.json' in lines[0] and not (tmp_path / 'labels').exists()


def test_ways_of_calling_it_wrong(world, review, tmp_path, capsys):
    taken = tmp_path / 'taken'
    assert back(review, taken) == 0
    calls = [
        (lambda: back(review, taken), 'exists; choose another --out'),
        (lambda: there(world / 'map.gpkg', review, '--scenes', world / 'scenes'), 'holds a review already'),
        (lambda: there(world / 'map.gpkg', tmp_path / 'a'), 'was not found; pass --scenes'),
        (lambda: there(world / 'map.gpkg', tmp_path / 'a', '--scenes', world / 'small'), '96 x 64 px'),
        (lambda: there(world / 'map.gpkg', tmp_path / 'a', '--scenes', tmp_path / 'no'), 'does not exist'),
        (lambda: there(world / 'map.csv', tmp_path / 'a'), 'must end in .gpkg, .json'),
        (lambda: there(world / 'no.gpkg', tmp_path / 'a'), 'cannot be read'),
        (lambda: back(world / 'map.gpkg', tmp_path / 'a'), 'pass --against'),
        (lambda: back(tmp_path / 'scenes', tmp_path / 'a'), 'has no as_found'),
        (lambda: back(tmp_path / 'no', tmp_path / 'a'), 'does not exist'),
        (lambda: main(['review', '--out', str(tmp_path / 'a')]), 'takes maps to correct, or --back'),
    ]  # fmt: skip
    capsys.readouterr()
    for call, told in calls:
        assert call() == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
    assert not (tmp_path / 'a').exists()


def test_trees_below_the_threshold_stay_out_and_are_not_deleted(world, tmp_path, capsys):
    out = tmp_path / 'review'
    assert there(world / 'map.gpkg', out, '--scenes', world / 'scenes', '--score-thr', 0.6) == 0
    shapes = json.loads((out / f'{NAME}.json').read_text())['shapes']
    assert shapes and min(shape['score'] for shape in shapes) >= 0.6
    assert back(out, tmp_path / 'labels') == 0 and ' 0 deleted' in capsys.readouterr().out

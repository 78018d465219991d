"""Folds over one set of tiles, and splits that are repeated from an older data set."""

import json
import os
import shutil

import numpy as np
import pytest

SPLITS = ('train', 'val', 'test')


def read(path):
    return json.loads(path.read_text())


@pytest.fixture
def tile(data_prep, tmp_path):
    """Run tile, expect success, and return the folder."""

    def run(*argv, name='out'):
        code, _, stderr = data_prep('tile', *argv, '--out', tmp_path / name, '--tile-size', 64)
        assert code in (0, 1), stderr
        return tmp_path / name

    return run


@pytest.fixture
def one_scene(tmp_path, write_raster, write_labelme):
    """A wide scene with trees all over, which is split by blocks."""
    return wide_scene(tmp_path, write_raster, write_labelme)


def wide_scene(folder, write_raster, write_labelme):
    corners = np.random.default_rng(4).uniform(0, (380, 180), (60, 2)).tolist()
    trees = [[[x, y], [x + 15, y], [x + 15, y + 12], [x, y + 12]] for x, y in corners]
    write_labelme(folder / 'in/s.json', [('tree', tree) for tree in trees], (400, 200))
    return write_raster(folder / 'in/s.tif', (400, 200))


def scenes_of(content):
    return {image['scene'] for image in content['images']}


def test_every_scene_validates_once_and_trains_in_the_other_folds(tile, scenes):
    out = tile(scenes, '--kfold', 4, '--empty-share', 1, '--min-visible', 0.2)
    assert sorted(os.listdir(out / 'annotations')) == ['fold_0', 'fold_1', 'fold_2', 'fold_3', 'instances_test.json']
    validated = []
    for fold in range(4):
        train, val = (read(out / f'annotations/fold_{fold}/instances_{split}.json') for split in ('train', 'val'))
        assert not scenes_of(train) & scenes_of(val) and len(scenes_of(train) | scenes_of(val)) == 4
        trees = [{part['object_id'] for part in content['annotations']} for content in (train, val)]
        assert not trees[0] & trees[1] and len(trees[0] | trees[1]) == 12
        assert train['categories'] == val['categories']
        for split, content in (('train', train), ('val', val)):  # where a config's data_prefix looks
            assert all((out / 'images' / split / image['file_name']).is_file() for image in content['images'])
            assert [image['id'] for image in content['images']] == list(range(1, len(content['images']) + 1))
        validated += scenes_of(val)
    assert sorted(validated) == ['s0', 's1', 's2', 's3']
    assert read(out / 'annotations/instances_test.json')['images'] == []


@pytest.mark.parametrize('share', [0, 0.4])
def test_each_fold_gets_the_tree_less_tiles_that_it_would_get_alone(tile, scenes, write_labelme, share):
    write_labelme(scenes / 's1.json', [('tree', [[10, 10], [30, 10], [30, 14], [10, 14]])], (160, 128))
    options = ('--empty-share', share, '--pixels', 'jpeg', '--seed', 5)
    out = tile(scenes, '--kfold', 4, *options)
    shown, sizes = set(), set()
    for name, fold in read(out / 'split_info.json')['folds'].items():
        train = read(out / f'annotations/fold_{fold}/instances_train.json')
        alone = read(tile(scenes, '--val', name, *options, name=f'alone_{name}') / 'annotations/instances_train.json')
        assert train['images'] == alone['images'] and train['annotations'] == alone['annotations']
        empty = len(train['images']) - len({part['image_id'] for part in train['annotations']})
        assert empty <= share * len(train['images']) + 1e-9 and (empty > 0) == (share > 0)
        shown |= {image['file_name'] for image in train['images']}
        sizes.add(empty)
    assert len(sizes) > 1 or share == 0  # folds with more trees show more bare ground
    assert shown == set(os.listdir(out / 'images/train'))


def test_tiles_are_stored_once_however_many_folds_there_are(tile, scenes):
    two, four = (tile(scenes, '--kfold', k, '--empty-share', 1, name=f'k{k}') for k in (2, 4))
    for split in SPLITS:
        names = sorted(os.listdir(two / 'images' / split))
        assert names == sorted(os.listdir(four / 'images' / split))
        assert len(names) == {'train': 4 * 3 * 3, 'val': 4 * 3 * 2, 'test': 0}[split]


def test_test_scenes_stay_out_of_all_folds(data_prep, scenes, tmp_path):
    options = ('--tile-size', 64, '--kfold', 3, '--test', 's2', '--json')
    code, stdout, stderr = data_prep('tile', scenes, '--out', tmp_path / 'out', *options)
    assert code == 0 and stderr == ''
    told = json.loads(stdout)
    assert told['split_by'] == 'kfold'
    assert list(told['splits']) == [f'fold_{fold}/{split}' for fold in range(3) for split in ('train', 'val')] + [
        'test'
    ]
    assert scenes_of(read(tmp_path / 'out/annotations/instances_test.json')) == {'s2'}
    for name, counts in told['splits'].items():
        fold, _, split = name.rpartition('/')
        content = read(tmp_path / 'out/annotations' / fold / f'instances_{split}.json')
        assert counts['tiles'] == len(content['images']) and counts['annotations'] == len(content['annotations'])
        assert split == 'test' or 's2' not in scenes_of(content)
    info = read(tmp_path / 'out/split_info.json')
    assert sorted(info['folds']) == ['s0', 's1', 's3'] and info['scenes']['test'] == ['s2']


def test_a_fold_without_an_object_is_worth_a_look(data_prep, tmp_path, scenes, write_labelme):
    write_labelme(scenes / 's1.json', [], (160, 128))
    code, stdout, stderr = data_prep('tile', scenes, '--out', tmp_path / 'out', '--tile-size', 64, '--kfold', 4)
    assert code == 1 and 'split by kfold' in stdout and stderr.count('\n') == 1 and '/val shows no object' in stderr


@pytest.mark.parametrize(
    'options',
    [
        ('--seed', 3),
        ('--val', 's1', '--test', 's2,s3'),
        ('--kfold', 2),
        ('--kfold', 3, '--test', 's1'),
        ('--split', '1,0,0'),
    ],
)
def test_the_split_of_whole_scenes_is_repeated(tile, scenes, options):
    first = tile(scenes, *options, name='first')
    again = tile(scenes, '--split-info', first / 'split_info.json', '--overlap', 0.1, name='again')
    old, new = read(first / 'split_info.json'), read(again / 'split_info.json')
    for key in ('split_by', 'scenes', 'regions', 'folds'):
        assert old.get(key) == new.get(key)
    third = tile(scenes, '--split-info', again / 'split_info.json', name='third')  # a repeated one can be repeated
    assert read(third / 'split_info.json')['regions'] == old['regions']


def test_blocks_are_repeated_to_the_pixel(tile, one_scene):
    first = tile(one_scene, '--split', '0.5,0.25,0.25', name='first')
    again = tile(one_scene, '--split-info', first / 'split_info.json', name='again')
    assert read(first / 'split_info.json')['regions'] == read(again / 'split_info.json')['regions']
    for split in SPLITS:
        path = f'annotations/instances_{split}.json'
        assert (first / path).read_bytes() == (again / path).read_bytes()
        assert sorted(os.listdir(first / 'images' / split)) == sorted(os.listdir(again / 'images' / split))


@pytest.mark.parametrize('scales', [(1, 0.7), (0.6, 1.3), (0.6, 0.6)])
def test_blocks_are_repeated_at_another_scale(tile, one_scene, scales):
    first = tile(one_scene, '--scale', scales[0], '--split', '0.5,0.25,0.25', name='first')
    again = tile(one_scene, '--scale', scales[1], '--split-info', first / 'split_info.json', name='again')
    old, new = (read(out / 'split_info.json')['regions'] for out in (first, again))
    owners = []
    for before, after in zip(old, new, strict=True):
        assert after['split'] == before['split']
        (x, y, w, h), (nx, ny, nw, nh) = before['region_xywh'], after['region_xywh']
        assert x - 1e-3 <= nx and nx + nw <= x + w + 1e-3 and y - 1e-3 <= ny and ny + nh <= y + h + 1e-3
        assert w - nw <= 2 / scales[1] and h - nh <= 2 / scales[1]
        content = read(again / f'annotations/instances_{after["split"]}.json')
        owners.append({part['object_id'] for part in content['annotations']})
    assert sum(map(len, owners)) == len(set().union(*owners))
    if scales[0] == scales[1]:
        assert old == new


def test_fewer_scenes_than_before_keep_their_places(tile, scenes):
    first = tile(scenes, '--val', 's1', '--test', 's2', name='first')
    rest = [scenes / f's{number}.tif' for number in (0, 2)]
    again = tile(*rest, '--split-info', first / 'split_info.json', name='again')
    assert read(again / 'split_info.json')['scenes'] == {'train': ['s0'], 'val': [], 'test': ['s2']}


CASES = {}


def case(*words):
    """Register a function that returns extra arguments; it may spoil the files first."""

    def register(spoil):
        CASES[spoil.__name__] = (words, spoil)
        return spoil

    return register


@pytest.fixture(scope='module')
def records(tmp_path_factory, write_raster, write_labelme):
    """A scene split into blocks, and the data set made of it."""
    from data_prep.__main__ import main

    folder = tmp_path_factory.mktemp('blocks')
    raster = wide_scene(folder, write_raster, write_labelme)
    options = ['--tile-size', '64', '--split', '0.5,0.25,0.25']
    assert main(['tile', str(raster), '--out', str(folder / 'first'), *options]) == 0
    return folder


@pytest.fixture
def info(tmp_path, records):
    """A copy of the split_info.json of blocks of a scene, with the other records beside it."""
    shutil.copytree(records / 'first', tmp_path / 'first', ignore=shutil.ignore_patterns('images'))
    return tmp_path / 'first/split_info.json'


def change(path, **changes):
    path.write_text(json.dumps({**read(path), **changes}))
    return ['--split-info', path]


@case('no.json', 'cannot be read')
def missing_file(info, scene):
    return ['--split-info', info.with_name('no.json')]


@case('not valid JSON')
def broken_file(info, scene):
    info.write_text('{"regions": [')
    return ['--split-info', info]


@case('TRACKING.json', 'is not the split_info.json')
def another_record(info, scene):
    return ['--split-info', info.with_name('TRACKING.json')]


@case('is not the split_info.json')
def no_regions(info, scene):
    return change(info, regions=[])


@case('is not the split_info.json')
def unknown_kind(info, scene):
    return change(info, split_by='dice')


@case('is not the split_info.json')
def region_that_is_not_finite(info, scene):
    rows = read(info)['regions']
    rows[0]['region_xywh'][0] = float('nan')
    return change(info, regions=rows)


@case('is not the split_info.json')
def unknown_split(info, scene):
    rows = read(info)['regions']
    rows[0]['split'] = 'dev'
    return change(info, regions=rows)


@case('that share pixels')
def regions_that_overlap(info, scene):
    rows = read(info)['regions']
    rows[0]['region_xywh'][2] += 60
    return change(info, regions=rows)


@case('gives scene s to train and val')
def scene_in_two_splits(info, scene):
    return change(info, split_by='scene')


@case('scene s is not in the split to repeat (it knows other)')
def unknown_scene(info, scene):
    return change(info, regions=[{**row, 'scene': 'other'} for row in read(info)['regions']])


@case('it is another raster')
def region_outside_the_raster(info, scene):
    rows = read(info)['regions']
    rows[-1]['region_xywh'][2] += 50
    return change(info, regions=rows)


@case('the labels have changed')
def object_over_two_blocks(info, scene):
    labels = scene.with_suffix('.json')
    shapes = read(labels)['shapes']
    shapes.append({**shapes[0], 'points': [[20, 20], [390, 20], [390, 40], [20, 40]]})
    change(labels, shapes=shapes)
    return ['--split-info', info]


@case('nothing is left of')
def scale_too_small(info, scene):
    rows = read(info)['regions'][:1]
    rows[0]['region_xywh'][2] = 3
    return [*change(info, regions=rows), '--scale', 0.05]


@case('--split-info decides the whole split', '--split; drop one')
def split_info_and_split(info, scene):
    return ['--split-info', info, '--split', '0.8,0.2,0']


@case('--split-info decides the whole split', '--kfold; drop one')
def split_info_and_kfold(info, scene):
    return ['--split-info', info, '--kfold', 2]


@case('--kfold decides the whole split', '--split; drop one')
def kfold_and_split(info, scene):
    return ['--kfold', 2, '--split', '0.8,0.2,0']


@case('--kfold decides the whole split', '--val; drop one')
def kfold_and_val(info, scene):
    return ['--kfold', 2, '--val', 's']


@case('--kfold decides the whole split', '--split-by; drop one')
def kfold_by_blocks(info, scene):
    return ['--kfold', 2, '--split-by', 'blocks']


@case('--kfold 2 needs as many scenes', 'got 1')
def more_folds_than_scenes(info, scene):
    return ['--kfold', 2]


@case('--test x is not a scene')
def kfold_with_unknown_test(info, scene):
    return ['--kfold', 2, '--test', 'x']


@case('must be int from 2')
def one_fold(info, scene):
    return ['--kfold', 1]


@pytest.mark.parametrize('name', list(CASES))
def test_refused(data_prep, tmp_path, info, one_scene, name):
    words, spoil = CASES[name]
    argv = spoil(info, one_scene)
    before = sorted(os.listdir(tmp_path))
    code, stdout, stderr = data_prep('tile', one_scene, '--out', tmp_path / 'out', '--tile-size', 64, *argv)
    assert code == 2 and stdout == '' and stderr.startswith('error: ') and stderr.count('\n') == 1
    assert all(word in stderr for word in words), stderr
    assert sorted(os.listdir(tmp_path)) == before

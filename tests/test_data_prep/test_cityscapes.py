"""`python -m data_prep cityscapes`: folders as Cityscapes' packages are unpacked, to COCO files."""

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from data_prep.cityscapes.choosing import balanced, held_back, spread

sys.path.append(str(Path(__file__).resolve().parents[1] / 'test_cityscapes'))
import drawn_cities as cities

THINGS = ['person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle']


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return cities.cityscapes(tmp_path_factory.mktemp('city') / 'root')


@pytest.fixture(scope='module')
def made(root, tmp_path_factory):
    """The data set, made once; never changed."""
    from data_prep.__main__ import main

    out = tmp_path_factory.mktemp('made') / 'data'
    assert main(['cityscapes', str(root), '--out', str(out), '--subset', '8', '--coarse', '20']) == 0
    return out


def read(out, name):
    return json.loads((out / f'annotations/{name}.json').read_text())


def names(content):
    return {image['file_name'] for image in content['images']}


def test_every_object_has_the_pixels_of_its_map(made):
    content = read(made, 'instances_train')
    assert [category['name'] for category in content['categories']] == THINGS
    by_image = {image['id']: image for image in content['images']}
    seen = {}
    for part in content['annotations']:
        image = by_image[part['image_id']]
        label = image['file_name'].replace('leftImg8bit', 'gtFine')
        path = made / 'images' / label.replace('_gtFine.png', '_gtFine_instanceIds.png')
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert pixels.dtype == np.uint16
        mask = coco_mask.decode(part['segmentation'])
        value = int(part['object_id'].split('/')[1])
        assert ((pixels == value) == mask).all() and part['area'] == mask.sum()
        rows, columns = np.nonzero(mask)
        assert part['bbox'] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert part['iscrowd'] == int(value < 1000)
        assert content['categories'][part['category_id'] - 1]['map_ids'] == [value if value < 1000 else value // 1000]
        seen.setdefault(image['id'], set()).add(value)
    assert any(part['iscrowd'] for part in content['annotations'])
    for image in content['images']:  # and nothing is left out
        label = image['file_name'].replace('leftImg8bit', 'gtFine').replace('_gtFine.png', '_gtFine_instanceIds.png')
        values = np.unique(cv2.imread(str(made / 'images' / label), cv2.IMREAD_UNCHANGED))
        assert {int(v) for v in values if v >= 1000 or v == cities.CAR} == seen.get(image['id'], set())


def test_partitions_share_what_they_should_and_nothing_else(made):
    train, val, test = (names(read(made, f'instances_{split}')) for split in ('train', 'val', 'test'))
    assert (len(train), len(val), len(test)) == (26, 8, 6)
    assert not train & val and not train & test and not val & test
    assert names(read(made, 'trainval')) == train | val
    assert names(read(made, 'subset')) < train and len(names(read(made, 'subset'))) == 8
    assert {name.split('/')[2] for name in test} == {'bremen'} and 'bremen' not in ''.join(train)
    coarse = names(read(made, 'semantic_coarse'))
    assert len(coarse) == 20 and not coarse & (val | test)
    assert names(read(made, 'semantic_val')) == val and names(read(made, 'semantic_test')) == test
    counts = [sum(f'/{city}/' in name for name in coarse) for city in ('aachen', 'bochum', 'augsburg')]
    assert max(counts) - min(counts) <= 1  # evenly over cities, train_extra among them


def test_maps_are_named_with_what_they_show(made):
    content = read(made, 'semantic_coarse')
    categories = {category['id']: category for category in content['categories']}
    assert len(categories) == 20 and categories[20]['name'] == 'void'
    assert sorted(n for entry in categories.values() for n in entry['map_ids']) == list(range(34))
    for image in content['images']:
        pixels = cv2.imread(str(made / image['seg_file']), cv2.IMREAD_UNCHANGED)
        shown = {categories[part['category_id']]['map_ids'][0]: part['area']
                 for part in content['annotations'] if part['image_id'] == image['id']}  # fmt: skip
        known = {n for entry in categories.values() if entry['name'] != 'void' for n in entry['map_ids']}
        assert shown == {int(v): int((pixels == v).sum()) for v in np.unique(pixels) if v in known}


def test_the_same_seed_gives_the_same_bytes_and_another_another_choice(data_prep, root, made, tmp_path):
    for out, seed in (('again', 0), ('other', 1)):
        args = ['--subset', 8, '--coarse', 20, '--seed', seed]
        assert data_prep('cityscapes', root, '--out', tmp_path / out, *args)[0] == 0
    for file in sorted((made / 'annotations').iterdir()):
        assert (tmp_path / 'again/annotations' / file.name).read_bytes() == file.read_bytes()
    assert names(read(tmp_path / 'other', 'subset')) != names(read(made, 'subset'))


def test_check_and_stats_take_the_data_set(data_prep, made, tmp_path):
    code, out, _ = data_prep('check', made)
    assert code == 0 and 'clean' in out and 'nothing is in two splits' in out
    code, out, _ = data_prep('stats', made, '--out', tmp_path / 'report')
    assert code == 0 and 'person' in out
    assert (tmp_path / 'report/size_px.png').is_file() and (tmp_path / 'report/report.html').is_file()


def test_without_a_share_the_test_is_on_val_and_said(data_prep, root, tmp_path):
    code, out, _ = data_prep('cityscapes', root, '--out', tmp_path / 'a', '--subset', 8, '--coarse', 20, '--test', 0)
    assert code == 0 and "test is Cityscapes' val" in out
    test = read(tmp_path / 'a', 'instances_test')
    assert names(test) == names(read(tmp_path / 'a', 'instances_val'))
    assert 'has seen them' in test['info']['description']
    assert len(names(read(tmp_path / 'a', 'instances_train'))) == 32


def test_fewer_coarse_images_than_wanted_are_taken_and_said(data_prep, root, tmp_path):
    code, _, err = data_prep('cityscapes', root, '--out', tmp_path / 'a', '--subset', 8)
    assert code == 1 and '4120 coarse images are wanted and 32 are there' in err
    part = tmp_path / 'part'
    shutil.copytree(root, part)
    shutil.rmtree(part / 'leftImg8bit/train_extra')
    code, _, err = data_prep('cityscapes', part, '--out', tmp_path / 'b', '--subset', 8)
    assert code == 1 and '26 are there; all are taken; leftImg8bit_trainextra.zip brings' in err


def remove(*parts):
    def spoil(root):
        for part in parts:
            path = root / part
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def shrink(root):
    path = str(next((root / 'leftImg8bit/val').rglob('*.png')))
    cv2.imwrite(path, cv2.imread(path)[:32])


def truncate(root):
    path = next((root / 'gtFine/train').rglob('*_instanceIds.png'))
    path.write_bytes(path.read_bytes()[:200])


FIRST = 'aachen/aachen_000000_000019'
BAD = [
    (remove(''), [], 'must be the folder of Cityscapes'),
    (remove('gtFine'), [], 'must hold gtFine/train; ', 'unpack gtFine_trainvaltest.zip'),
    (remove('leftImg8bit/val'), [], 'must hold leftImg8bit/val', 'leftImg8bit_trainvaltest.zip'),
    (remove('gtCoarse'), [], 'must hold gtCoarse/train', 'gtCoarse.zip'),
    (remove(f'leftImg8bit/train/{FIRST}_leftImg8bit.png'), [], 'lacks 1 of 32 files', f'{FIRST}_leftImg8bit.png'),
    (remove(f'gtFine/train/{FIRST}_gtFine_labelIds.png'), [], 'lacks 1 of 32', f'{FIRST}_gtFine_labelIds.png'),
    (remove('leftImg8bit/train_extra/augsburg'), [], 'train_extra lacks 6 of 6', 'leftImg8bit_trainextra.zip'),
    (shrink, [], 'must be as large as its labels, 96 x 64 px'),
    (truncate, [], 'truncated or damaged'),
    (lambda root: None, ['--subset', 99], '--subset 99 must be at most the 26 images'),
    (lambda root: None, ['--test', 2], 'must be float from 0 to 0.9'),
]


@pytest.mark.parametrize(('spoil', 'args', 'said'), [(a, b, c) for a, b, *c in BAD])
def test_what_is_missing_or_damaged_is_one_line(data_prep, root, tmp_path, spoil, args, said):
    copy = tmp_path / 'root'
    shutil.copytree(root, copy)
    spoil(copy)
    args = args if '--subset' in args else [*args, '--subset', 8]
    code, out, err = data_prep('cityscapes', copy, '--out', tmp_path / 'data', '--coarse', 20, *args)
    assert (code, out) == (2, '') and err.count('\n') == 1, err
    assert all(part in err for part in said), err
    assert not (tmp_path / 'data').exists()


def test_an_out_that_is_in_the_way_is_refused(data_prep, root, tmp_path):
    args = ['--subset', 8, '--coarse', 20]
    (tmp_path / 'file').write_text('')
    assert 'must be a folder' in data_prep('cityscapes', root, '--out', tmp_path / 'file', *args)[2]
    assert 'must not lie in' in data_prep('cityscapes', root, '--out', root / 'gtFine', *args)[2]
    (tmp_path / 'data/images').mkdir(parents=True)
    assert 'must be a link' in data_prep('cityscapes', root, '--out', tmp_path / 'data', *args)[2]
    assert not (tmp_path / 'data/annotations').exists()


def test_cities_are_held_back_whole():
    images = {f'city{n}': 10 + n for n in range(18)}
    for seed in range(20):
        chosen = held_back(images, 0.1, seed)
        assert 0.1 * sum(images.values()) <= sum(map(images.get, chosen)) <= 0.25 * sum(images.values())
    assert held_back({'a': 100, 'b': 3}, 0.1, 0) == ['b']
    assert len({tuple(held_back(images, 0.1, seed)) for seed in range(20)}) > 5


def test_images_are_spread_over_cities():
    cities = ['a'] * 50 + ['b'] * 5 + ['c'] * 20
    chosen = spread([str(n) for n in range(75)], cities, 30, 0)
    assert [sum(cities[n] == city for n in chosen) for city in 'abc'] in ([13, 5, 12], [12, 5, 13])
    assert len(set(chosen)) == 30


def test_rare_classes_come_first_into_the_subset():
    shown = [{1}] * 90 + [{1, 2}] * 8 + [{1, 3}] * 2
    chosen = balanced(shown, [str(n) for n in range(100)], ['a', 'b'] * 50, 12, 0)
    counts = {label: sum(label in shown[n] for n in chosen) for label in (1, 2, 3)}
    assert counts[3] == 2 and counts[2] == 8 and counts[1] == 12
    assert len(set(chosen)) == 12

"""Defects put into a clean data set one at a time: each is found, and nothing else is."""

import copy
import json
import os
import shutil
import struct

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle

from data_prep.check import check_coco, outlines, runs
from data_prep.check.codes import CODES
from data_prep.check.duplicates import _close
from data_prep.check.headers import Truncated, image_size
from data_prep.check.layout import inside
from data_prep.check.splits import overlaps
from data_prep.errors import DataError

WIDTH, HEIGHT = 40, 30


def drawn(x0, y0, x1, y1):
    """Mask of a box as compressed run lengths."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    mask[y0:y1, x0:x1] = 1
    return {'size': [HEIGHT, WIDTH], 'counts': rle.encode(mask)['counts'].decode()}


def plain(x0, y0, x1, y1):
    """Mask of a box as a list of run lengths."""
    gap, inside = HEIGHT - (y1 - y0), y1 - y0
    counts = [x0 * HEIGHT + y0, *([inside, gap] * (x1 - x0))]
    return {'size': [HEIGHT, WIDTH], 'counts': [*counts[:-1], WIDTH * HEIGHT - sum(counts[:-1])]}


def clean_content():
    """Three images; a polygon, one of two parts, a compressed and an uncompressed mask, a crowd."""

    def part(number, image, category, bbox, outline, area, iscrowd=0):
        return {'id': number, 'image_id': image, 'category_id': category, 'bbox': bbox, 'segmentation': outline,
                'area': area, 'iscrowd': iscrowd}  # fmt: skip

    def ring(x, y, w, h):
        return [x, y, x + w, y, x + w, y + h, x, y + h]

    return {
        'images': [{'id': n, 'file_name': f'{n}.png', 'width': WIDTH, 'height': HEIGHT} for n in (1, 2)],
        'annotations': [
            part(1, 1, 1, [2, 3, 10.5, 6], [ring(2, 3, 10.5, 6)], 63),
            part(2, 1, 2, [20, 4, 15, 12], [ring(20, 4, 5, 5), ring(30, 10, 5, 6)], 55),
            part(3, 2, 1, [5, 6, 10, 8], drawn(5, 6, 15, 14), 80),
            part(4, 2, 2, [20, 2, 6, 9], plain(20, 2, 26, 11), 54),
            part(5, 2, 2, [1, 20, 30, 5], drawn(1, 20, 31, 25), 150, iscrowd=1),
        ],
        'categories': [{'id': 1, 'name': 'tree', 'supercategory': ''}, {'id': 2, 'name': 'log', 'supercategory': ''}],
    }


@pytest.fixture(scope='session')
def clean_folder(tmp_path_factory, write_raster):
    """The clean set in the layout of COCO."""
    folder = tmp_path_factory.mktemp('clean')
    for number in (1, 2):
        write_raster(folder / f'images/{number}.png', (WIDTH, HEIGHT), seed=number, driver='PNG')
    (folder / 'coco.json').write_text(json.dumps(clean_content()))
    return folder


@pytest.fixture
def defect(clean_folder, tmp_path):
    """Check the clean set after a change of its content; returns the report."""
    shutil.copytree(clean_folder, tmp_path / 'set')

    def run(change, limit=1):
        content = clean_content()
        change(content)
        (tmp_path / 'set/coco.json').write_text(json.dumps(content))
        return check_coco(tmp_path / 'set/coco.json', limit=limit)

    return run


def test_the_clean_set_is_clean(clean_folder):
    report = check_coco(clean_folder / 'coco.json', clean_folder / 'images')
    assert report.codes == {} and report.exit_code == 0
    assert report.files == {'coco.json': {'images': 2, 'annotations': 5, 'categories': 2}}


def put(kind, row, **changes):
    return lambda content: content[kind][row].update(changes)


def without(kind, row, key):
    return lambda content: content[kind][row].pop(key)


def added(kind, row, **changes):
    """A copy of an entry, changed, at the end."""
    return lambda content: content[kind].append({**copy.deepcopy(content[kind][row]), **changes})


def ring_put(*changes):
    """Numbers of the first ring, by index."""

    def change(content):
        for index, value in changes:
            content['annotations'][0]['segmentation'][0][index] = value

    return change


def counts_put(row, change):
    def put_counts(content):
        mask = content['annotations'][row]['segmentation']
        mask['counts'] = change(mask['counts'])

    return put_counts


def boxes_only(content):
    for part in content['annotations']:
        part['segmentation'] = []


def first_box_only(content):
    boxes_only(content)
    content['annotations'][0]['bbox'] = [25, 15, 38, 28]


def last_of(text, char):
    return text[:-1] + char


FULL = [0, 0, WIDTH, 0, WIDTH, HEIGHT, 0, HEIGHT]
SHIFTED = [2.1, 3, 12.6, 3, 12.6, 9, 2.1, 9]
CASES = [
    ('images is no list', 'coco-incomplete annotation-image-unknown', lambda c: c.update(images={})),
    ('no categories', 'coco-incomplete annotation-category-unknown', lambda c: c.pop('categories')),
    ('empty object', 'coco-incomplete', dict.clear),
    ('annotation is a string', 'entry-invalid', lambda c: c['annotations'].append('tree')),
    ('annotation without id', 'entry-invalid', without('annotations', 0, 'id')),
    ('annotation without image_id', 'entry-invalid', without('annotations', 0, 'image_id')),
    ('category_id is null', 'entry-invalid', put('annotations', 0, category_id=None)),
    ('category_id is a list', 'entry-invalid', put('annotations', 0, category_id=[1])),
    ('image without file_name', 'entry-invalid annotation-image-unknown file-unlisted',
     without('images', 0, 'file_name')),
    ('category without name', 'entry-invalid annotation-category-unknown', without('categories', 1, 'name')),
    ('annotation id is text', 'id-type', put('annotations', 0, id='1')),
    ('image id as text', 'id-type annotation-image-unknown image-without-annotations', put('images', 0, id='1')),
    ('image id twice', 'image-id-duplicate file-missing', added('images', 0, file_name='3.png')),
    ('image listed twice', 'image-listed-twice image-without-annotations', added('images', 0, id=9)),
    ('image listed twice as ./', 'image-listed-twice image-without-annotations',
     added('images', 0, id=9, file_name='./1.png')),
    ('width is 0', 'image-size-invalid', put('images', 0, width=0)),
    ('height is text', 'image-size-invalid', put('images', 0, height='30')),
    ('no width', 'image-size-invalid', without('images', 0, 'width')),
    ('image without annotations', 'image-without-annotations', lambda c: c.update(annotations=c['annotations'][2:])),
    ('annotation id twice', 'annotation-id-duplicate', put('annotations', 1, id=1)),
    ('annotation id 0', 'annotation-id-zero', put('annotations', 0, id=0)),
    ('unknown image', 'annotation-image-unknown', put('annotations', 0, image_id=77)),
    ('unknown category', 'annotation-category-unknown', put('annotations', 0, category_id=77)),
    ('category id twice', 'category-id-duplicate', added('categories', 0, name='bush')),
    ('category id 0, unused', 'category-id-zero category-unused', added('categories', 0, id=0, name='root')),
    ('category ids with a gap', 'category-id-gaps category-unused', added('categories', 0, id=9, name='bush')),
    ('category name twice', 'category-name-duplicate category-unused', added('categories', 0, id=3)),
    ('category name with a blank', 'category-name-blanks', put('categories', 0, name='tree ')),
    ('category names differ by case', 'category-name-case', put('categories', 1, name='Tree')),
    ('category never used', 'category-unused', added('categories', 0, id=3, name='bush')),
    ('bbox is missing', 'bbox-invalid', without('annotations', 0, 'bbox')),
    ('bbox of three numbers', 'bbox-invalid', put('annotations', 0, bbox=[2, 3, 10])),
    ('bbox holds text', 'bbox-invalid', put('annotations', 0, bbox=[2, 3, '10', 6])),
    ('bbox holds NaN', 'bbox-invalid', put('annotations', 0, bbox=[2, 3, float('nan'), 6])),
    ('bbox width 0', 'bbox-invalid', put('annotations', 0, bbox=[2, 3, 0, 6])),
    ('bbox of a huge integer', 'bbox-invalid', put('annotations', 0, bbox=[2, 3, 10**400, 6])),
    ('bbox is xyxy', 'bbox-xyxy', put('annotations', 1, bbox=[20, 4, 35, 16])),
    ('bbox is xyxy of a mask', 'bbox-xyxy', put('annotations', 2, bbox=[5, 6, 15, 14])),
    ('bbox is xyxy without a mask', 'bbox-xyxy segmentation-missing', first_box_only),
    ('bbox of another object', 'bbox-disagrees', put('annotations', 0, bbox=[25, 20, 10, 6])),
    ('bbox 2 px too wide', 'bbox-loose', put('annotations', 0, bbox=[2, 3, 12.5, 6])),
    ('bbox outside, no mask', 'bbox-outside segmentation-missing',
     lambda c: (boxes_only(c), c['annotations'][0].update(bbox=[35, 25, 10, 3]))),
    ('area is missing', 'area-invalid', without('annotations', 0, 'area')),
    ('area is 0', 'area-invalid', put('annotations', 0, area=0)),
    ('area is infinite', 'area-invalid', put('annotations', 0, area=float('inf'))),
    ('area of the box', 'area-disagrees', put('annotations', 1, area=180)),
    ('area of a mask doubled', 'area-disagrees', put('annotations', 2, area=160)),
    ('iscrowd is missing', 'iscrowd-invalid', without('annotations', 0, 'iscrowd')),
    ('iscrowd is 2', 'iscrowd-invalid', put('annotations', 0, iscrowd=2)),
    ('crowd as polygon', 'iscrowd-polygon', put('annotations', 0, iscrowd=1)),
    ('no segmentation anywhere', 'segmentation-missing', boxes_only),
    ('one segmentation is empty', 'segmentation-missing', put('annotations', 0, segmentation=[])),
    ('one segmentation is null', 'segmentation-missing', put('annotations', 0, segmentation=None)),
    ('segmentation is text', 'segmentation-invalid', put('annotations', 0, segmentation='2 3 4')),
    ('ring is not in a list', 'segmentation-invalid', put('annotations', 0, segmentation=FULL)),
    ('ring holds text', 'segmentation-invalid', ring_put((0, '2'))),
    ('ring of points', 'segmentation-invalid', put('annotations', 0, segmentation=[[[2, 3], [12, 3], [12, 9]]])),
    ('ring of 4 numbers', 'polygon-short', put('annotations', 0, segmentation=[[2, 3, 12.5, 9]])),
    ('ring of 7 numbers', 'polygon-odd', put('annotations', 0, segmentation=[[2, 3, 12.5, 3, 12.5, 9, 2]])),
    ('NaN in a ring', 'polygon-not-finite', ring_put((0, float('nan')))),
    ('infinity in a ring', 'polygon-not-finite', ring_put((3, float('inf')))),
    ('a huge integer in a ring', 'polygon-not-finite', ring_put((3, 10**400))),
    ('a second ring of one point', 'polygon-ring-flat',
     lambda c: c['annotations'][0]['segmentation'].append([4, 4, 4, 4, 4, 4])),
    ('a corner outside', 'polygon-outside bbox-loose area-disagrees', ring_put((0, -3))),
    ('an object wholly outside', 'object-outside',
     put('annotations', 0, bbox=[50, 3, 10, 6], area=60, segmentation=[[50, 3, 60, 3, 60, 9, 50, 9]])),
    ('a polygon without area', 'mask-empty',
     put('annotations', 0, segmentation=[[2, 3, 12.5, 9, 2, 3]])),
    ('a mask without a pixel', 'mask-empty', put('annotations', 3, segmentation={'size': [30, 40], 'counts': [1200]})),
    ('a compressed mask without a pixel', 'mask-empty', put('annotations', 2, segmentation=drawn(0, 0, 0, 0))),
    ('mask of another size', 'rle-size rle-counts',
     lambda c: c['annotations'][2]['segmentation'].update(size=[HEIGHT, WIDTH + 1])),
    ('mask with width and height swapped', 'rle-size',
     lambda c: c['annotations'][2]['segmentation'].update(size=[WIDTH, HEIGHT])),
    ('mask without size', 'rle-size', lambda c: c['annotations'][2]['segmentation'].pop('size')),
    ('counts are missing', 'rle-counts', lambda c: c['annotations'][2]['segmentation'].pop('counts')),
    ('counts too short', 'rle-counts', counts_put(3, lambda counts: counts[:-1])),
    ('counts too long', 'rle-counts', counts_put(3, lambda counts: [*counts, 5])),
    ('a negative count', 'rle-counts', counts_put(3, lambda counts: [counts[0] + 4, -4, *counts[1:]])),
    ('a count that is no whole number', 'rle-counts', counts_put(3, lambda counts: [*counts[:-1], 4.5])),
    ('text cut short', 'rle-counts', counts_put(2, lambda text: text[:-2])),
    ('text that does not end', 'rle-counts', counts_put(2, lambda text: last_of(text, 'o'))),
    ('text with a character outside the code', 'rle-counts', counts_put(2, lambda text: last_of(text, 'é'))),
    ('an empty text', 'rle-counts', counts_put(2, lambda text: '')),
    ('the same object twice', 'object-duplicate', added('annotations', 0, id=9)),
    ('nearly the same polygon', 'object-duplicate', added('annotations', 0, id=9, segmentation=[SHIFTED])),
    ('a mask that is also a list', 'object-duplicate', added('annotations', 2, id=9, segmentation=plain(5, 6, 15, 14))),
    ('a box twice', 'object-duplicate segmentation-missing',
     lambda c: (boxes_only(c), added('annotations', 0, id=9, bbox=[2, 3, 10.5, 6.01])(c))),
    ('absolute file name', 'file-name-unsafe file-unlisted', put('images', 0, file_name='/etc/passwd')),
    ('file name leads out', 'file-name-unsafe file-unlisted', put('images', 0, file_name='../1.png')),
    ('backslash in a file name', 'file-name-unsafe file-unlisted', put('images', 0, file_name='a\\1.png')),
    ('drive in a file name', 'file-name-unsafe file-unlisted', put('images', 0, file_name='C:1.png')),
    ('URL as file name', 'file-name-unsafe file-unlisted', put('images', 0, file_name='http://x/1.png')),
    ('NUL in a file name', 'file-name-unsafe file-unlisted', put('images', 0, file_name='1.png\0')),
    ('half a surrogate in a file name', 'file-name-unsafe file-unlisted', put('images', 0, file_name='\ud800.png')),
    ('missing file', 'file-missing file-unlisted', put('images', 0, file_name='7.png')),
    ('entry of another size', 'file-size-disagrees rle-size', put('images', 1, width=WIDTH + 2)),
    ('an image nobody lists', 'file-unlisted',
     lambda c: (c['images'].pop(0), c.update(annotations=c['annotations'][2:]))),
]  # fmt: skip


@pytest.mark.parametrize(('expected', 'change'), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_defect_is_found(defect, expected, change):
    report = defect(change)
    assert set(report.codes) == set(expected.split())
    assert report.exit_code == max(finding.severity for finding in report.findings)


def test_the_cases_cover_what_can_be_found():
    covered = {code for case in CASES for code in case[1].split()}
    elsewhere = {code for code in CODES if code.startswith(('split-', 'file-', 'images-', 'json-', 'source-'))}
    assert set(CODES) - elsewhere <= covered and len(CASES) >= 30


def folder_defect(tmp_path, clean_folder, change):
    folder = tmp_path / 'set'
    shutil.copytree(clean_folder, folder)
    change(folder)
    return check_coco(folder / 'coco.json')


def cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


def put_text(folder, old, new):
    text = (folder / 'coco.json').read_text()
    assert old in text
    (folder / 'coco.json').write_text(text.replace(old, new, 1))


FILE_CASES = [
    ('not UTF-8', 'json-unreadable', lambda f: (f / 'coco.json').write_bytes(b'{"images": "\xff"}')),
    ('cut short', 'json-unreadable', lambda f: cut(f / 'coco.json', 200)),
    ('nested too deep', 'json-unreadable', lambda f: (f / 'coco.json').write_text('[' * 200_000 + ']' * 200_000)),
    ('a list', 'coco-incomplete', lambda f: (f / 'coco.json').write_text('[]')),
    ('an empty file', 'file-unreadable', lambda f: (f / 'images/1.png').write_bytes(b'')),
    ('a PNG cut short', 'file-truncated', lambda f: cut(f / 'images/1.png', -30)),
    ('a PNG without a header', 'file-unreadable', lambda f: cut(f / 'images/1.png', 12)),
    ('a PNG cut in its pixels', 'file-truncated', lambda f: cut(f / 'images/1.png', 600)),
    ('a key twice in the file', 'json-key-twice', lambda f: put_text(f, '{"images"', '{"images": [], "images"')),
    ('a key twice in an annotation', 'json-key-twice',
     lambda f: put_text(f, '"image_id": 2, "cat', '"image_id": 1, "image_id": 2, "cat')),
    ('a key twice in a mask', 'json-key-twice', lambda f: put_text(f, '"counts"', '"counts": "", "counts"')),
    ('a JPEG without a frame', 'file-unreadable', lambda f: (f / 'images/1.png').write_bytes(b'\xff\xd8\xff\xd9')),
    ('a TIFF without a directory', 'file-unreadable', lambda f: (f / 'images/1.png').write_bytes(b'II*\0')),
    ('a kind of file nobody knows', 'file-format-unknown', lambda f: (f / 'images/1.png').write_bytes(b'BM' * 40)),
    ('a folder in place of a file', 'file-missing',
     lambda f: ((f / 'images/1.png').unlink(), (f / 'images/1.png').mkdir())),
    ('a link that leads out', 'file-link-outside',
     lambda f: ((f / 'images/1.png').rename(f / 'x.png'), (f / 'images/1.png').symlink_to(f / 'x.png'))),
    ('another file in the folder', 'file-unlisted', lambda f: shutil.copy(f / 'images/1.png', f / 'images/3.png')),
    ('no folder of images', 'images-not-found', lambda f: shutil.rmtree(f / 'images')),
]  # fmt: skip


@pytest.mark.parametrize(
    ('expected', 'change'), [case[1:] for case in FILE_CASES], ids=[case[0] for case in FILE_CASES]
)
def test_a_damaged_file_is_found(tmp_path, clean_folder, expected, change):
    report = folder_defect(tmp_path, clean_folder, change)
    assert list(report.codes) == [expected]


def test_a_name_that_differs_by_case_is_named(defect):
    report = defect(put('images', 0, file_name='1.PNG'))
    assert '1.png is there' in report.findings[0].examples[0].problem


def test_examples_name_the_place_and_the_limit_holds(defect):
    report = defect(lambda c: [part.update(area=0) for part in c['annotations']], limit=2)
    finding = report.findings[0]
    assert finding.count == 5 and len(finding.examples) == 2
    assert finding.examples[0].place == 'annotation 1 in 1.png' and finding.examples[0].problem == 'area 0'


@pytest.mark.parametrize('driver', ['PNG', 'JPEG', 'GTiff'])
def test_size_from_the_header(tmp_path, write_raster, driver):
    path = write_raster(tmp_path / 'x', (73, 41), driver=driver)
    assert image_size(path) == (73, 41)


KINDS = {
    'png': {'driver': 'PNG'},
    'jpeg': {'driver': 'JPEG'},
    'progressive jpeg': {'driver': 'JPEG', 'PROGRESSIVE': 'ON'},
    'strips': {},
    'strips by band': {'interleave': 'band'},
    'tiles': {'tiled': True, 'blockxsize': 16, 'blockysize': 16, 'compress': 'deflate'},
    'tiles of a bigtiff': {'tiled': True, 'blockxsize': 16, 'blockysize': 16, 'BIGTIFF': 'YES'},
    'jpeg in tiff': {'tiled': True, 'blockxsize': 16, 'blockysize': 16, 'compress': 'jpeg'},
}


@pytest.mark.parametrize('kind', KINDS)
def test_a_file_cut_anywhere_behind_its_header_is_told(tmp_path, write_raster, kind):
    whole = write_raster(tmp_path / 'x', (73, 41), **KINDS[kind]).read_bytes()
    assert image_size(tmp_path / 'x') == (73, 41)
    end = len(whole) - (2 if kind.endswith('jpeg') else 8)
    for keep in (len(whole) // 2, len(whole) * 3 // 4, end):
        (tmp_path / 'x').write_bytes(whole[:keep])
        with pytest.raises(Truncated, match=f'stops after {keep} bytes'):
            image_size(tmp_path / 'x')
    (tmp_path / 'x').write_bytes(whole + bytes(9000))  # what some cameras append
    assert image_size(tmp_path / 'x') == (73, 41)


def test_a_jpeg_with_a_whole_thumbnail_in_its_header_is_told_too(tmp_path, write_raster):
    small, whole = (
        write_raster(tmp_path / n, size, driver='JPEG').read_bytes() for n, size in (('s', (8, 8)), ('x', (73, 41)))
    )
    segment = b'\xff\xe1' + (len(small) + 2).to_bytes(2) + small
    (tmp_path / 'x').write_bytes(whole[:2] + segment + whole[2:])
    assert image_size(tmp_path / 'x') == (73, 41)
    for keep in (2 + len(segment) + 600, 2 + len(segment) + 30):  # in the scan, and behind the thumbnail
        (tmp_path / 'x').write_bytes((whole[:2] + segment + whole[2:])[:keep])
        with pytest.raises(DataError):
            image_size(tmp_path / 'x')


def test_sparse_and_huge_tiffs_are_whole(tmp_path, write_raster):
    blocks = {'tiled': True, 'blockxsize': 256, 'blockysize': 256, 'SPARSE_OK': 'TRUE'}
    path = tmp_path / 'x.tif'
    side = 70_000  # 4.9 GB of pixels, of which a corner is written; the file has a hole
    with rasterio.open(
        path, 'w', driver='GTiff', width=side, height=side, count=1, dtype='uint8', BIGTIFF='YES', **blocks
    ):
        pass
    assert image_size(path) == (side, side) and path.stat().st_size < 1 << 22
    plain = tmp_path / 'plain.tif'
    _plain_bigtiff(plain, side, side)
    assert plain.stat().st_size > 1 << 32 and image_size(plain) == (side, side)
    os.truncate(plain, plain.stat().st_size - 1)
    with pytest.raises(Truncated, match='before its pixels end'):
        image_size(plain)


def _plain_bigtiff(path, width, height):
    """Uncompressed, one strip a row, all of its pixels a hole in the file."""
    table, rows = 16 + 8 + 9 * 20 + 8, np.arange(height, dtype='<u8')
    start = table + 2 * 8 * height
    sizes = table + 8 * height
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
               (273, 16, height, table), (277, 3, 1, 1), (278, 4, 1, 1), (279, 16, height, sizes)]  # fmt: skip
    with open(path, 'wb') as file:
        file.write(struct.pack('<2sHHHQQ', b'II', 43, 8, 0, 16, len(entries)))
        file.write(b''.join(struct.pack('<HHQQ', *entry) for entry in entries) + bytes(8))
        file.write((start + rows * width).tobytes() + np.full(height, width, '<u8').tobytes())
        file.truncate(start + width * height)


def test_a_source_that_is_cut_short_is_told_once(made, scenes):
    folder = made('--pixels', 'none')
    content = json.loads((folder / 'annotations/instances_val.json').read_text())
    raster = scenes / f'{content["images"][0]["scene"]}.tif'
    cut(raster, -100)
    report = check_coco(folder)
    assert report.codes['file-truncated'] == 1 and report.exit_code == 2
    assert report.findings[0].examples[0].place.endswith(raster.name)


SAFE = ['a.png', 'a/b.png', './a.png', 'ä ö.png', '10:30.png', 'a..b.png', '~a.png']
UNSAFE = ['', '/a', '..', 'a/../../b', '../a', 'a\\b', 'C:/a', 'c:a', 'http://x/a', 'a\nb', 'a/', '\x1b[2J.png']


def test_names_that_stay_inside():
    assert [inside(name) for name in SAFE] == [True] * len(SAFE)
    assert [inside(name) for name in UNSAFE] == [False] * len(UNSAFE)


# Splits


@pytest.fixture
def made(data_prep, scenes, tmp_path):
    """Make a data set with ``tile``; returns its folder."""

    def run(*options):
        code, _, stderr = data_prep('tile', scenes, '--out', tmp_path / 'trees', '--tile-size', 32, *options)
        assert code in (0, 1), stderr  # 1: by blocks, a split may show no object
        return tmp_path / 'trees'

    return run


def edit(folder, split, change, at='annotations'):
    path = folder / at / f'instances_{split}.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize('split_by', ['scene', 'blocks'])
def test_what_tile_makes_is_clean(data_prep, made, split_by):
    folder = made('--split-by', split_by)
    code, stdout, stderr = data_prep('check', folder, '--json')
    assert code == 0 and stderr == ''
    report = json.loads(stdout)['reports'][0]
    assert {finding['code'] for finding in report['findings']} <= {'image-without-annotations', 'category-unused'}
    assert report['proof']['regions'] == sum(counts['images'] for counts in report['files'].values())
    assert report['proof']['object_ids'] >= 4
    assert report['proof']['splits'] == ['train', 'val', 'test'] and report['proof']['unproved'] == 0
    code, stdout, _ = data_prep('check', folder)
    assert code == 0 and 'nothing is in two splits' in stdout and stdout.rstrip().endswith('clean')


def test_a_tile_in_two_splits_is_found(data_prep, made):
    folder = made()
    train = json.loads((folder / 'annotations/instances_train.json').read_text())
    part = train['annotations'][0]
    image = train['images'][part['image_id'] - 1]
    shutil.copy(folder / 'images/train' / image['file_name'], folder / 'images/val')

    def leak(content):
        content['images'].append({**image, 'id': 9999})
        content['annotations'].append({**part, 'id': 9999, 'image_id': 9999})

    edit(folder, 'val', leak)
    code, stdout, _ = data_prep('check', folder, '--json')
    found = {finding['code']: finding for finding in json.loads(stdout)['reports'][0]['findings']}
    assert code == 2
    assert {'split-object', 'split-pixels'} <= found.keys() and 'split-file' not in found
    example = found['split-object']['examples'][0]
    assert example['file'] == 'instances_val.json' and part['object_id'] in example['problem']
    assert image['file_name'] in found['split-pixels']['examples'][0]['problem']


def test_one_shared_column_is_found(made):
    folder = made('--split-by', 'blocks', '--split', '0.5,0.5,0')
    assert check_coco(folder).exit_code == 0
    train = json.loads((folder / 'annotations/instances_train.json').read_text())
    edge = {}
    for image in train['images']:
        x, _, width, _ = image['read_xywh']
        edge[image['scene']] = max(edge.get(image['scene'], 0), x + width)

    def widen(content):
        image = content['images'][0]
        x, y, width, height = image['read_xywh']
        left = edge[image['scene']] - 1
        image['read_xywh'] = [left, 0, x + width - left, 128]

    edit(folder, 'val', widen)
    report = check_coco(folder)
    assert list(report.codes)[0] == 'split-pixels' and report.exit_code == 2
    assert 'shares 1 x ' in report.findings[0].examples[0].problem


def test_a_fold_is_compared_with_itself_and_the_test_split(made):
    folder = made('--kfold', '3', '--test', 's0')
    report = check_coco(folder)
    assert report.exit_code == 0 and len(report.files) == 7 and report.proof.regions > 0
    other = json.loads((folder / 'annotations/fold_1/instances_val.json').read_text())
    edit(folder, 'train', lambda content: content.update(other), at='annotations/fold_1')
    report = check_coco(folder, limit=9)
    assert report.exit_code == 2 and report.findings[-1].code != 'split-object'
    leaks = [finding for finding in report.findings if finding.code in ('split-object', 'split-pixels')]
    assert {example.file for finding in leaks for example in finding.examples} == {'fold_1/instances_val.json'}


def test_tiles_without_pixels_need_their_source(made, scenes):
    folder = made('--pixels', 'none')
    assert check_coco(folder).exit_code == 0
    content = json.loads((folder / 'annotations/instances_val.json').read_text())
    (scenes / f'{content["images"][0]["scene"]}.tif').unlink()
    report = check_coco(folder)
    assert report.exit_code == 2 and report.codes['source-missing'] == len(content['images'])


def test_categories_that_differ_between_splits(made):
    folder = made()
    edit(folder, 'val', lambda content: content['categories'][0].update(name='bush'))
    assert 'split-categories' in check_coco(folder).codes


@pytest.fixture
def roboflow(tmp_path, clean_folder, write_raster):
    """Two splits in Roboflow's layout, with its unused root category 0."""
    for seed, split in enumerate(('train', 'valid')):
        content = clean_content()
        content['categories'].insert(0, {'id': 0, 'name': 'root', 'supercategory': 'none'})
        for image in content['images']:
            write_raster(
                tmp_path / split / image['file_name'], (WIDTH, HEIGHT), seed=10 * seed + image['id'], driver='PNG'
            )
        (tmp_path / split / '_annotations.coco.json').write_text(json.dumps(content))
    return tmp_path


def test_roboflow_layout(roboflow):
    report = check_coco(roboflow)
    assert report.codes == {'category-id-zero': 2, 'category-unused': 2} and report.exit_code == 1
    assert list(report.files) == ['train/_annotations.coco.json', 'valid/_annotations.coco.json']
    assert report.proof.by_bytes == 4 and report.proof.object_ids == 0


def test_the_same_bytes_in_two_splits(roboflow, data_prep):
    shutil.copy(roboflow / 'train/1.png', roboflow / 'valid/2.png')
    report = check_coco(roboflow)
    assert report.codes['split-file'] == 1 and report.exit_code == 2
    assert report.findings[0].examples[0].place == 'image 2.png'
    files = [roboflow / split / '_annotations.coco.json' for split in ('train', 'valid')]
    code, stdout, _ = data_prep('check', *files)  # named one by one they are splits of each other too
    assert code == 2 and 'shared: split-file' in stdout
    code, _, _ = data_prep('check', roboflow / 'train', roboflow / 'valid')  # folders are not
    assert code == 1


# The command


def test_exit_codes(data_prep, clean_folder, tmp_path):
    clean = clean_folder / 'coco.json'
    assert data_prep('check', clean)[0] == 0
    content = clean_content()
    put('categories', 0, name='tree ')(content)
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    code, stdout, _ = data_prep('check', tmp_path / 'coco.json', '--images', clean_folder / 'images')
    assert code == 1 and '0 errors, 1 warning' in stdout and "name 'tree '" in stdout
    put('annotations', 0, bbox=[1])(content)
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    code, stdout, _ = data_prep('check', tmp_path / 'coco.json', '--images', clean_folder / 'images', '--json')
    report = json.loads(stdout)['reports'][0]
    assert code == report['exit_code'] == 2 and report['errors'] == report['warnings'] == 1


@pytest.mark.parametrize('arguments', [['nothing.json'], ['.', '--images', 'nothing'], []])
def test_nothing_to_check_is_one_line(data_prep, tmp_path, arguments):
    paths = [tmp_path / item if not item.startswith('-') else item for item in arguments]
    code, stdout, stderr = data_prep('check', *paths)
    assert code == 2 and stdout == '' and stderr.count('\n') == 1


def test_names_cannot_write_to_the_terminal(data_prep, tmp_path):
    content = clean_content()
    put('images', 0, file_name='\x1b[2J\ud800.png')(content)
    put('categories', 0, name='\x1b]0;x\x07')(content)
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    code, stdout, _ = data_prep('check', tmp_path / 'coco.json', '--limit', 99)
    assert code == 2 and '\x1b' not in stdout and '\\x1b' in stdout


# Any input


masks = st.integers(0, 2**32 - 1).map(
    lambda seed: (lambda rng: rng.random((rng.integers(1, 40), rng.integers(1, 40))) < rng.random())(
        np.random.default_rng(seed)
    )
)


@given(st.lists(masks, min_size=1, max_size=5))
def test_compressed_runs_are_those_of_pycocotools(drawn_masks):
    coded = [rle.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in drawn_masks]
    parsed = runs.packed_runs([mask['counts'].decode() for mask in coded])
    assert not parsed.broken.any()
    assert runs.sums(parsed).tolist() == [mask.size for mask in drawn_masks]
    area, bounds = runs.measure(parsed, np.array([len(mask) for mask in drawn_masks]))
    assert area.tolist() == [float(mask.sum()) for mask in drawn_masks]
    for code, corners, mask in zip(coded, bounds, drawn_masks, strict=True):
        if mask.any():
            assert [*corners[:2], *(corners[2:] - corners[:2])] == rle.toBbox(code).tolist()
        else:
            assert np.isnan(corners).all()
    counts = [parsed.counts[a:b].tolist() for a, b in zip(parsed.starts, parsed.starts[1:], strict=False)]
    again = runs.plain_runs(counts)
    assert all(np.array_equal(one, two) for one, two in zip(parsed, again, strict=True))


@given(st.lists(st.text(max_size=12), min_size=1, max_size=6))
def test_any_text_as_counts_leaves_its_neighbours_alone(texts):
    good = '52203'
    parsed = runs.packed_runs([item for text in texts for item in (text, good)])
    alone = runs.packed_runs([good])
    assert (runs.sums(parsed)[1::2] == runs.sums(alone)[0]).all() and not parsed.broken[1::2].any()


@given(st.lists(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=3, max_size=6),
                min_size=1, max_size=5))  # fmt: skip
def test_ring_areas_are_those_of_shapely(rings):
    joined = outlines.join_rings([[[value for point in ring for value in point]] for ring in rings])
    polygons = [shapely.Polygon(ring) for ring in rings]
    assert np.allclose(outlines.ring_areas(joined), [polygon.area for polygon in polygons], atol=1e-9)
    bounds, _ = outlines.per_object(joined, len(rings))
    assert np.allclose(bounds, [polygon.bounds for polygon in polygons])


rectangles = st.lists(st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 6)] * 2), min_size=1, max_size=8).map(
    lambda items: np.array([(x, y, x + w, y + h) for x, y, w, h in items], float)
)


@given(rectangles, rectangles)
def test_overlaps_are_those_of_drawn_pixels(first, second):
    def pixels(box):
        x0, y0, x1, y1 = box.astype(int)
        return {(x, y) for x in range(x0, x1) for y in range(y0, y1)}

    truth = {(i, j): len(pixels(a) & pixels(b)) for i, a in enumerate(first) for j, b in enumerate(second)}
    found = {(i, j): width * height for i, j, width, height in overlaps(first, second)}
    assert found == {pair: count for pair, count in truth.items() if count}


def test_many_objects_are_compared_by_an_index_as_by_all_pairs():
    rng = np.random.default_rng(0)
    centre, side = rng.integers(0, 30, (60, 2)).astype(float), rng.integers(1, 20, (60, 2)).astype(float)
    far = np.arange(60)[:, None] * 1000.0 + np.full((60, 2), 5000)
    few = _close(centre, side)
    many = _close(np.vstack([centre, far]), np.vstack([side, np.ones((60, 2))]))
    assert len(few) > 5 and np.array_equal(few, many)


NASTY = [None, True, -1, 0, 1.5, 10**400, float('nan'), '', 'x\0', '\ud800', [], {}, [[]], [None], {'counts': 'é'}]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_value_anywhere_breaks_the_check(tmp_path, clean_folder, data):
    content = clean_content()
    for _ in range(data.draw(st.integers(1, 3))):
        at, key = content, data.draw(st.sampled_from(sorted(content)))
        while isinstance(at[key], list | dict) and at[key] and data.draw(st.integers(0, 3)):
            at = at[key]
            key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        at[key] = copy.deepcopy(data.draw(st.sampled_from(NASTY)))
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    report = check_coco(tmp_path / 'coco.json', clean_folder / 'images')
    json.dumps(report.to_json(), allow_nan=False)
    assert report.exit_code in (0, 1, 2)


def test_a_missing_path_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match='nothing is there'):
        check_coco(tmp_path / 'x.json')
    with pytest.raises(DataError, match='holds neither'):
        check_coco(tmp_path)


# Real files


def test_real_coco_files(real_data):
    photos = check_coco(real_data / 'coco_permissive33/instances.json')
    assert photos.codes == {
        'category-id-gaps': 1, 'area-disagrees': 1, 'image-without-annotations': 1, 'category-unused': 36,
    }  # fmt: skip
    crowns = check_coco(real_data / 'denmark_tree_crowns/scene0_coco.json')
    assert crowns.codes == {'file-unlisted': 1} and crowns.exit_code == 0
    logs = real_data / 'finland_deadwood'
    assert check_coco(logs / 'derived/R70C21_coco.json', logs).codes == {}

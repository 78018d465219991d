"""The COCO contract between rooms: what ``tile`` writes has every key, loads in pycocotools, and can be read again."""

import json

import numpy as np
import pytest

pytest.importorskip('rasterio')

SPLITS = ('train', 'val', 'test')
NUMBER = (int, float)
IMAGE = {
    'id': int,
    'file_name': str,
    'width': int,
    'height': int,
    'scene': str,
    'source': str,
    'source_sha256': str,
    'window_xywh': list,
    'read_xywh': list,
    'scale': float,
    'bands': list,
    'stretch_lo_hi': (list, type(None)),
    'nodata': (*NUMBER, str, type(None)),
    'crs': (str, type(None)),
    'transform': list,
    'gsd_m': (float, type(None)),
}
ANNOTATION = {
    'id': int,
    'image_id': int,
    'category_id': int,
    'bbox': list,
    'area': float,
    'iscrowd': int,
    'segmentation': (list, dict),
    'object_id': str,
    'visible_fraction': float,
}
CATEGORY = {'id': int, 'name': str, 'supercategory': str}


@pytest.fixture(params=['uint8', 'uint16'])
def data_set(request, data_prep, tmp_path, scenes, write_raster):
    """A data set of four scenes, of which one also has a black hole; the second kind is stretched."""
    for number in range(4):
        pixels = np.random.default_rng(number).integers(1, 256, (4, 128, 160)).astype(request.param)
        if request.param == 'uint16':
            pixels *= 11
        pixels[:, 100:, 100:] = 0
        write_raster(scenes / f's{number}.tif', pixels=pixels)
    out = tmp_path / 'data/trees'
    code, _, stderr = data_prep('tile', scenes, '--out', out, '--tile-size', 48, '--min-visible', 0.3)
    assert code == 0, stderr
    return out


@pytest.fixture
def contents(data_set):
    """The COCO file of each split."""
    return {split: json.loads((data_set / f'annotations/instances_{split}.json').read_text()) for split in SPLITS}


def check(entry, expected):
    assert set(entry) == set(expected)
    for key, kind in expected.items():
        assert isinstance(entry[key], kind) and not isinstance(entry[key], bool), key


def test_every_key_has_its_type(contents):
    for content in contents.values():
        assert content['images'] and content['annotations']
        for kind, expected in (('images', IMAGE), ('annotations', ANNOTATION), ('categories', CATEGORY)):
            for entry in content[kind]:
                check(entry, expected)
            assert [entry['id'] for entry in content[kind]] == list(range(1, len(content[kind]) + 1))
        assert content['categories'] == contents['train']['categories']


def test_values_agree_with_each_other(contents):
    for content in contents.values():
        images = {image['id']: image for image in content['images']}
        for image in images.values():
            assert (image['width'], image['height']) == (48, 48) == tuple(image['window_xywh'][2:])
            assert len(image['transform']) == 6 and len(image['bands']) == 3 and len(image['source_sha256']) == 64
            x, y, width, height = image['read_xywh']
            assert image['window_xywh'][:2] == [x, y] and 0 < width <= 48 and 0 < height <= 48
        for part in content['annotations']:
            image = images[part['image_id']]
            x, y, width, height = part['bbox']
            assert x >= 0 and y >= 0 and x + width <= image['width'] and y + height <= image['height']
            assert part['object_id'].startswith(image['scene'] + '/') and part['iscrowd'] == 0
            assert 0.3 <= part['visible_fraction'] <= 1 and part['area'] >= 4
            assert part['category_id'] == 1


def test_no_object_is_in_two_splits(contents):
    owners = [{part['object_id'] for part in content['annotations']} for content in contents.values()]
    assert sum(map(len, owners)) == len(set().union(*owners))


def test_pycocotools_reads_it_and_sees_the_same_areas(data_set):
    coco_api = pytest.importorskip('pycocotools.coco')
    for split in SPLITS:
        coco = coco_api.COCO(str(data_set / f'annotations/instances_{split}.json'))
        for part in coco.anns.values():
            mask = coco.annToMask(part)
            assert mask.shape == (48, 48)
            assert abs(int(mask.sum()) - part['area']) <= 0.1 * part['area'] + 4
            rows, columns = np.nonzero(mask)
            x, y, width, height = part['bbox']
            assert (
                x - 1 <= columns.min()
                and columns.max() <= x + width
                and y - 1 <= rows.min()
                and rows.max() <= y + height
            )


def test_a_tile_can_be_read_again_from_its_source(data_set, contents):
    import rasterio

    seen = 0
    for split, content in contents.items():
        for image in content['images']:
            with rasterio.open(data_set / image['source']) as source:
                left, top, width, height = image['read_xywh']
                window = rasterio.windows.Window(left, top, width, height)
                pixels = source.read(image['bands'], window=window).astype(float)
                assert source.crs == rasterio.CRS.from_user_input(image['crs'])
                corner = source.transform @ (left, top) if hasattr(source.transform, '__matmul__') else None
            if image['stretch_lo_hi']:
                lo, hi = np.array(image['stretch_lo_hi']).T[:, :, None, None]
                holes = (pixels == 0).all(axis=0)
                pixels = np.where(holes, 0, np.clip(np.rint((pixels - lo) * (255 / (hi - lo))), 0, 255))
            expected = np.zeros((3, 48, 48))
            expected[:, :height, :width] = pixels
            with rasterio.open(data_set / 'images' / split / image['file_name']) as tile:
                assert np.array_equal(tile.read(), expected)
            if corner is not None:
                assert (image['transform'][2], image['transform'][5]) == pytest.approx(corner)
            seen += 1
    assert seen > 20


def test_the_data_set_moves_with_its_scenes(data_set, contents, tmp_path):
    (tmp_path / 'moved').mkdir()
    for name in ('data', 'scenes'):
        (tmp_path / name).rename(tmp_path / 'moved' / name)
    for content in contents.values():
        for image in content['images']:
            assert (tmp_path / 'moved/data/trees' / image['source']).is_file()

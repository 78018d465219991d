"""What tiles are written as: pixels in four kinds, outlines as masks, instance masks, previews."""

import json
import os

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as rle
from rasterio.io import MemoryFile

from data_prep.imagery.encode import encode_jpeg, encode_png, encode_zstd
from data_prep.imagery.pixels import read_tile
from data_prep.imagery.rasters import open_raster

SPLITS = ('train', 'val', 'test')
OPTIONS = ('--tile-size', 64, '--min-visible', 0.2)


def decoded(content):
    with MemoryFile(content) as memory, memory.open() as dataset:
        return dataset.driver, dataset.read()


@given(
    seed=st.integers(0, 1000),
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(1, 20), st.integers(1, 20)),
    smooth=st.booleans(),
)
def test_png_gives_back_every_pixel(seed, shape, smooth):
    rng = np.random.default_rng(seed)
    tile = rng.integers(0, 256, shape).astype(np.uint8)
    if smooth:
        tile = np.sort(tile, axis=2)
    driver, back = decoded(encode_png(tile))
    assert driver == 'PNG' and np.array_equal(back, tile)
    ids = rng.integers(0, 65536, (1, *shape[1:])).astype(np.uint16)
    driver, back = decoded(encode_png(ids))
    assert back.dtype == np.uint16 and np.array_equal(back, ids)


@pytest.mark.parametrize('dtype', ['uint8', 'int16', 'uint16', 'float32', 'float64'])
@pytest.mark.parametrize('bands', [1, 3, 5])
def test_zstd_gives_back_every_number(dtype, bands):
    tile = (np.random.default_rng(0).normal(0, 90, (bands, 9, 7)) + 100).astype(dtype)
    driver, back = decoded(encode_zstd(tile, 'EPSG:32633', (0.5, 0, 10, 0, -0.5, 20)))
    assert driver == 'GTiff' and back.dtype == dtype and np.array_equal(back, tile)


def test_jpeg_is_near_and_nearer_with_quality():
    ramp = np.mgrid[0:64, 0:64].sum(axis=0)
    tile = np.stack([ramp, ramp * 2, 255 - ramp]).astype(np.uint8)
    errors = [np.abs(decoded(encode_jpeg(tile, quality))[1] - tile.astype(float)).mean() for quality in (20, 95)]
    assert errors[1] < errors[0] and errors[1] < 2


@pytest.fixture
def made(data_prep, scenes, tmp_path):
    """Make a data set and return its folder and its COCO files by split."""

    def run(*argv, name='out', code=0):
        out = tmp_path / name
        got, _, stderr = data_prep('tile', scenes, '--out', out, *OPTIONS, *argv)
        assert got == code, stderr
        return out, {split: json.loads((out / f'annotations/instances_{split}.json').read_text()) for split in SPLITS}

    return run


def source_pixels(out, image):
    with open_raster(out / image['source']) as dataset:
        keys = ('window_xywh', 'read_xywh', 'bands', 'stretch_lo_hi', 'scale')
        return read_tile(dataset, *(image[key] for key in keys))[0]


@pytest.mark.parametrize(('kind', 'suffix'), [('png', '.png'), ('jpeg', '.jpg'), ('zstd', '.tif')])
def test_files_hold_the_pixels_of_the_scene(made, kind, suffix):
    out, contents = made('--pixels', kind)
    for split, content in contents.items():
        assert sorted(os.listdir(out / 'images' / split)) == sorted(image['file_name'] for image in content['images'])
        for image in content['images']:
            assert image['file_name'].endswith(suffix)
            with rasterio.open(out / 'images' / split / image['file_name']) as dataset:
                pixels = dataset.read().astype(int)
                if kind == 'zstd':
                    assert list(dataset.transform)[:6] == image['transform']
                    assert dataset.crs.to_string() == image['crs'] and dataset.compression.name == 'zstd'
            difference = np.abs(pixels - source_pixels(out, image))
            assert difference.mean() < 60 if kind == 'jpeg' else not difference.any()  # of noise JPEG keeps little


def test_without_images_the_records_are_the_same(made):
    _, one = made(name='png')
    out, two = made('--pixels', 'none', name='none')
    assert sorted(os.listdir(out)) == ['TRACKING.json', 'annotations', 'report.json', 'split_info.json']
    for split in SPLITS:
        for content in (one[split], two[split]):
            for image in content['images']:
                image['file_name'] = image['file_name'].rsplit('.', 1)[0]
        assert one[split] == two[split] and one[split]['images']


@pytest.mark.parametrize('bands', ['4,2,1,3', '5,2', '1,1,2,2,3'])
def test_tiles_without_images_may_have_any_bands(made, scenes, write_raster, bands):
    for number in range(4):
        pixels = np.random.default_rng(number).integers(1, 60_000, (5, 128, 160)).astype(np.uint16)
        write_raster(scenes / f's{number}.tif', pixels=pixels)
    out, contents = made('--pixels', 'none', '--bands', bands, '--empty-share', 1)
    zstd, _ = made('--pixels', 'zstd', '--stretch', 'p2-p98', '--bands', bands, '--empty-share', 1, name='zstd')
    files = {path.stem: path for path in zstd.glob('images/*/*.tif')}
    for image in contents['train']['images'] + contents['val']['images']:
        assert image['bands'] == [int(band) for band in bands.split(',')]
        tile = source_pixels(out, image)
        assert tile.dtype == np.uint8 and len(tile) == len(image['stretch_lo_hi']) == len(image['bands'])
        with rasterio.open(files[image['file_name'].removesuffix('.window')]) as dataset:
            assert np.array_equal(dataset.read(), tile)


def test_one_band_without_images_still_fills_three(made):
    _, contents = made('--pixels', 'none', '--bands', '2')
    assert contents['train']['images'][0]['bands'] == [2, 2, 2]


@pytest.mark.parametrize('dtype', ['uint16', 'float32'])
def test_zstd_keeps_all_bands_in_their_type(made, scenes, write_raster, dtype):
    for number in range(4):
        pixels = np.random.default_rng(number).integers(1, 60_000, (5, 128, 160)).astype(dtype)
        write_raster(scenes / f's{number}.tif', pixels=pixels)
    out, contents = made('--pixels', 'zstd')
    image = contents['val']['images'][0]
    assert image['bands'] == [1, 2, 3, 4, 5] and image['stretch_lo_hi'] is None
    with rasterio.open(out / 'images/val' / image['file_name']) as dataset:
        assert dataset.dtypes == (dtype,) * 5 and np.array_equal(dataset.read(), source_pixels(out, image))
    out, contents = made('--pixels', 'zstd', '--stretch', 'p2-p98', '--bands', '5,2', name='eight')
    image = contents['val']['images'][0]
    with rasterio.open(out / 'images/val' / image['file_name']) as dataset:
        assert dataset.dtypes == ('uint8',) * 2 and dataset.read().max() == 255


@pytest.mark.parametrize(
    ('argv', 'words'),
    [
        (('--bands', '1,2'), '--bands takes one band or three'),
        (('--pixels', 'none', '--bands', '1,2,3,9'), 'has bands 1..5'),
        (('--pixels', 'none', '--bands', '1,2', '--previews'), '--previews needs tiles of three bands'),
        (('--pixels', 'zstd', '--bands', '9'), 'has bands 1..5'),
        (('--pixels', 'zstd', '--previews'), '--previews needs tiles of three bands'),
        (('--pixels', 'zstd', '--previews', '--bands', '1,2,3'), '--previews needs tiles of 8 bits'),
        (('--pixels', 'jpeg', '--stretch', 'none'), 'holds uint16'),
        (('--pixels', 'webp'), 'invalid choice'),
        (('--quality', '0'), 'from 1 to 100'),
    ],
)
def test_what_a_file_cannot_hold_is_refused(data_prep, scenes, write_raster, tmp_path, argv, words):
    write_raster(scenes / 's0.tif', pixels=np.ones((5, 128, 160), np.uint16))
    code, _, stderr = data_prep('tile', scenes, '--out', tmp_path / 'o', *OPTIONS, *argv)
    assert code == 2 and words in stderr and stderr.count('\n') == 1 and os.listdir(tmp_path) == ['scenes']


def test_rle_is_what_pycocotools_draws(made):
    _, polygons = made(name='polygon')
    _, masks = made('--segmentation', 'rle', name='rle')
    count = 0
    for split in SPLITS:
        for one, two in zip(polygons[split]['annotations'], masks[split]['annotations'], strict=True):
            height, width = two['segmentation']['size']
            drawn = rle.merge(rle.frPyObjects(one['segmentation'], height, width))
            assert two['segmentation']['counts'] == drawn['counts'].decode() and two['area'] == rle.area(drawn)
            assert {key: one[key] for key in one if key not in ('segmentation', 'area')} == {
                key: two[key] for key in two if key not in ('segmentation', 'area')
            }
            count += 1
    assert count > 5


@pytest.mark.parametrize('pixels', ['png', 'none'])
def test_masks_hold_the_order_of_the_annotations_and_previews_their_boxes(made, pixels):
    out, contents = made('--masks', '--previews', '--pixels', pixels, '--partial', 'crowd')
    seen = 0
    for split, content in contents.items():
        stems = sorted(image['file_name'].rsplit('.', 1)[0] for image in content['images'])
        for kind, suffix in (('masks', '.png'), ('previews', '.jpg')):
            assert sorted(os.listdir(out / kind / split)) == [stem + suffix for stem in stems]
        for image in content['images']:
            parts = [part for part in content['annotations'] if part['image_id'] == image['id']]
            expected = np.zeros((64, 64), int)
            for number, part in enumerate(parts, 1):
                outline = part['segmentation']
                encoded = rle.merge(rle.frPyObjects(outline, 64, 64)) if isinstance(outline, list) else outline
                expected[rle.decode(encoded) > 0] = number
            stem = image['file_name'].rsplit('.', 1)[0]
            with rasterio.open(out / 'masks' / split / f'{stem}.png') as dataset:
                assert dataset.dtypes == ('uint16',) and np.array_equal(dataset.read(1), expected)
            seen = max(seen, len(parts))
            with rasterio.open(out / 'previews' / split / f'{stem}.jpg') as dataset:
                drawn = dataset.read().astype(int)
            assert drawn.shape == (3, 64, 64)
    assert seen > 1


def test_previews_are_small_and_their_boxes_yellow(data_prep, tmp_path, write_raster, write_labelme):
    raster = write_raster(tmp_path / 's.tif', pixels=np.full((3, 1024, 1024), 30, np.uint8))
    write_labelme(tmp_path / 's.json', [('tree', [[400, 400], [800, 400], [800, 800], [400, 800]])], (1024, 1024))
    argv = ('--tile-size', 1024, '--split', '1,0,0', '--previews', '--pixels', 'none')
    assert data_prep('tile', raster, '--out', tmp_path / 'o', *argv)[0] == 0
    with rasterio.open(tmp_path / 'o/previews/train/s_000000_000000.jpg') as dataset:
        red, green, blue = dataset.read().astype(int)
    assert red.shape == (256, 256)
    edge = np.zeros((256, 256), bool)
    edge[[100, 200], 100:201] = edge[100:201, [100, 200]] = True
    assert (red[edge] > 120).mean() > 0.95 and (red[110:190, 110:190] < 60).all() and (blue[edge] < red[edge]).all()


def test_chosen_tiles_without_objects_are_the_same_files(made):
    """They are read in a second pass."""
    out, contents = made('--empty-share', 1, '--masks')
    shown = {part['image_id'] for part in contents['train']['annotations']}
    empty = [image for image in contents['train']['images'] if image['id'] not in shown]
    assert empty
    for image in empty:
        with rasterio.open(out / 'images/train' / image['file_name']) as dataset:
            assert np.array_equal(dataset.read(), source_pixels(out, image))
        with rasterio.open(out / 'masks/train' / image['file_name']) as dataset:
            assert not dataset.read().any()

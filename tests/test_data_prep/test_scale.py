"""Scenes resampled as a whole: tiles that agree with each other, with the scene, and with what their keys say."""

import json

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from data_prep.errors import DataError
from data_prep.grid import Grid, Window
from data_prep.imagery.pixels import read_tile
from data_prep.imagery.rasters import open_raster, raster_info, read_window
from data_prep.imagery.scale import pixel_size_m, scaled

KEYS = ('window_xywh', 'read_xywh', 'bands', 'stretch_lo_hi', 'scale')
BOX = [[20, 12], [60, 12], [60, 40], [20, 40]]


@pytest.fixture
def tile(data_prep, tmp_path):
    """Run tile, expect success, and return the folder with the COCO file of each split."""

    def run(*argv, name='out'):
        code, _, stderr = data_prep('tile', *argv, '--out', tmp_path / name)
        assert code in (0, 1), stderr
        files = (tmp_path / name / 'annotations').glob('*.json')
        return tmp_path / name, {path.stem.removeprefix('instances_'): json.loads(path.read_text()) for path in files}

    return run


@pytest.fixture
def smooth(tmp_path, write_raster, write_labelme):
    """A scene of 200 x 150 px with edges, texture and one labelled box."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(1, 256, (3, 150, 200)).astype(np.uint8)
    pixels[:, 12:40, 20:60] = 250
    write_labelme(tmp_path / 'in/s.json', [('tree', BOX)], (200, 150))
    return write_raster(tmp_path / 'in/s.tif', pixels=pixels)


def pixels_of(folder, split, image):
    with rasterio.open(folder / 'images' / split / image['file_name']) as dataset:
        return dataset.read()


def matrix(length, new_length):
    """Weights of all source pixels for all new ones, (new, old), written down without any shortcut."""
    step = length / new_length
    weights = np.zeros((new_length, length))
    for new in range(new_length):
        if step >= 1:
            for old in range(length):
                weights[new, old] = max(0, min(old + 1, (new + 1) * step) - max(old, new * step)) / step
        else:
            centre = (new + 0.5) * step - 0.5
            for old in (int(np.floor(centre)), int(np.floor(centre)) + 1):
                weights[new, min(max(old, 0), length - 1)] += 1 - abs(centre - old)
    return weights


def whole(pixels, scale):
    """The scene resampled at once."""
    height, width = pixels.shape[1:]
    rows, columns = matrix(height, round(height * scale)), matrix(width, round(width * scale))
    return rows @ pixels @ columns.T


@given(
    st.tuples(st.integers(1, 30000), st.integers(1, 30000)),
    st.floats(0.02, 16),
    st.tuples(st.integers(0, 40000), st.integers(0, 40000), st.integers(1, 2048), st.integers(1, 2048)),
)
def test_windows_come_back_from_source_pixels(size_wh, scale, xywh):
    grid = Grid(size_wh, scale)
    written = json.loads(json.dumps(grid.to_source(Window(*xywh))))
    assert grid.from_source(written) == Window(*xywh)
    across, down = grid.step_xy
    assert grid.window.width * across == pytest.approx(size_wh[0]) and grid.window.height * down == pytest.approx(
        size_wh[1]
    )


@pytest.mark.parametrize('scale', [0.6, 0.25, 0.93, 1.7, 3])
def test_tiles_are_cut_from_the_scene_resampled_as_a_whole(tile, smooth, scale):
    with rasterio.open(smooth) as dataset:
        expected = whole(dataset.read().astype(float), scale)
    out, files = tile(smooth.parent, '--scale', scale, '--tile-size', 48, '--split', '1,0,0', '--empty-share', 1)
    assert expected.shape[1:] == (round(150 * scale), round(200 * scale))
    canvas, covered = np.zeros_like(expected), np.zeros(expected.shape[1:], int)
    grid = Grid((200, 150), scale)
    for image in files['train']['images']:
        window, read = grid.from_source(image['window_xywh']), grid.from_source(image['read_xywh'])
        assert (image['width'], image['height']) == (48, 48) == window[2:] and image['scale'] == scale
        got = pixels_of(out, 'train', image)[:, : read.height, : read.width]
        rows, columns = slice(read.y, read.bottom), slice(read.x, read.right)
        assert np.abs(got - expected[:, rows, columns]).max() < 0.51
        again = covered[rows, columns] > 0
        assert np.array_equal(canvas[:, rows, columns][:, again], got[:, again])  # not one grey level apart
        canvas[:, rows, columns], covered[rows, columns] = got, 1
    assert covered.all()


def test_halving_is_the_mean_of_four(tile, tmp_path, write_raster, write_labelme):
    pixels = np.random.default_rng(0).integers(1, 256, (3, 64, 96), np.uint8)
    raster = write_raster(tmp_path / 'in/s.tif', pixels=pixels)
    write_labelme(tmp_path / 'in/s.json', [('tree', BOX)])
    out, files = tile(raster, '--scale', 0.5, '--tile-size', 32, '--split', '1,0,0', '--empty-share', 1)
    mean = pixels.reshape(3, 32, 2, 48, 2).mean(axis=(2, 4))
    for image, x in zip(files['train']['images'], (0, 16), strict=True):
        assert image['window_xywh'] == [2.0 * x, 0.0, 64.0, 64.0]
        assert np.abs(pixels_of(out, 'train', image) - mean[:, :, x : x + 32]).max() <= 0.5


def test_overviews_of_unknown_make_are_not_used(tmp_path, write_raster):
    path = write_raster(tmp_path / 's.tif', (256, 256), tiled=True, blockxsize=64, blockysize=64)

    def half():
        with open_raster(path) as dataset:
            return read_window(dataset, Window(5, 5, 60, 60), (1, 2, 3), scale=0.5)[0]

    before = half()
    with rasterio.open(path, 'r+') as dataset:
        dataset.build_overviews([2, 4], rasterio.enums.Resampling.nearest)
    assert np.array_equal(half(), before)


@pytest.mark.parametrize(
    ('kind', 'options'),
    [
        ('uint8', ('--scale', 0.6)),
        ('uint16', ('--gsd', 0.04)),
        ('float32', ('--scale', 0.7, '--split', '0.5,0.25,0.25')),
        ('uint8', ('--scale', 1.3, '--split', '0.5,0.25,0.25')),
    ],
)
def test_keys_alone_repeat_every_tile(tile, tmp_path, write_raster, write_labelme, kind, options):
    pixels = np.random.default_rng(5).integers(1, 256, (4, 150, 200)).astype(kind)
    pixels[:, 100:, 100:] = 0
    if kind == 'float32':
        pixels[1, 30:35, 30:35] = np.nan
    raster = write_raster(tmp_path / 'in/s.tif', pixels=pixels)
    write_labelme(tmp_path / 'in/s.json', [('tree', BOX)], (200, 150))
    split = () if '--split' in options else ('--split', '1,0,0')
    out, files = tile(raster, *options, *split, '--tile-size', 56, '--empty-share', 1, '--bands', '4,1,2')
    seen = 0
    for name, content in files.items():
        for image in content['images']:
            with open_raster(out / image['source']) as dataset:
                again, _ = read_tile(dataset, *(image[key] for key in KEYS))
            assert np.array_equal(again, pixels_of(out, name, image))
            seen += 1
    assert seen > 4


@pytest.mark.parametrize('scale', [0.37, 0.5, 1.9])
@pytest.mark.parametrize('declared', [None, 255, 'nan'])
def test_pixels_without_data_do_not_bleed(tmp_path, write_raster, scale, declared):
    hole = {None: 0, 255: 255, 'nan': np.nan}[declared]
    pixels = np.full((3, 90, 120), 120, np.float32 if declared == 'nan' else np.uint8)
    pixels[:, 21:50, 33:77] = hole
    path = write_raster(tmp_path / 's.tif', pixels=pixels, nodata=None if declared == 'nan' else declared)
    grid = Grid((120, 90), scale)
    with open_raster(path) as dataset:
        tile, valid = read_window(dataset, grid.window, (1, 2, 3), scale=scale)
        black, share = read_tile(
            dataset, [0, 0, 120, 90], [0, 0, 120, 90], (1, 2, 3), [[0, 255]] * 3 if declared == 'nan' else None, scale
        )
    assert np.abs(tile[:, valid] - 120.0).max() < 1e-3 and set(np.unique(black)) == {0, 120}
    assert share == pytest.approx(1 - valid.mean())
    across, down = grid.step_xy
    inside = np.zeros(valid.shape, bool)
    inside[round(21 / down) : round(50 / down), round(33 / across) : round(77 / across)] = True
    eroded, grown = inside.copy(), inside.copy()
    eroded[1:-1, 1:-1] = (
        inside[1:-1, 1:-1] & inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    )
    for shift in (-1, 1):
        grown |= np.roll(inside, shift, 0) | np.roll(inside, shift, 1)
    assert not valid[eroded].any() and valid[~grown].all()
    source = np.ones((1, 90, 120))
    source[:, 21:50, 33:77] = 0
    share = whole(source, scale)[0]
    clear = np.abs(share - 0.5) > 1e-4
    assert np.array_equal(valid[clear], (share >= 0.5)[clear])  # by majority


def test_objects_places_and_sizes_follow_the_scale(tile, smooth):
    plain, one = tile(smooth, '--tile-size', 128, '--split', '1,0,0', name='one')
    _, half = tile(smooth, '--scale', 0.5, '--tile-size', 64, '--split', '1,0,0', name='half')
    a, b = one['train']['annotations'][0], half['train']['annotations'][0]
    assert b['bbox'] == [value / 2 for value in a['bbox']] == [10, 6, 20, 14] and b['area'] == a['area'] / 4
    assert a['object_id'] == b['object_id'] and b['visible_fraction'] == 1
    before, after = one['train']['images'][0], half['train']['images'][0]
    assert (after['gsd_m'], before['gsd_m']) == (0.2, 0.1) and after['scale'] == 0.5
    assert Affine(*after['transform']) == Affine(*before['transform']) * Affine.scale(2)
    assert all(isinstance(value, int) for value in before['window_xywh'] + before['read_xywh'])
    x, y = Affine(*after['transform']) * (10, 6)
    assert (x, y) == Affine(*before['transform']) * (20, 12)


def test_gsd_is_the_scale_that_gives_it(tile, smooth):
    _, files = tile(smooth, '--gsd', 0.05, '--tile-size', 128, '--split', '1,0,0', name='gsd')
    _, same = tile(smooth, '--scale', 2, '--tile-size', 128, '--split', '1,0,0', name='scale')
    assert files == same and files['train']['images'][0]['gsd_m'] == 0.05
    _, own = tile(smooth, '--gsd', 0.1, '--tile-size', 128, '--split', '1,0,0', name='own')
    image = own['train']['images'][0]
    assert image['scale'] == 1 and image['window_xywh'] == [0, 0, 128, 128] and isinstance(image['window_xywh'][2], int)


def test_blocks_share_no_pixel_at_another_scale(tile, smooth):
    _, files = tile(smooth, '--scale', 0.7, '--tile-size', 32, '--split', '0.5,0.25,0.25')
    spans = {
        name: [(im['read_xywh'][0], im['read_xywh'][0] + im['read_xywh'][2]) for im in content['images']]
        for name, content in files.items()
    }
    assert max(end for _, end in spans['train']) <= min(start for start, _ in spans['val'])
    assert max(end for _, end in spans['val']) <= min(start for start, _ in spans['test'])


def metres_per_degree(latitude):
    """Of longitude and latitude on WGS84, from its two axes."""
    a, b = 6378137.0, 6356752.314245179
    e2, phi = 1 - b * b / a / a, np.radians(latitude)
    w = np.sqrt(1 - e2 * np.sin(phi) ** 2)
    return np.radians(1) * np.cos(phi) * a / w, np.radians(1) * a * (1 - e2) / w**3


@pytest.mark.parametrize(('latitude', 'degrees'), [(0.0, 1e-6), (56.2, 1e-6), (-67.0, 5e-6)])
@pytest.mark.parametrize('turn', [0, 30])
def test_geographic_pixels_are_measured_at_the_centre(tmp_path, write_raster, latitude, degrees, turn):
    transform = Affine.translation(9, latitude) * Affine.rotation(turn) * Affine.scale(degrees, -degrees)
    info = raster_info(write_raster(tmp_path / 's.tif', crs='EPSG:4326', transform=transform))
    _, at = transform * (info.width / 2, info.height / 2)
    x, y = metres_per_degree(at)
    assert pixel_size_m(info) == pytest.approx(degrees * np.sqrt(x * y), rel=1e-6)
    assert scaled(info, gsd_m=0.1).scale == pytest.approx(degrees * np.sqrt(x * y) / 0.1, rel=1e-6)


def test_feet_become_metres(tmp_path, write_raster):
    info = raster_info(write_raster(tmp_path / 's.tif', crs='EPSG:2263', transform=Affine(1, 0, 0, 0, -1, 0)))
    assert scaled(info, gsd_m=0.6096012192).scale == pytest.approx(0.5)


@pytest.mark.parametrize(
    ('profile', 'options', 'words'),
    [
        pytest.param({'crs': None}, ('--gsd', 0.05), 'pass --scale', id='no CRS'),
        pytest.param({'transform': Affine.identity()}, ('--gsd', 0.05), 'pass --scale', id='no place on the map'),
        pytest.param({'driver': 'PNG', 'crs': None, 'transform': None}, ('--gsd', 1), 'pass --scale', id='picture'),
        pytest.param({}, ('--gsd', 50), '0.002 times', id='a unit mistaken'),
        pytest.param({}, ('--gsd', 0.002), '50 times', id='too fine'),
        pytest.param(
            {'crs': 'EPSG:4326', 'transform': Affine(1, 0, 0, 0, -1, 195)},
            ('--gsd', 1),
            'pass --scale',
            id='beyond pole',
        ),
        pytest.param({}, ('--gsd', 0.1, '--scale', 0.5), 'not allowed with', id='both'),
        pytest.param({}, ('--scale', 0), 'must be float from 0.02', id='scale 0'),
        pytest.param({}, ('--scale', 'inf'), 'must be float from 0.02', id='infinite'),
        pytest.param({}, ('--gsd', -1), 'must be float from 0.001', id='negative'),
        pytest.param({}, ('--gsd', '5cm'), 'must be float from 0.001', id='with a unit'),
        pytest.param({}, ('--stretch', 'max'), 'invalid choice', id='unknown stretch'),
    ],
)
def test_refused(data_prep, tmp_path, write_raster, write_labelme, profile, options, words):
    name = 's.png' if profile.get('driver') == 'PNG' else 's.tif'
    write_raster(tmp_path / 'in' / name, **profile)
    write_labelme(tmp_path / 'in/s.json', [('tree', [[4, 4], [20, 4], [20, 20], [4, 20]])])
    code, stdout, stderr = data_prep('tile', tmp_path / 'in', '--out', tmp_path / 'out', *options)
    assert code == 2 and stdout == '' and stderr.count('\n') == 1 and stderr.startswith('error: ') and words in stderr
    assert not (tmp_path / 'out').exists() and [path.name for path in tmp_path.iterdir()] == ['in']


def test_scale_out_of_range_is_refused_in_python_too(tmp_path, write_raster):
    with pytest.raises(DataError, match='must be 0.02 to 16 times'):
        scaled(raster_info(write_raster(tmp_path / 's.tif')), gsd_m=10)


def test_an_object_keeps_its_shape_on_the_grid(tile, tmp_path, write_raster, write_vectors, to_map):
    triangle = shapely.Polygon([(10, 10), (70, 16), (40, 50)])
    raster = write_raster(tmp_path / 'in/s.tif')
    write_vectors(tmp_path / 'in/s.geojson', [('tree', to_map(triangle))], driver='GeoJSON')
    _, files = tile(raster, '--scale', 1.5, '--tile-size', 256, '--split', '1,0,0')
    (part,) = files['train']['annotations']
    got = shapely.Polygon(np.reshape(part['segmentation'][0], (-1, 2)))
    expected = shapely.transform(triangle, lambda xy: xy * 1.5)
    assert shapely.symmetric_difference(got, expected).area < 0.5

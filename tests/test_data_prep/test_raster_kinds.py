"""Every kind of raster gives the same objects at the same tile pixels, and pixels that show them there."""

import json

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

CRS = 'EPSG:32633'
NORTH_UP = Affine(0.1, 0, 500_000, 0, -0.1, 5_500_000)
WIDTH, HEIGHT = 160, 128
TREES = [(10, 10, 40, 24), (60, 20, 74, 50), (100, 60, 130, 72), (90, 100, 120, 110)]  # x0 y0 x1 y1
HOLE = (130, 100, 160, 128)  # corner without data, where the kind can say so


def scene(bands, dtype, high, seed=0):
    """Dark ground with bright trees in all bands."""
    pixels = np.random.default_rng(seed).integers(high // 10, high // 4, (bands, HEIGHT, WIDTH)).astype(dtype)
    for x0, y0, x1, y1 in TREES:
        pixels[:, y0:y1, x0:x1] = high * 3 // 4
    return pixels


def hole(pixels, value):
    x0, y0, x1, y1 = HOLE
    pixels[:, y0:y1, x0:x1] = value
    return pixels


def rgba(bands=3):
    pixels = scene(bands + 1, np.uint8, 250)
    pixels[-1] = 255
    x0, y0, x1, y1 = HOLE
    pixels[-1, y0:y1, x0:x1] = 0
    return pixels


def with_mask():
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    return hole(mask[None], 0)[0]


def floats():
    pixels = hole(scene(3, np.float32, 1000) / 1000, np.nan)
    pixels[1, 5, 5], pixels[2, 6, 6] = np.inf, -np.inf
    return pixels


EIGHT = scene(3, np.uint8, 250)
TILED = {'tiled': True, 'blockxsize': 64, 'blockysize': 64}
# name -> pixels, options of the writer, options of the command
KINDS = {
    'uint8': (EIGHT, {}, ()),
    'black holes': (hole(EIGHT.copy(), 0), {}, ()),
    'uint16': (scene(3, np.uint16, 4000), {}, ()),
    'uint16 min-max': (scene(3, np.uint16, 4000), {}, ('--stretch', 'min-max')),
    'int16 with nodata': (hole(scene(3, np.int16, 4000), -9999), {'nodata': -9999}, ()),
    'float32 with NaN': (floats(), {}, ()),
    'float32, nodata NaN': (floats(), {'nodata': np.nan}, ('--stretch', 'min-max')),
    'float64': (scene(3, np.float64, 1000), {}, ()),
    'nodata': (hole(EIGHT.copy(), 255), {'nodata': 255}, ()),
    'alpha': (rgba(), {'photometric': 'RGB', 'alpha': 'YES'}, ()),
    'grey': (EIGHT[:1], {}, ()),
    'grey with alpha': (rgba(1), {'photometric': 'MINISBLACK', 'alpha': 'YES'}, ()),
    'two bands': (EIGHT[:2], {}, ('--bands', '2')),
    'five bands': (scene(5, np.uint16, 4000), {'photometric': 'MINISBLACK'}, ('--bands', '5,3,1')),
    'mask band': (EIGHT, {'mask': with_mask()}, ()),
    'tiled': (EIGHT, TILED, ()),
    'striped by 7': (EIGHT, {'blockysize': 7}, ()),
    'band by band': (EIGHT, {'interleave': 'band', **TILED}, ()),
    'BigTIFF': (EIGHT, {'BIGTIFF': 'YES'}, ()),
    'big-endian': (EIGHT, {'ENDIANNESS': 'BIG'}, ()),
    'deflate': (EIGHT, {'compress': 'deflate', 'predictor': 2, **TILED}, ()),
    'lzw': (EIGHT, {'compress': 'lzw'}, ()),
    'zstd': (EIGHT, {'compress': 'zstd', **TILED}, ()),
    'jpeg in tiff': (EIGHT, {'compress': 'jpeg', 'photometric': 'YCBCR', **TILED}, ()),
    'rotated': (EIGHT, {'transform': NORTH_UP * Affine.rotation(30)}, ()),
    'south-up': (EIGHT, {'transform': Affine(0.1, 0, 500_000, 0, 0.1, 5_500_000)}, ()),
    'mirrored': (EIGHT, {'transform': Affine(-0.1, 0, 500_000, 0, -0.1, 5_500_000)}, ()),
    'oblong pixels': (EIGHT, {'transform': Affine(0.1, 0, 500_000, 0, -0.2, 5_500_000)}, ()),
    'degrees': (EIGHT, {'crs': 'EPSG:4326', 'transform': Affine(1e-6, 0, 15, 0, -1e-6, 49.6)}, ()),
    'feet': (EIGHT, {'crs': 'EPSG:2263', 'transform': Affine(0.3, 0, 985_000, 0, -0.3, 200_000)}, ()),
    'png': (EIGHT, {'driver': 'PNG', 'crs': None, 'transform': None}, ()),
    'png of 16 bits': (scene(3, np.uint16, 60000), {'driver': 'PNG', 'crs': None, 'transform': None}, ()),
    'png with alpha': (rgba(), {'driver': 'PNG', 'crs': None, 'transform': None}, ()),
    'jpeg': (EIGHT, {'driver': 'JPEG', 'crs': None, 'transform': None}, ()),
    'grey jpeg': (EIGHT[:1], {'driver': 'JPEG', 'crs': None, 'transform': None}, ()),
}
HAS_HOLE = {'black holes', 'int16 with nodata', 'float32 with NaN', 'float32, nodata NaN', 'nodata', 'alpha',
            'grey with alpha', 'mask band', 'png with alpha'}  # fmt: skip


def boxes():
    return [shapely.box(*tree) for tree in TREES]


@pytest.fixture
def folder(tmp_path, write_raster, write_labelme):
    """Write a kind of raster with its labels: map coordinates where it has any, else pixels."""

    def make(kind):
        pixels, options, _ = KINDS[kind]
        suffix = {'PNG': '.png', 'JPEG': '.jpg'}.get(options.get('driver'), '.tif')
        options = {'crs': CRS, 'transform': NORTH_UP, **options}
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            raster = write_raster(tmp_path / 'in' / f's{suffix}', pixels=pixels, **options)
        if options['crs'] is None:
            corners = [np.asarray(box.exterior.coords)[:-1].tolist() for box in boxes()]
            write_labelme(tmp_path / 'in/s.json', [('tree', points) for points in corners], (WIDTH, HEIGHT))
        else:
            matrix = np.array(options['transform']).reshape(3, 3)
            placed = [shapely.transform(box, lambda xy: xy @ matrix[:2, :2].T + matrix[:2, 2]) for box in boxes()]
            write_geojson(tmp_path / 'in/s.geojson', placed, options['crs'])
        return raster.parent

    return make


def write_geojson(path, polygons, crs):
    member = {'type': 'name', 'properties': {'name': crs}}
    features = [
        {'type': 'Feature', 'properties': {'label': 'tree'}, 'geometry': shapely.geometry.mapping(polygon)}
        for polygon in polygons
    ]
    path.write_text(json.dumps({'type': 'FeatureCollection', 'crs': member, 'features': features}))


@pytest.mark.parametrize('kind', list(KINDS))
def test_same_objects_at_the_same_pixels(data_prep, tmp_path, folder, kind):
    source, options = folder(kind), KINDS[kind][2]
    rule = ('--tile-size', 64, '--overlap', 0.5, '--split', '1,0,0', '--min-visible', 1, '--empty-share', 1)
    code, _, stderr = data_prep('tile', source, '--out', tmp_path / 'out', *rule, *options)
    assert code == 0, stderr
    content = json.loads((tmp_path / 'out/annotations/instances_train.json').read_text())
    images = {image['id']: image for image in content['images']}
    expected = {
        (x, y, number): [x0 - x, y0 - y, x1 - x0, y1 - y0]
        for y in (0, 32, 64)
        for x in (0, 32, 64, 96)
        for number, (x0, y0, x1, y1) in enumerate(TREES, 1)
        if x0 >= x and y0 >= y and x1 <= x + 64 and y1 <= y + 64
    }
    got = {}
    for part in content['annotations']:
        x, y = images[part['image_id']]['window_xywh'][:2]
        got[x, y, int(part['object_id'].split('/')[1])] = part['bbox']
    assert set(got) == set(expected)
    for key, bbox in expected.items():
        assert got[key] == pytest.approx(bbox, abs=0.02)
    check_pixels(tmp_path / 'out', content, kind)


def check_pixels(out, content, kind):
    """Trees are bright in all three bands and the ground is dark; what has no data is black."""
    canvas = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    for image in content['images']:
        x, y = image['window_xywh'][:2]
        with rasterio.open(out / 'images/train' / image['file_name']) as dataset:
            assert dataset.count == 3 and dataset.dtypes[0] == 'uint8'
            canvas[:, y : y + 64, x : x + 64] = dataset.read()
    for x0, y0, x1, y1 in TREES:
        ground = canvas[:, y0:y1, x1 + 2 : x1 + 10]
        assert (canvas[:, y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].mean(axis=(1, 2)) > ground.mean(axis=(1, 2)) + 80).all()
    x0, y0, x1, y1 = HOLE
    corner = canvas[:, y0:y1, x0:x1]
    assert not corner.any() if kind in HAS_HOLE else corner.any(axis=0).mean() > 0.9
    if kind.startswith('float32'):
        assert not canvas[:, 5, 5].any() and not canvas[:, 6, 6].any()


def test_extremes_are_those_of_every_pixel(tmp_path, write_raster):
    from data_prep.imagery.rasters import open_raster
    from data_prep.imagery.stretch import stretch_limits

    pixels = np.random.default_rng(0).integers(1000, 2000, (2, 3000, 1500)).astype(np.int32)
    pixels[0, 1234, 777], pixels[1, 2999, 1499], pixels[0, 5, 5] = -70_000, 90_000, -1
    with open_raster(write_raster(tmp_path / 's.tif', pixels=pixels, nodata=-1, tiled=True)) as dataset:
        assert stretch_limits(dataset, (2, 1, 1), 'min-max') == [[1000, 90_000], [-70_000, 1999], [-70_000, 1999]]
    with open_raster(write_raster(tmp_path / 'e.tif', pixels=np.full((1, 8, 8), -1, np.int16), nodata=-1)) as dataset:
        assert stretch_limits(dataset, (1,), 'min-max') == [[0, 1]]


def test_two_colours_without_a_choice_are_refused(data_prep, tmp_path, folder):
    code, _, stderr = data_prep('tile', folder('two bands'), '--out', tmp_path / 'out')
    assert code == 2 and 'has two bands' in stderr and '--bands 1' in stderr and not (tmp_path / 'out').exists()

"""Fixtures for all rooms. Rasters and labels are made here, small and real; nothing is mocked."""

import json
import os
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile('house', deadline=None)  # a busy machine is no failure
settings.load_profile('house')

CRS = 'EPSG:32633'
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)  # those that a training run takes
OWN_SIGNALS = {}
ORIGIN_XY, GSD_M = (500_000.0, 5_500_000.0), 0.1


def pytest_configure(config):
    """Quiet what rasterio says about rasters without georeference, which are meant here.

    A suite started in the background of a script ignores SIGINT, and so would all that it starts and stops with it.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    OWN_SIGNALS.update((number, signal.getsignal(number)) for number in SIGNALS)
    for start in ('Dataset has no geotransform', 'The given matrix is equal to Affine', 'Use `@` matmul'):
        config.addinivalue_line('filterwarnings', f'ignore:{start}')


@pytest.fixture(autouse=True)
def signals_given_back():
    """Take signals from runners that were built and never run; what later tests start would be shielded by them."""
    give_back = lambda: [signal.signal(number, handler) for number, handler in OWN_SIGNALS.items()]  # noqa: E731
    give_back()
    yield
    give_back()


@pytest.fixture(scope='session')
def real_data():
    """The folder of real images that REAL_DATA names."""
    folder = Path(os.environ.get('REAL_DATA', ''))
    if not os.environ.get('REAL_DATA') or not folder.is_dir():
        pytest.skip('real images are absent: REAL_DATA names no folder')
    return folder


@pytest.fixture(scope='session')
def write_raster():
    """Write a GeoTIFF (or PNG, JPEG by ``driver``) of random texture and return its path."""
    rasterio = pytest.importorskip('rasterio')
    from rasterio.transform import from_origin

    def write(path, size_wh=(96, 64), *, pixels=None, seed=0, mask=None, **profile):
        if pixels is None:
            pixels = np.random.default_rng(seed).integers(1, 256, (3, size_wh[1], size_wh[0]), np.uint8)
        count, height, width = pixels.shape
        defaults = {'driver': 'GTiff', 'crs': CRS, 'transform': from_origin(*ORIGIN_XY, GSD_M, GSD_M)}
        shape = {'count': count, 'height': height, 'width': width, 'dtype': pixels.dtype}
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(path, 'w', **{**defaults, **shape, **profile}) as dataset:
            dataset.write(pixels)
            if mask is not None:
                dataset.write_mask(mask)
        return path

    return write


@pytest.fixture(scope='session')
def write_labelme():
    """Write a LabelMe file of ``(label, points)`` in pixels and return its path."""

    def write(path, shapes, size_wh=(96, 64), **changes):
        entries = [{'label': label, 'points': points, 'shape_type': 'polygon'} for label, points in shapes]
        content = {'version': '5.4.1', 'shapes': entries, 'imageWidth': size_wh[0], 'imageHeight': size_wh[1]}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**content, **changes}))
        return path

    return write


@pytest.fixture(scope='session')
def write_vectors():
    """Write ``(label, geometry)`` in map coordinates as GeoPackage, Shapefile or GeoJSON and return the path."""
    pyogrio = pytest.importorskip('pyogrio')
    import shapely

    def write(path, features, *, crs=CRS, field='label', geometry_type='Unknown', **options):
        labels = np.array([label for label, _ in features], object)
        wkb = shapely.to_wkb([geometry for _, geometry in features])
        path.parent.mkdir(parents=True, exist_ok=True)
        pyogrio.raw.write(path, wkb, [labels], [field], geometry_type=geometry_type, crs=crs, **options)
        return path

    return write


@pytest.fixture(scope='session')
def to_map():
    """Points or geometry from pixels of a fixture's raster to its map."""
    import shapely

    def convert(geometry):
        polygon = shapely.Polygon(geometry) if isinstance(geometry, list) else geometry
        return shapely.transform(polygon, lambda xy: xy * (GSD_M, -GSD_M) + ORIGIN_XY)

    return convert


@pytest.fixture
def data_prep(capsys):
    """Run ``python -m data_prep`` in this process; returns exit code, stdout and stderr."""
    from data_prep.__main__ import main

    def run(*argv):
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter('error', UserWarning)  # each would be a line on stderr
            warnings.simplefilter('error', RuntimeWarning)
            code = main([str(item) for item in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def scenes(tmp_path, write_raster, write_labelme):
    """A folder of four scenes, 160 x 128 px, each with whole trees, trees on tile edges and tree-less ground."""
    folder = tmp_path / 'scenes'
    for number in range(4):
        write_raster(folder / f's{number}.tif', (160, 128), seed=number)
        trees = [box(10 + number, 10, 30, 14), box(60, 20, 70, 50), box(100, 60, 130, 66 + number)]
        write_labelme(folder / f's{number}.json', [('tree', tree) for tree in trees], (160, 128))
    return folder


def box(x0, y0, x1, y1):
    """Corners of an upright rectangle."""
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


@pytest.fixture(scope='session')
def tiles(tmp_path_factory):
    """A data set of small tiles for training, made by the project's own commands: draw scenes, cut them."""
    from data_prep.__main__ import main

    folder = tmp_path_factory.mktemp('tiles')
    assert main(['synth', '--out', f'{folder}/scenes', '--scenes', '3', '--size', '256', '--seed', '0']) == 0
    options = ['--tile-size', '128', '--min-visible', '0.3', '--val', 'synth_01', '--test', 'synth_02']
    assert main(['tile', f'{folder}/scenes', '--out', f'{folder}/data', *options]) == 0
    return folder / 'data'

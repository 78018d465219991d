"""A run stays under --max-ram, and what was never written of a raster costs next to nothing."""

import json
import re
import time

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

TILES = dict(size_px=[512, 512], gsd_m=0.1, scale=1.0, bands=[1, 2, 3], overlap=0.25, stretch='auto')
LIMIT_MB = 1500
SPOTS = 4  # windows with a bright bar


def sparse(path, side, spots=SPOTS):
    """A sparse raster of which a few blocks are written, each with a bar."""
    options = dict(driver='GTiff', width=side, height=side, count=3, dtype='uint8', tiled=True, blockxsize=512,
                   blockysize=512, sparse_ok=True, compress='deflate', bigtiff='yes', crs='EPSG:32633',
                   transform=from_origin(400_000, 5_600_000, 0.1, 0.1))  # fmt: skip
    with rasterio.open(path, 'w', **options) as dataset:
        for at in np.linspace(0, side // 512 - 1, spots).astype(int).tolist():
            block = np.full((3, 512, 512), 30, np.uint8)
            block[:, 200:220, 60:300] = 230
            dataset.write(block, window=Window(at * 512, at * 512, 512, 512))
    return path


@pytest.mark.parametrize('side', [20_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_sparse_raster_is_mapped_quickly_and_under_its_limit(start, bright, tmp_path, side):
    path, out = sparse(tmp_path / 's.tif', side), tmp_path / 'map.gpkg'
    began = time.monotonic()
    code, output, errors = start(*bright(TILES), path, '--out', out, '--max-ram', f'{LIMIT_MB}M', '--json').wait(280)
    assert code == 0, errors
    assert len(gpd.read_file(out, layer='trees')) == SPOTS
    summary = json.loads(output.splitlines()[-1])
    print(f'{side} px: {time.monotonic() - began:.1f} s, peak {summary["peak_mb"]} MB')
    assert summary['peak_mb'] < LIMIT_MB


def test_a_batch_that_would_not_fit_is_made_smaller(start, bright, write_raster, tmp_path):
    path, out = write_raster(tmp_path / 's.tif', (2048, 1024)), tmp_path / 'map.gpkg'
    flags = ['--batch-size', 16, '--max-ram', f'{LIMIT_MB}M', '--json', '--cfg-options', 'model.needs_mb=150']
    code, output, errors = start(*bright(TILES), path, '--out', out, *flags).wait()
    assert code == 0, errors
    batch = int(re.search(rf'--max-ram {LIMIT_MB}M: batch (\d+), \d readers', errors)[1])
    assert 1 <= batch < 8
    assert json.loads(output.splitlines()[-1])['peak_mb'] < LIMIT_MB


def test_a_limit_that_no_window_fits_names_one_that_does(start, bright, write_raster, tmp_path):
    path, out = write_raster(tmp_path / 's.tif', (2048, 1024)), tmp_path / 'map.gpkg'
    flags = ['--cfg-options', 'model.needs_mb=150']
    code, _, errors = start(*bright(TILES), path, '--out', out, '--max-ram', '600M', *flags).wait()
    assert code == 2
    enough = re.search(r'pass --max-ram (\d+M)', errors)[1]
    code, _, errors = start(*bright(TILES), path, '--out', out, '--max-ram', enough, *flags).wait()
    assert code == 0, errors

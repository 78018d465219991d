"""A tile's pixels: stretched once per scene, padded, stored without loss."""

import numpy as np
import pytest
from rasterio.io import MemoryFile

from data_prep.errors import DataError
from data_prep.grid import Window
from data_prep.imagery.encode import encode_png
from data_prep.imagery.pixels import read_tile
from data_prep.imagery.rasters import open_raster, raster_info
from data_prep.imagery.stretch import apply_stretch, needs_stretch, stretch_limits


def test_tile_is_padded_with_zeros_where_it_must_not_read(tmp_path, write_raster):
    pixels = np.random.default_rng(0).integers(1, 256, (3, 64, 96), np.uint8)
    with open_raster(write_raster(tmp_path / 'a.tif', pixels=pixels)) as dataset:
        tile, nodata = read_tile(dataset, Window(80, 40, 32, 32), Window(84, 40, 12, 20), (1, 2, 3), None)
    expected = np.zeros((3, 32, 32), np.uint8)
    expected[:, :20, 4:16] = pixels[:, 40:60, 84:96]
    assert np.array_equal(tile, expected) and tile.dtype == np.uint8
    assert nodata == pytest.approx(1 - 12 * 20 / 32**2)


def test_pixels_without_data_become_zero(tmp_path, write_raster):
    pixels = np.full((3, 8, 8), 200, np.uint8)
    pixels[:, 2, 3] = 255
    with open_raster(write_raster(tmp_path / 'a.tif', pixels=pixels, nodata=255)) as dataset:
        tile, nodata = read_tile(dataset, Window(0, 0, 8, 8), Window(0, 0, 8, 8), (1, 2, 3), None)
    assert not tile[:, 2, 3].any() and tile.sum() == 200 * 3 * 63 and nodata == pytest.approx(1 / 64)


def test_png_holds_the_same_pixels():
    tile = np.random.default_rng(0).integers(0, 256, (3, 20, 30), np.uint8)
    with MemoryFile(encode_png(tile)) as memory, memory.open() as dataset:
        assert dataset.driver == 'PNG' and np.array_equal(dataset.read(), tile)


def test_limits_are_percentiles_of_pixels_with_data(tmp_path, write_raster):
    ramp = np.arange(10_000, dtype=np.float32).reshape(1, 100, 100) + 1
    pixels = np.concatenate([ramp, ramp * 2, ramp * 3])
    pixels[:, 50:] = -9999
    path = write_raster(tmp_path / 'a.tif', pixels=pixels, nodata=-9999)
    with open_raster(path) as dataset:
        limits = stretch_limits(dataset, (3, 1, 2))
    assert limits == [pytest.approx([k * 100.98, k * 4900.02]) for k in (3, 1, 2)]


def test_limits_of_flat_and_of_empty_bands(tmp_path, write_raster):
    for value, expected in ((7, [7.0, 8.0]), (0, [0.0, 1.0])):
        path = write_raster(tmp_path / f'{value}.tif', pixels=np.full((1, 8, 8), value, np.uint16))
        with open_raster(path) as dataset:
            assert stretch_limits(dataset, (1,)) == [expected]


def test_stretch_maps_limits_to_0_and_255():
    pixels = np.array([[[-5, 0, 51, 100, 900]], [[0, 100, 151, 200, 300]]], np.int16)
    out = apply_stretch(pixels, [[0, 100], [100, 200]])
    assert out.dtype == np.uint8 and out.tolist() == [[[0, 0, 130, 255, 255]], [[0, 0, 130, 255, 255]]]
    eight = np.array([[[3, 250]]], np.uint8)
    assert apply_stretch(eight, None) is eight


def test_when_to_stretch(tmp_path, write_raster):
    eight = raster_info(write_raster(tmp_path / 'a.tif'))
    sixteen = raster_info(write_raster(tmp_path / 'b.tif', pixels=np.ones((3, 8, 8), np.uint16)))
    assert [needs_stretch(eight, mode) for mode in ('auto', 'p2-p98', 'none')] == [False, True, False]
    assert needs_stretch(sixteen, 'auto')
    with pytest.raises(DataError, match='holds uint16'):
        needs_stretch(sixteen, 'none')

"""Only known kinds of files are opened, windows only, and pixels without data are found."""

import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from rasterio.transform import Affine

from data_prep.errors import DataError
from data_prep.grid import Window
from data_prep.imagery.rasters import open_raster, raster_info, read_window, sha256, three_bands

VRT = '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>{}</SimpleSource></VRTRasterBand></VRTDataset>'  # noqa: E501


def test_header(tmp_path, write_raster):
    info = raster_info(write_raster(tmp_path / 'a.tif', (96, 64), nodata=7))
    assert (info.width, info.height, info.count, info.dtype, info.nodata) == (96, 64, 3, 'uint8', 7)
    assert info.crs_name == 'EPSG:32633' and info.gsd_m == pytest.approx(0.1)
    assert info.window == Window(0, 0, 96, 64)


@pytest.mark.parametrize(
    ('profile', 'gsd_m'),
    [
        pytest.param({'crs': 'EPSG:2263', 'transform': Affine(1, 0, 0, 0, -1, 0)}, 0.3048006096, id='feet'),
        pytest.param({'crs': 'EPSG:4326', 'transform': Affine(1e-6, 0, 9, 0, -1e-6, 56)}, None, id='degrees'),
        pytest.param({'crs': None}, None, id='no CRS'),
        pytest.param({'transform': Affine(0.06, 0.08, 5e5, 0.08, -0.06, 5e6)}, 0.1, id='rotated'),
    ],
)
def test_gsd_is_in_metres_or_none(tmp_path, write_raster, profile, gsd_m):
    info = raster_info(write_raster(tmp_path / 'a.tif', **profile))
    assert info.gsd_m == (None if gsd_m is None else pytest.approx(gsd_m))


@pytest.mark.parametrize(('name', 'driver'), [('a.png', 'PNG'), ('a.jpg', 'JPEG'), ('big.tif', 'GTiff')])
def test_other_kinds(tmp_path, write_raster, name, driver):
    options = {'BIGTIFF': 'YES'} if name == 'big.tif' else {}
    info = raster_info(write_raster(tmp_path / name, driver=driver, crs=None, transform=None, **options))
    assert (info.width, info.height, info.crs_name) == (96, 64, None)


def test_vrt_dressed_as_tif_reaches_neither_host_nor_file(tmp_path):
    hits = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            hits.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET
        log_message = staticmethod(lambda *args: None)

    server = HTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f'<SourceFilename>/vsicurl/http://127.0.0.1:{server.server_port}/a.tif</SourceFilename>'
    (tmp_path / 'a.tif').write_text(VRT.format(url))
    try:
        with pytest.raises(DataError, match='must be a GeoTIFF, PNG or JPEG'):
            raster_info(tmp_path / 'a.tif')
    finally:
        server.shutdown()
        server.server_close()
    assert hits == []


@pytest.mark.parametrize('name', ['/vsicurl/http://127.0.0.1:1/a.tif', 'http://127.0.0.1:1/a.tif', 'GTIFF_DIR:1:a.tif'])
def test_names_that_are_not_files_are_refused(name):
    with pytest.raises(DataError, match='cannot be read'):
        raster_info(name)


def test_handles_are_closed(tmp_path, write_raster):
    path = write_raster(tmp_path / 'a.tif')
    (tmp_path / 'bad.tif').write_bytes(path.read_bytes()[:200])
    before = len(os.listdir('/proc/self/fd'))
    for _ in range(5):
        raster_info(path)
        with pytest.raises(DataError), open_raster(tmp_path / 'bad.tif') as dataset:
            read_window(dataset, Window(0, 0, 96, 64), [1])
    assert len(os.listdir('/proc/self/fd')) == before


def test_bands(tmp_path, write_raster):
    rgb = raster_info(write_raster(tmp_path / 'rgb.tif'))
    grey = raster_info(write_raster(tmp_path / 'grey.tif', pixels=np.ones((1, 8, 8), np.uint8)))
    two = raster_info(write_raster(tmp_path / 'two.tif', pixels=np.ones((2, 8, 8), np.uint8)))
    assert three_bands(rgb, ()) == (1, 2, 3) and three_bands(rgb, (3, 1, 2)) == (3, 1, 2)
    assert three_bands(grey, ()) == (1, 1, 1) and three_bands(rgb, (2,)) == (2, 2, 2)
    for info, bands in ((two, ()), (grey, (1, 2, 3)), (rgb, (1, 2)), (rgb, (0, 1, 2)), (rgb, (4,))):
        with pytest.raises(DataError, match='band'):
            three_bands(info, bands)


def read(path, bands=(1, 2, 3), **options):
    with open_raster(path) as dataset:
        return read_window(dataset, Window(0, 0, dataset.width, dataset.height), bands, **options)


def test_reads_windows_and_bands_in_the_order_asked_for(tmp_path, write_raster):
    pixels = np.arange(4 * 64 * 96).reshape(4, 64, 96).astype(np.uint16) + 1
    with open_raster(write_raster(tmp_path / 'a.tif', pixels=pixels)) as dataset:
        got, valid = read_window(dataset, Window(10, 20, 30, 5), (4, 1, 1))
    assert np.array_equal(got, pixels[[3, 0, 0], 20:25, 10:40]) and valid.all()


def test_black_holes_hold_no_data_where_nothing_is_declared(tmp_path, write_raster):
    pixels = np.full((3, 8, 8), 9, np.uint8)
    pixels[:, 2:4, 2:4] = 0
    pixels[0, 6, 6] = 0  # black in one band only
    expected = np.ones((8, 8), bool)
    expected[2:4, 2:4] = False
    assert np.array_equal(read(write_raster(tmp_path / 'a.tif', pixels=pixels))[1], expected)


def test_declared_nodata_mask_band_and_alpha_decide(tmp_path, write_raster):
    pixels = np.full((4, 8, 8), 9, np.uint8)
    pixels[:3, 0, 0] = 0
    pixels[:3, 1, 1] = 255
    pixels[3] = 255
    pixels[3, 5, 5] = 0
    nodata = read(write_raster(tmp_path / 'nodata.tif', pixels=pixels[:3], nodata=255))[1]
    assert not nodata[1, 1] and nodata[0, 0] and nodata.sum() == 63
    alpha = read(write_raster(tmp_path / 'alpha.tif', pixels=pixels, photometric='RGB', alpha='YES'))[1]
    assert not alpha[5, 5] and alpha.sum() == 63
    mask = np.full((8, 8), 255, np.uint8)
    mask[7] = 0
    import rasterio

    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write_raster(tmp_path / 'mask.tif', pixels=pixels[:3], mask=mask)
    assert np.array_equal(read(path)[1], mask > 0)


def test_nan_holds_no_data(tmp_path, write_raster):
    pixels = np.ones((3, 8, 8), np.float32)
    pixels[1, 3, 3], pixels[2, 4, 4] = np.nan, np.inf
    assert read(write_raster(tmp_path / 'a.tif', pixels=pixels))[1].sum() == 62


def test_thinned_out_read(tmp_path, write_raster):
    pixels, valid = read(write_raster(tmp_path / 'a.tif', (96, 64)), max_side=16)
    assert pixels.shape == (3, 16, 16) and valid.shape == (16, 16)


def test_truncated_raster_is_told_when_its_blocks_are_read(tmp_path, write_raster):
    path = write_raster(tmp_path / 'a.tif', (256, 256), tiled=True, blockxsize=64, blockysize=64, compress='deflate')
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(DataError, match='truncated or damaged'):
        read(path)


def test_colour_tables_and_complex_numbers_are_refused(tmp_path, write_raster):
    import rasterio

    path = write_raster(tmp_path / 'a.tif', pixels=np.ones((1, 8, 8), np.uint8), photometric='palette')
    with rasterio.open(path, 'r+') as dataset:
        dataset.write_colormap(1, {1: (255, 0, 0, 255)})
    with pytest.raises(DataError, match='colour-table'):
        raster_info(path)
    with pytest.raises(DataError, match='integers or floats; got complex64'):
        raster_info(write_raster(tmp_path / 'b.tif', pixels=np.ones((1, 8, 8), np.complex64)))


def test_sha256(tmp_path):
    (tmp_path / 'a').write_bytes(b'abc')
    assert sha256(tmp_path / 'a').startswith('ba7816bf8f01cfea')
    with pytest.raises(DataError, match='cannot be read'):
        sha256(tmp_path / 'b')

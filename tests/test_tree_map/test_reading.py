"""Windows come as tiles of training would have been cut; what cannot be read costs its own windows only."""

import numpy as np
import pytest
from rasterio.windows import Window as Area

from data_prep.errors import DataError
from data_prep.imagery.pixels import read_tile
from data_prep.imagery.rasters import open_raster
from tree_map.predicting.reading import read_ahead, read_block
from tree_map.predicting.scene import Wishes, read_scene
from tree_map.predicting.windows import plan_windows

TILES = dict(size_px=[64, 64], gsd_m=0.1, scale=1.0, bands=[1, 2, 3], overlap=0.25, stretch='auto')


def prepared(path, side=64, num_bands=3, **wishes):
    scene = read_scene(path, Wishes(**wishes), TILES, num_bands)
    return scene, plan_windows(scene.info.grid, side, 0.25)


@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
@pytest.mark.parametrize('gsd_m', [0.1, 0.04, 0.23])
def test_windows_are_the_tiles_of_training(write_raster, tmp_path, dtype, gsd_m):
    pixels = np.random.default_rng(0).integers(0, 255 if dtype == 'uint8' else 4000, (3, 150, 200)).astype(dtype)
    pixels[:, :40, :50] = 0
    scene, plan = prepared(write_raster(tmp_path / 's.tif', (200, 150), pixels=pixels), gsd_m=gsd_m)
    assert scene.gsd_m == pytest.approx(gsd_m, rel=0.01)
    seen = 0
    for block in read_ahead(scene, plan, plan.blocks, workers=2, ahead=3):
        for index, picture in block.pictures.items():
            window = plan.window(index)
            with open_raster(scene.path) as dataset:
                keys = [plan.grid.to_source(part) for part in (window, window.intersect(plan.grid.window))]
                tile, _ = read_tile(dataset, *keys, scene.bands, scene.limits, plan.grid.scale)
            assert np.array_equal(picture, tile.transpose(1, 2, 0))
            seen += 1
        seen += len(block.empty)
    assert seen == len(plan.windows_xywh)


@pytest.mark.parametrize('workers', [0, 1, 3])
def test_blocks_come_in_order_however_many_read(write_raster, tmp_path, workers):
    scene, plan = prepared(write_raster(tmp_path / 's.tif', (400, 300)))
    wanted = [[index] for index in range(len(plan.windows_xywh))]
    got = [next(iter(block.pictures)) for block in read_ahead(scene, plan, wanted, workers, ahead=2)]
    assert got == list(range(len(plan.windows_xywh)))


def test_reading_ahead_stops_when_nobody_wants_more(write_raster, tmp_path):
    scene, plan = prepared(write_raster(tmp_path / 's.tif', (400, 300)))
    asked = []

    def wanted():
        for index in range(len(plan.windows_xywh)):
            asked.append(index)
            yield [index]

    blocks = read_ahead(scene, plan, wanted(), workers=2, ahead=3)
    next(blocks)
    assert len(asked) == 3
    blocks.close()
    assert len(asked) == 3


def test_windows_without_data_are_told(write_raster, tmp_path):
    pixels = np.full((3, 64, 160), 9, np.uint8)
    pixels[:, :, 64:] = 255
    scene, plan = prepared(write_raster(tmp_path / 's.tif', (160, 64), pixels=pixels, nodata=255))
    block = read_block(scene, plan, range(len(plan.windows_xywh)))
    assert list(block.pictures) == [0, 1] and block.empty == [2]
    assert (block.pictures[1][:, 16:] == 0).all() and (block.pictures[1][:, :16] == 9).all()


def test_a_damaged_block_costs_its_own_windows(damage, write_raster, tmp_path):
    path = write_raster(tmp_path / 's.tif', (512, 512), tiled=True, blockxsize=64, blockysize=64, compress='deflate')
    damage(path, 4, 4)
    scene, plan = prepared(path)
    block = read_block(scene, plan, range(len(plan.windows_xywh)))
    x, y, width, height = plan.windows_xywh.T
    over = (x < 320) & (x + width > 256) & (y < 320) & (y + height > 256)
    assert sorted(block.unreadable) == np.flatnonzero(over).tolist()
    assert sorted(block.pictures) == np.flatnonzero(~over).tolist()
    assert all('damaged' in reason for reason in block.unreadable.values())


def test_bands_are_those_of_training_and_refused_where_there_are_none(write_raster, tmp_path):
    grey = write_raster(tmp_path / 'g.tif', (80, 64), pixels=np.full((1, 64, 80), 5, np.uint8))
    with pytest.raises(DataError, match=r'has 1 band, .*1,2,3 as in training.*--bands 1'):
        prepared(grey)
    assert prepared(grey, bands=(1,))[0].bands == (1, 1, 1)
    five = write_raster(tmp_path / 'f.tif', (80, 64), pixels=np.full((5, 64, 80), 5, np.uint8))
    assert prepared(five)[0].bands == (1, 2, 3)
    assert prepared(five, bands=(5, 4, 3))[0].bands == (5, 4, 3)
    with pytest.raises(DataError, match='bands 1..5'):
        prepared(five, bands=(6, 1, 2))
    with pytest.raises(DataError, match='takes 4 bands; got --bands 1,2,3'):
        prepared(five, num_bands=4)


def test_another_pixel_size_is_said(write_raster, tmp_path):
    path = write_raster(tmp_path / 's.tif', (200, 150))
    assert prepared(path)[0].notes == ()
    fine = read_scene(path, Wishes(), TILES | {'gsd_m': 0.2}, 3)
    assert fine.info.grid.window[2:] == (100, 75) and '0.1 m, resampled to the 0.2 m of training' in fine.notes[0]
    nearly = read_scene(path, Wishes(), TILES | {'gsd_m': 0.101}, 3)
    assert nearly.info.scale == 1 and nearly.notes == ()
    nowhere = write_raster(tmp_path / 'n.tif', (200, 150), crs=None, transform=None)
    scene = read_scene(nowhere, Wishes(), TILES, 3)
    assert scene.gsd_m is None and scene.is_photo and '--gsd-of-scene' in scene.notes[0]
    told = read_scene(nowhere, Wishes(gsd_of_scene_m=0.05), TILES, 3)
    assert told.info.scale == 0.5 and told.gsd_m == pytest.approx(0.1)
    with pytest.raises(DataError, match='--gsd needs --gsd-of-scene'):
        read_scene(nowhere, Wishes(gsd_m=0.1), TILES, 3)


def test_a_stretch_is_that_of_the_whole_scene(write_raster, tmp_path):
    pixels = np.random.default_rng(0).integers(100, 3000, (3, 128, 128)).astype('uint16')
    path = write_raster(tmp_path / 's.tif', (128, 128), pixels=pixels)
    scene, plan = prepared(path, stretch='min-max')
    assert scene.limits[0] == [pixels[0].min(), pixels[0].max()]
    with open_raster(path) as dataset:
        band = dataset.read(1, window=Area(0, 0, 64, 64)).astype(float)
    lo, hi = scene.limits[0]
    assert np.abs(read_block(scene, plan, [0]).pictures[0][..., 0] - (band - lo) / (hi - lo) * 255).max() <= 0.5
    with pytest.raises(DataError, match='--stretch'):
        prepared(path, stretch='none')

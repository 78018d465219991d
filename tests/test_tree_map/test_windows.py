"""Windows cover a scene, blocks share them out, and only what was never written is left out."""

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import from_origin

from data_prep.errors import DataError
from data_prep.grid import Grid, Window
from data_prep.imagery.rasters import open_raster, read_window
from tree_map.predicting import windows
from tree_map.predicting.windows import plan_windows, written_blocks


@given(
    st.integers(1, 900), st.integers(1, 900), st.integers(32, 200), st.floats(0, 0.9), st.sampled_from([0.5, 1.0, 1.7])
)
def test_windows_cover_the_scene_and_blocks_share_them_out(width, height, side, overlap, scale):
    plan = plan_windows(Grid((width, height), scale), side, overlap)
    _, _, right, bottom = plan.grid.window
    covered = np.zeros((bottom, right), bool)
    for x, y, w, h in plan.windows_xywh:
        covered[y : y + h, x : x + w] = True
        assert (w, h) == (side, side) == (plan.side, plan.side)
    assert covered.all()
    assert sorted(index for block in plan.blocks for index in block) == list(range(len(plan.windows_xywh)))


def test_a_block_is_read_as_one_rectangle_of_a_few_megapixels():
    plan = plan_windows(Grid((20_000, 10_000)), 512, 0.25)
    for block in plan.blocks:
        read = plan.read_of(block)
        assert all(plan.window(index).intersect(read) == plan.window(index) for index in block)
        assert read.width * read.height <= windows.BLOCK_PIXELS
    pixels = sum(plan.read_of(block)[2] * plan.read_of(block)[3] for block in plan.blocks)
    assert pixels < 1.25 * 20_000 * 10_000  # each window by itself: 1.8


def test_no_window_size_means_the_whole_picture():
    plan = plan_windows(Grid((300, 200)), None, 0.25)
    assert plan.windows_xywh.tolist() == [[0, 0, 300, 200]]
    assert plan.side is None


@pytest.mark.parametrize(('side', 'overlap', 'says'), [(16, 0.2, '--window'), (64, 1.0, '--overlap')])
def test_windows_that_cannot_be_laid_are_refused(side, overlap, says):
    with pytest.raises(DataError, match=says):
        plan_windows(Grid((300, 200)), side, overlap)


def sparse(path, filled, *, size=640, block=64, nodata=None, interleave='pixel', alpha=False):
    """A sparse GeoTIFF of 64 px blocks, of which some (row, column) are written."""
    options = dict(driver='GTiff', width=size, height=size, count=4 if alpha else 3, dtype='uint8', tiled=True,
                   blockxsize=block, blockysize=block, sparse_ok=True, nodata=nodata, interleave=interleave,
                   crs='EPSG:32633', transform=from_origin(0, 0, 0.1, 0.1))  # fmt: skip
    if alpha:
        options['alpha'] = 'yes'
    with rasterio.open(path, 'w', **options) as dataset:
        for row, column in filled:
            area = rasterio.windows.Window(column * block, row * block, block, block)
            dataset.write(np.full((options['count'], block, block), 99, np.uint8), window=area)
    return path


@pytest.mark.parametrize('options', [{}, {'nodata': 7}, {'interleave': 'band'}, {'alpha': True}])
@pytest.mark.parametrize('scale', [1.0, 0.43, 1.6])
def test_only_windows_without_a_written_block_are_left_out(tmp_path, options, scale):
    path = sparse(tmp_path / 's.tif', [(2, 3), (2, 4), (9, 9), (5, 0)], **options)
    with open_raster(path) as dataset:
        written = written_blocks(dataset, (1, 2, 3))
        plan = plan_windows(Grid((640, 640), scale), 48, 0.3, written)
        assert np.argwhere(written.blocks).tolist() == [[2, 3], [2, 4], [5, 0], [9, 9]]
        read = {index for block in plan.blocks for index in block}
        holding = {
            index
            for index in range(len(plan.windows_xywh))
            if read_window(dataset, plan.window(index).intersect(plan.grid.window), (1, 2, 3), scale=scale)[1].any()
        }
    assert holding <= read
    assert len(read) < 2.5 * len(holding) and len(read) < 0.5 * len(plan.windows_xywh)


def test_a_file_with_a_mask_of_its_own_is_read_throughout(tmp_path):
    path = sparse(tmp_path / 's.tif', [(2, 3)])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, 'r+') as dataset:
        dataset.write_mask(np.full((640, 640), 255, np.uint8))
    with open_raster(path) as dataset:
        assert written_blocks(dataset, (1, 2, 3)) is None


def test_what_was_never_written_leaves_an_empty_plan(tmp_path):
    with open_raster(sparse(tmp_path / 's.tif', [])) as dataset:
        plan = plan_windows(Grid((640, 640)), 64, 0.25, written_blocks(dataset, (1,)))
    assert plan.blocks == () and len(plan.windows_xywh) == 169


def test_reading_a_part_stays_inside_the_scene():
    plan = plan_windows(Grid((50, 40)), 64, 0.25)
    assert plan.read_of([0]) == Window(0, 0, 50, 40)

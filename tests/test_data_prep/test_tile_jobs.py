"""More processes, or a cluster, make the same bytes; blocks read each pixel about once."""

import hashlib
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.grid import Grid, Window, tile_windows
from data_prep.imagery.pixels import read_tile
from data_prep.imagery.rasters import open_raster
from data_prep.tile import blocks
from data_prep.tile.blocks import Block, Layout, around, group


def digest(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


@pytest.fixture
def wide(scenes, write_raster, write_labelme):
    """Scenes of which one is cut in three blocks."""
    pixels = np.random.default_rng(3).integers(1, 256, (3, 100, 9000), np.uint8)
    write_raster(scenes / 'wide.tif', pixels=pixels)
    trees = [('tree', [[x, 20], [x + 50, 20], [x + 50, 90], [x, 90]]) for x in range(30, 8900, 333)]
    write_labelme(scenes / 'wide.json', trees, (9000, 100))
    return scenes


def test_same_bytes_for_any_number_of_processes(data_prep, wide, tmp_path):
    made = []
    for jobs in (1, 3):
        out = tmp_path / f'jobs{jobs}'
        code, _, stderr = data_prep('tile', wide, '--out', out, '--tile-size', 64, '--jobs', jobs, '--min-visible', 0.2)
        assert code == 0 and stderr == ''
        made.append(digest(out))
    assert made[0] == made[1] and len(made[0]) > 100


def test_same_bytes_from_a_cluster(data_prep, wide, tmp_path):
    distributed = pytest.importorskip('distributed')
    options = ('--tile-size', 64, '--stretch', 'p2-p98', '--min-visible', 0.2)
    assert data_prep('tile', wide, '--out', tmp_path / 'here', *options)[0] == 0
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local:
        address = local.scheduler_address
        code, _, stderr = data_prep('tile', wide, '--out', tmp_path / 'there', *options, '--scheduler', address)
    assert code == 0, stderr
    assert digest(tmp_path / 'here') == digest(tmp_path / 'there')


def test_a_scheduler_that_cannot_be_used_is_told(data_prep, scenes, tmp_path):
    code, _, stderr = data_prep('tile', scenes, '--out', tmp_path / 'o', '--scheduler', 'nonsense://1')
    try:
        import distributed  # noqa: F401
    except ImportError:
        assert code == 3 and 'fallen-trees[dask]' in stderr
    else:
        assert code == 2 and 'does not answer' in stderr
    assert stderr.count('\n') == 1 and not list(tmp_path.glob('*o*'))


def test_damage_found_in_a_process_is_one_line(data_prep, wide, tmp_path):
    os.truncate(wide / 'wide.tif', 500_000)
    code, _, stderr = data_prep('tile', wide, '--out', tmp_path / 'o', '--tile-size', 64, '--jobs', 2)
    assert code == 2 and 'wide.tif' in stderr and stderr.count('\n') == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ['scenes']


@given(
    width=st.integers(1, 900),
    height=st.integers(1, 900),
    tile=st.integers(8, 200),
    overlap=st.sampled_from([None, 0.0, 0.25, 0.5]),
    border=st.sampled_from(['auto', 'pad', 'shift']),
    striped=st.booleans(),
)
def test_blocks_hold_every_window_once_and_are_bounded(width, height, tile, overlap, border, striped):
    windows = tile_windows(Window(7, 3, width, height), tile, overlap, border)
    raster = Layout((width if striped else 16, 16), width, 3)
    before, blocks.BLOCK_BYTES = blocks.BLOCK_BYTES, 3 * 250 * 250
    try:
        made = group(windows, raster)
    finally:
        blocks.BLOCK_BYTES = before
    assert sorted(window for block in made for window in block) == sorted(windows)
    for block in made:
        area = around(block)
        assert len(block) == 1 or area.width * area.height <= 250 * 250


@pytest.mark.parametrize('scale', [1.0, 0.6])
@pytest.mark.parametrize('kind', ['uint8', 'nodata', 'stretched'])
def test_a_block_holds_the_pixels_of_its_tiles(tmp_path, write_raster, scale, kind):
    dtype = 'uint16' if kind == 'stretched' else 'uint8'
    pixels = np.random.default_rng(0).integers(0, 200, (3, 700, 300)).astype(dtype)
    pixels[:, 100:250, 50:90] = 0
    path = write_raster(tmp_path / 's.tif', pixels=pixels, nodata=7 if kind == 'nodata' else None)
    limits = [[10.0, 150.0]] * 3 if kind == 'stretched' else None
    with open_raster(path) as dataset:
        grid = Grid((300, 700), scale)
        windows = tile_windows(grid.window, 128, 0.25, 'pad')
        block = Block(dataset, around([window.intersect(grid.window) for window in windows]), (3, 1, 2), scale)
        for window in windows:
            read = window.intersect(grid.window)
            whole, nodata = read_tile(dataset, grid.to_source(window), grid.to_source(read), (3, 1, 2), limits, scale)
            assert np.array_equal(block.tile(window, read, limits), whole)
            assert block.nodata_share(window, read) == nodata

"""Windows cover the region, stay inside, and do not overlap where they must not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.errors import DataError
from data_prep.grid import Window, overlapping_starts, tile_name, tile_windows

lengths, tiles = st.integers(1, 400), st.integers(3, 120)
overlaps = st.floats(0, 0.95)
regions = st.builds(Window, st.integers(0, 50), st.integers(0, 50), lengths, lengths)


def counts(region, windows):
    """How many windows hold each pixel of the region, and of what lies around it."""
    grid = np.zeros((region.bottom + 200, region.right + 200), int)
    for x, y, width, height in windows:
        grid[y : y + height, x : x + width] += 1
    inside = grid[region.y : region.bottom, region.x : region.right].copy()
    grid[region.y : region.bottom, region.x : region.right] = 0
    return inside, grid


@given(regions, tiles, overlaps)
def test_train_windows_cover_and_stay_inside(region, tile, overlap):
    windows = tile_windows(region, tile, overlap)
    inside, around = counts(region, windows)
    assert inside.min() >= 1
    assert all(window.width == window.height == tile for window in windows)
    assert len(set(windows)) == len(windows)
    for window in windows:
        assert window.x >= region.x and (window.right <= region.right or window.x == region.x)
        assert window.y >= region.y and (window.bottom <= region.bottom or window.y == region.y)
    if tile <= min(region.width, region.height):
        assert around.max() == 0


@given(lengths, tiles, overlaps)
def test_neighbours_overlap_at_least_as_asked(length, tile, overlap):
    starts = overlapping_starts(length, tile, overlap)
    assert starts == sorted(set(starts))
    assert all(a + tile - b >= int(tile * overlap) for a, b in zip(starts, starts[1:], strict=False))
    assert all(b - a == tile - int(tile * overlap) for a, b in zip(starts, starts[1:-1], strict=False))


@given(regions, tiles)
def test_val_windows_hold_each_pixel_once(region, tile):
    windows = tile_windows(region, tile, None)
    inside, around = counts(region, windows)
    assert (inside == 1).all() and around.max() <= 1
    assert all(window.width == window.height == tile for window in windows)
    assert all(window.intersect(region).width > 0 and window.intersect(region).height > 0 for window in windows)


@pytest.mark.parametrize(
    ('length', 'tile', 'overlap', 'expected'),
    [
        pytest.param(100, 40, 0.25, [0, 30, 60], id='fits exactly'),
        pytest.param(101, 40, 0.25, [0, 30, 60, 61], id='one pixel more'),
        pytest.param(40, 40, 0.25, [0], id='one tile'),
        pytest.param(12, 40, 0.25, [0], id='smaller than a tile'),
        pytest.param(80, 40, 0, [0, 40], id='no overlap'),
    ],
)
def test_starts(length, tile, overlap, expected):
    assert overlapping_starts(length, tile, overlap) == expected


@given(regions, regions)
def test_intersect_is_what_both_hold(a, b):
    def pixels(window):
        grid = np.zeros((500, 500), bool)
        grid[window.y : window.bottom, window.x : window.right] = True
        return grid

    both = a.intersect(b)
    assert both.width * both.height == (pixels(a) & pixels(b)).sum()
    assert both == b.intersect(a)


@pytest.mark.parametrize(('tile', 'overlap'), [(0, 0.25), (8, 1.0), (8, -0.1), (8, float('nan'))])
def test_impossible_grids_are_refused(tile, overlap):
    with pytest.raises(DataError, match='tile size'):
        tile_windows(Window(0, 0, 10, 10), tile, overlap)


def test_tile_names_sort_like_their_places():
    assert tile_name('s', Window(512, 40, 8, 8)) == 's_000512_000040.png'

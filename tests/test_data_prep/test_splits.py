"""Splits are repeatable, complete, and share neither pixels nor objects."""

import random

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from data_prep.errors import DataError
from data_prep.grid import Window
from data_prep.tile.splits import name_scenes, split_blocks, split_scenes

ratios = st.lists(st.integers(0, 20), min_size=3, max_size=3).filter(any).map(lambda r: tuple(n / sum(r) for n in r))


@given(st.integers(3, 40), ratios, st.integers(0, 5))
def test_scene_split_fills_every_split_that_is_asked_for(count, shares, seed):
    names = [f'scene{number}' for number in range(count)]
    split = split_scenes(names, shares, seed)
    assert list(split) == sorted(names)
    for name, share in zip(('train', 'val', 'test'), shares, strict=True):
        held = list(split.values()).count(name)
        assert (held > 0) == (share > 0)
        assert abs(held - share * count) < 2.01


def test_scene_split_does_not_depend_on_the_order():
    names = [f'scene{number}' for number in range(15)]
    shuffled = names.copy()
    random.Random(3).shuffle(shuffled)
    assert split_scenes(names, (0.8, 0.2, 0), 7) == split_scenes(shuffled, (0.8, 0.2, 0), 7)
    assert split_scenes(names, (0.8, 0.2, 0), 7) != split_scenes(names, (0.8, 0.2, 0), 8)
    assert list(split_scenes(names, (0.8, 0.2, 0), 7).values()).count('val') == 3


def test_too_few_scenes_are_refused():
    with pytest.raises(DataError, match='3 splits need as many scenes; got 2'):
        split_scenes(['a', 'b'], (0.8, 0.1, 0.1), 0)


def test_named_scenes():
    assert name_scenes(['a', 'b', 'c'], ['b'], ['c']) == {'a': 'train', 'b': 'val', 'c': 'test'}
    with pytest.raises(DataError, match='--val x is not a scene'):
        name_scenes(['a', 'b'], ['x'], [])
    with pytest.raises(DataError, match='one split; b is'):
        name_scenes(['a', 'b'], ['b'], ['b'])


@st.composite
def trees(draw):
    x, y = draw(st.floats(-5, 399)), draw(st.floats(-5, 399))
    return shapely.box(x, y, x + draw(st.floats(1, 40)), y + draw(st.floats(1, 40)))


@given(st.lists(trees(), max_size=25), ratios, st.booleans())
def test_blocks_share_no_pixel_and_no_object(polygons, shares, wide):
    size = Window(0, 0, 400, 120) if wide else Window(0, 0, 120, 400)
    try:
        regions = split_blocks(size, polygons, shares)
    except DataError as error:
        assert 'no pixels are left' in str(error)
        return
    assert [region.split for region in regions] == [
        name for name, share in zip(('train', 'val', 'test'), shares, strict=True) if share
    ]
    for region in regions:
        assert region.window.intersect(size) == region.window and region.guard_px >= 0
    covered = sum((r.window.width if wide else r.window.height) + r.guard_px for r in regions)
    assert covered == 400
    boxes = [shapely.box(r.window.x, r.window.y, r.window.right, r.window.bottom) for r in regions]
    for polygon in polygons:
        assert sum(shapely.intersection(polygon, item).area > 0 for item in boxes) <= 1


def test_guard_reaches_exactly_to_the_crossing_object():
    crossing, touching = shapely.box(0, 71.5, 10, 85), shapely.box(0, 60, 10, 80)
    train, val = split_blocks(Window(0, 0, 50, 100), [crossing, touching], (0.8, 0.2, 0))
    assert train.window == Window(0, 0, 50, 71) and train.guard_px == 9
    assert val.window == Window(0, 80, 50, 20) and val.guard_px == 0


def test_blocks_without_objects_touch():
    regions = split_blocks(Window(0, 0, 100, 50), [], (0.5, 0.25, 0.25))
    assert [tuple(region.window) for region in regions] == [(0, 0, 50, 50), (50, 0, 25, 50), (75, 0, 25, 50)]


def test_object_over_a_whole_block_is_refused():
    with pytest.raises(DataError, match='no pixels are left for val between 80 and 90 of 100'):
        split_blocks(Window(0, 0, 100, 50), [shapely.box(70, 0, 95, 5)], (0.8, 0.1, 0.1))

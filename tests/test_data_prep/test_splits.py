"""Splits are repeatable, complete, and share neither pixels nor objects."""

import random
from itertools import product

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from data_prep.errors import DataError
from data_prep.grid import Window
from data_prep.tile.dataset import build_dataset
from data_prep.tile.known_split import KnownSplit
from data_prep.tile.settings import Settings
from data_prep.tile.share_out import GOOD_ENOUGH, misplaced, share_out
from data_prep.tile.splits import fold_scenes, name_scenes, split_blocks, split_scenes

ratios = st.lists(st.integers(0, 20), min_size=3, max_size=3).filter(any).map(lambda r: tuple(n / sum(r) for n in r))


@given(st.integers(3, 40), ratios, st.integers(0, 5))
def test_scene_split_fills_every_split_that_is_asked_for(count, shares, seed):
    objects = {f'scene{number}': number * 7 % 13 for number in range(count)}
    split = split_scenes(objects, shares, seed)
    assert list(split) == sorted(objects)
    for name, share in zip(('train', 'val', 'test'), shares, strict=True):
        held = list(split.values()).count(name)
        assert (held > 0) == (share > 0)
        assert abs(held - share * count) < 2.01


def test_scene_split_does_not_depend_on_the_order():
    objects = {f'scene{number}': number % 4 for number in range(15)}
    names = list(objects)
    random.Random(3).shuffle(names)
    shuffled = {name: objects[name] for name in names}
    assert split_scenes(objects, (0.8, 0.2, 0), 7) == split_scenes(shuffled, (0.8, 0.2, 0), 7)
    assert split_scenes(objects, (0.8, 0.2, 0), 7) != split_scenes(objects, (0.8, 0.2, 0), 8)
    assert list(split_scenes(objects, (0.8, 0.2, 0), 7).values()).count('val') == 3


def test_too_few_scenes_are_refused():
    with pytest.raises(DataError, match='3 splits need as many scenes; got 2'):
        split_scenes({'a': 1, 'b': 1}, (0.8, 0.1, 0.1), 0)
    with pytest.raises(DataError, match='--kfold 4 needs as many scenes besides --test; got 3'):
        fold_scenes({'a': 1, 'b': 1, 'c': 1}, 4, 0)


def best_gap(counts, sizes, shares):
    """Least share of misplaced objects over all ways to fill the groups."""
    ways = (np.array(way) for way in product(range(len(sizes)), repeat=len(counts)))
    fitting = (way for way in ways if np.bincount(way, minlength=len(sizes)).tolist() == list(sizes))
    return min(misplaced(counts, way, shares) for way in fitting)


@pytest.mark.parametrize('seed', range(12))
@pytest.mark.parametrize(
    ('sizes', 'shares'), [((6, 2), (0.8, 0.2)), ((5, 1, 2), (0.7, 0.1, 0.2)), ((3, 3, 2), (1 / 3,) * 3)]
)
def test_objects_are_shared_out_as_well_as_can_be(sizes, shares, seed):
    counts = np.random.default_rng(seed).integers(0, 140, 8) ** (1 + seed % 3)
    objects = {f'scene{number}': int(count) for number, count in enumerate(counts)}
    found = share_out(objects, sizes, shares, seed)
    groups = np.array([found[name] for name in objects])
    assert np.bincount(groups, minlength=len(sizes)).tolist() == list(sizes)
    best = best_gap(counts.astype(float), sizes, shares)
    assert misplaced(counts.astype(float), groups, shares) <= max(best, GOOD_ENOUGH) + 1e-9


def test_no_swap_of_two_scenes_would_bring_more(monkeypatch):
    monkeypatch.setattr('data_prep.tile.share_out.TRIES', 1)
    for seed in range(20):
        counts = np.random.default_rng(seed).integers(0, 1000, 14).astype(float)
        names = [f'scene{number:02d}' for number in range(14)]
        shares = (0.6, 0.25, 0.15)
        found = share_out(dict(zip(names, counts, strict=True)), (8, 4, 2), shares, seed)
        groups = np.array([found[name] for name in names])
        gap = misplaced(counts, groups, shares)
        for one, two in product(range(14), repeat=2):
            swapped = groups.copy()
            swapped[[one, two]] = groups[[two, one]]
            assert misplaced(counts, swapped, shares) >= gap - 1e-9


def test_fifteen_scenes_of_a_survey_hold_their_shares_of_trees():
    counts = [11, 140, 33, 75, 64, 92, 51, 118, 47, 80, 29, 105, 66, 88, 55]
    objects = {f'scene{number}': count for number, count in enumerate(counts)}
    splits = {seed: split_scenes(objects, (0.8, 0.2, 0), seed) for seed in range(6)}
    for split in splits.values():
        held = sum(objects[name] for name in objects if split[name] == 'val')
        assert abs(held / sum(counts) - 0.2) <= GOOD_ENOUGH and list(split.values()).count('val') == 3
    assert len({tuple(split.items()) for split in splits.values()}) > 3  # seeds still find different splits


def test_folds_hold_every_scene_once_and_share_out_the_objects():
    objects = {f'scene{number}': 10 + number for number in range(17)}
    folds = fold_scenes(objects, 5, 3)
    assert list(folds) == sorted(objects) and folds == fold_scenes(dict(reversed(objects.items())), 5, 3)
    held = [[objects[name] for name in objects if folds[name] == fold] for fold in range(5)]
    assert sorted(map(len, held)) == [3, 3, 3, 4, 4]
    assert folds != fold_scenes(objects, 5, 4)


def test_scenes_without_objects_are_split_too():
    split = split_scenes({f'scene{number}': 0 for number in range(10)}, (0.8, 0.1, 0.1), 0)
    assert sorted(split.values()).count('train') == 8


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


KNOWN = KnownSplit('scene', (), {})


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'ratios': (0.8, 0.2, 0), 'val': ('a',)}, '--split shares scenes out'),
        ({'ratios': (0.8, 0.1, 0.1), 'test': ('a',)}, '--split shares scenes out'),  # the default, but asked for
        ({'split_by': 'blocks', 'val': ('a',)}, '--val and --test name whole scenes'),
        ({'split_by': 'blocks', 'test': ('a',)}, '--val and --test name whole scenes'),
        ({'kfold': 3, 'val': ('a',)}, '--kfold decides the whole split, so it does not go with --val'),
        ({'kfold': 3, 'split_by': 'blocks', 'ratios': (1, 0, 0)}, 'does not go with --split, --split-by'),
        ({'known_split': KNOWN, 'kfold': 3}, '--split-info decides the whole split, so it does not go with --kfold'),
        ({'known_split': KNOWN, 'test': ('a',)}, '--split-info decides the whole split, so it does not go with --test'),
        ({'scale': 0.5, 'gsd_m': 0.1}, '--scale and --gsd'),
    ],
)
def test_settings_that_contradict_each_other_are_refused_in_python_too(options, words):
    with pytest.raises(DataError, match=words) as error:
        Settings(**options)
    assert str(error.value).endswith(('drop one', 'the other'))


def test_settings_that_go_together():
    for options in ({'kfold': 3, 'test': ('a',)}, {'val': ('a',), 'test': ('b',)}, {'split_by': 'blocks'}, {}):
        assert Settings(**options).shares == (0.8, 0.1, 0.1)
    assert Settings(split_by='blocks', ratios=(1, 0, 0)).shares == (1, 0, 0)


def test_scenes_come_from_folders_or_a_table_in_python_too(tmp_path):
    for inputs, labels, table, words in (
        ([], None, None, 'SCENES or --scenes-table must be given'),
        ([tmp_path], None, tmp_path / 't.csv', 'and not both'),
        ([], tmp_path, tmp_path / 't.csv', '--labels does not go with it'),
    ):
        with pytest.raises(DataError, match=words):
            build_dataset(inputs, tmp_path / 'out', Settings(), labels=labels, scenes_table=table)
    assert not list(tmp_path.iterdir())

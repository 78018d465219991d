"""Objects are cut as the rule says, and what a tile cannot show is counted."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.coco import scene_keys
from data_prep.grid import Window
from data_prep.imagery.rasters import raster_info
from data_prep.labels.objects import SceneObject
from data_prep.tile.scene_tiles import SceneJob, TileRule, count_windows, write_empty
from data_prep.tile.splits import Region
from data_prep.tile.staging import DATA, JOURNAL
from data_prep.tile.tasks import collect, do_all, scene_tasks

SIZE_WH = (96, 64)


@pytest.fixture(scope='module')
def make_job(tmp_path_factory, write_raster):
    """A scene of 96 x 64 px with given polygons."""
    path = write_raster(tmp_path_factory.mktemp('scene') / 's.tif', SIZE_WH)

    def make(polygons, split='val', region=None, raster=path, **rule):
        info = raster_info(raster)
        return SceneJob(
            info=info,
            objects=[SceneObject(f's/{n}', n, 'tree', polygon) for n, polygon in enumerate(polygons, 1)],
            regions=[Region(split, region or info.window)],
            keys=scene_keys('s', '../s.tif', '0' * 64, bands=(1, 2, 3), limits=None, info=info),
            category_ids={'tree': 1},
            rule=TileRule(**{'tile_size': 32, 'overlap': 0.25, 'partial': 'drop', **rule}),
        )

    return make


def cut_scene(job, folder, on_tiles=lambda count: None):
    """Cut a job into a fresh folder."""
    (folder / JOURNAL).mkdir()
    for split in ('train', 'val'):
        (folder / DATA / 'images' / split).mkdir(parents=True)
    tasks = scene_tasks(0, job, folder)
    do_all(tasks, None, on_tiles)
    return collect(job, tasks)


@pytest.fixture
def cut(tmp_path_factory):
    """Cut a job into a fresh folder; its images are at ``cut.images`` afterwards."""

    def run(job):
        folder = tmp_path_factory.mktemp('cut')
        run.images = folder / DATA / 'images'
        return cut_scene(job, folder)

    return run


def parts(result):
    return [part for tile in result.tiles for part in tile.annotations]


boxes = st.tuples(st.floats(-10, 95), st.floats(-10, 63), st.floats(4, 60), st.floats(4, 60)).map(
    lambda b: shapely.box(b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@settings(max_examples=25)
@given(objects=st.lists(boxes, min_size=1, max_size=5))
def test_fractions_of_an_object_add_up_over_a_grid(make_job, tmp_path_factory, objects):
    result = cut_scene(make_job(objects, min_visible=0, max_nodata=1), tmp_path_factory.mktemp('tiles'))
    scene = shapely.box(0, 0, *SIZE_WH)
    for number, polygon in enumerate(objects, 1):
        seen = [part for part in parts(result) if part['object_id'] == f's/{number}']
        inside = shapely.intersection(polygon, scene).area
        slivers = result.counts['slivers'] * 33  # thinner than 1 px, or smaller than 4 px^2
        assert sum(part['visible_fraction'] for part in seen) * polygon.area == pytest.approx(inside, abs=slivers + 0.1)
        assert sum(part['area'] for part in seen) == pytest.approx(inside, abs=slivers + 0.1)


def test_half_is_enough_and_less_is_not(make_job, cut):
    half, less = shapely.box(24, 4, 40, 8), shapely.box(24.1, 14, 40.1, 18)
    result = cut(make_job([half, less]))
    assert [(part['object_id'], part['visible_fraction']) for part in parts(result)] == [
        ('s/1', 0.5),
        ('s/1', 0.5),
        ('s/2', pytest.approx(0.50625)),
    ]
    assert result.counts['parts_below_min_visible'] == 1


def test_fraction_counts_what_lies_outside_the_raster(make_job, cut):
    result = cut(make_job([shapely.box(-30, 4, 10, 8)], min_visible=0.2))
    assert [part['visible_fraction'] for part in parts(result)] == [0.25]
    assert parts(cut(make_job([shapely.box(-30, 4, 10, 8)], min_visible=0.5))) == []


def test_slivers_are_counted(make_job, cut):
    thin, small = shapely.box(2, 2, 2.9, 30), shapely.box(10, 10, 11.9, 11.9)
    result = cut(make_job([thin, small, shapely.box(20, 20, 22, 22)]))
    assert [part['object_id'] for part in parts(result)] == ['s/3'] and result.counts['slivers'] == 2


def test_clipped_part_is_in_tile_pixels(make_job, cut):
    (part,) = parts(cut(make_job([shapely.box(40, 36, 50, 80)], min_visible=0.6)))
    assert part['bbox'] == [8.0, 4.0, 10.0, 28.0] and part['area'] == 280
    assert sorted(part['segmentation'][0]) == sorted([8.0, 4.0, 18.0, 4.0, 18.0, 32.0, 8.0, 32.0])


def test_block_tiles_read_nothing_beyond_the_block(make_job, cut):
    import rasterio

    job = make_job([shapely.box(2, 2, 12, 12)], region=Window(0, 0, 40, 64))
    result = cut(job)
    tile = next(tile for tile in result.tiles if tile.window.x == 32)
    assert tile.window == Window(32, 0, 32, 32) and tile.read == Window(32, 0, 8, 32)
    with rasterio.open(cut.images / 'val' / tile.image['file_name'], driver='PNG') as dataset:
        pixels = dataset.read()
    with rasterio.open(job.info.path) as dataset:
        assert np.array_equal(pixels[:, :, :8], dataset.read()[:, :32, 32:40])
    assert not pixels[:, :, 8:].any()


def test_objects_are_clipped_to_the_block(make_job, cut):
    result = cut(make_job([shapely.box(30, 2, 46, 12)], region=Window(0, 0, 40, 64), min_visible=0.3))
    (part,) = parts(result)
    assert part['bbox'] == [0.0, 2.0, 8.0, 10.0] and part['visible_fraction'] == 0.5


def test_train_tiles_without_objects_wait(make_job, cut):
    job = make_job([shapely.box(2, 2, 12, 12)], split='train')
    result = cut(job)
    folder = cut.images / 'train'
    assert len(result.tiles) == count_windows(job)
    written = sorted(path.name for path in folder.iterdir())
    assert written == sorted(tile.image['file_name'] for tile in result.tiles if tile.annotations)
    waiting = [tile.window for tile in result.tiles if not tile.written]
    write_empty(job, job.regions[0], waiting[:2], cut.images.parent)
    assert len(list(folder.iterdir())) == len(written) + 2


def test_tiles_without_data_are_dropped(make_job, cut, tmp_path, write_raster):
    pixels = np.full((3, 64, 96), 9, np.uint8)
    pixels[:, :, 32:] = 0
    pixels[:, :2, 64:80] = 9  # 32 of 1024 pixels of the third tile hold data
    raster = write_raster(tmp_path / 's.tif', pixels=pixels)
    on_black, on_scrap = shapely.box(40, 4, 50, 14), shapely.box(66, 0, 76, 6)
    result = cut(make_job([on_black], raster=raster))
    assert [tile.window[:2] for tile in result.tiles] == [(0, 0), (0, 32)]
    assert result.counts['tiles_dropped_for_nodata'] == 4 and result.counts['parts_in_dropped_tiles'] == 1
    result = cut(make_job([on_scrap], raster=raster))
    assert [tile.window[:2] for tile in result.tiles] == [(0, 0), (64, 0), (0, 32)]
    result = cut(make_job([], raster=raster, max_nodata=0.97))
    assert [tile.window[:2] for tile in result.tiles] == [(0, 0), (64, 0), (0, 32)]


def test_progress_counts_every_window(make_job, tmp_path):
    calls, job = [], make_job([])
    cut_scene(job, tmp_path, calls.append)
    assert sum(calls) == count_windows(job) == 6


def test_parts_below_min_visible_are_dropped_kept_or_ignored(make_job, cut):
    from pycocotools import mask as rle

    box = shapely.box(20, 4, 36, 8)  # 12 of 16 columns in the first tile, 4 in the second
    shown = {}
    for partial in ('drop', 'crowd', 'keep'):
        result = cut(make_job([box], partial=partial))
        assert result.counts['parts_below_min_visible'] == 1
        shown[partial] = [(part['visible_fraction'], part['iscrowd']) for part in parts(result)]
        empty = [tile.window[:2] for tile in result.tiles if not tile.has_objects]
        assert ((32, 0) in empty) == (partial != 'keep')
    assert shown == {'drop': [(0.75, 0)], 'crowd': [(0.75, 0), (0.25, 1)], 'keep': [(0.75, 0), (0.25, 0)]}
    crowd = parts(cut(make_job([box], partial='crowd')))[1]
    assert rle.decode(crowd['segmentation'])[4:8, :4].all() and crowd['area'] == rle.area(crowd['segmentation']) == 16


@pytest.mark.parametrize(
    ('split', 'border', 'last'),
    [('train', 'auto', 64), ('train', 'shift', 64), ('train', 'pad', 72), ('val', 'auto', 64), ('val', 'shift', 60)],
)
def test_border(make_job, cut, split, border, last):
    region = Window(0, 0, 96, 64) if split == 'train' else Window(0, 0, 92, 64)
    result = cut(make_job([], split=split, border=border, region=region))
    assert max(tile.window.x for tile in result.tiles) == last
    covered = np.zeros((64, 96), bool)
    for tile in result.tiles:
        covered[tile.read.y : tile.read.bottom, tile.read.x : tile.read.right] = True
    assert covered[:, : region.width].all()

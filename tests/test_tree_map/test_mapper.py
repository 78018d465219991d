"""From a scene to its map, with a detector whose answer is known."""

import numpy as np
import pytest
import shapely
from rasterio.transform import from_origin

from data_prep.imagery.rasters import sha256
from tree_map.mapper import Options, TreeMapper
from tree_map.predicting.scene import Wishes

GSD_M, ORIGIN_XY = 0.1, (500_000.0, 5_500_000.0)  # of write_raster
BARS = ((10, 10, 30, 8), (50, 30, 30, 8), (20, 100, 150, 10), (100, 20, 8, 60), (150, 140, 42, 8))


def on_map(bar, gsd=GSD_M):
    x, y, width, height = np.array(bar) * gsd
    left, top = ORIGIN_XY
    return shapely.box(left + x, top - y - height, left + x + width, top - y)


def matched(trees, truth):
    """IoU of each true shape with the tree that overlaps it most."""
    area = lambda a, b: a.intersection(b).area / a.union(b).area  # noqa: E731
    return [max((area(shape, tree) for tree in trees.geometry), default=0) for shape in truth]


def test_every_bar_is_one_tree_where_it_was_drawn(detector, barred, tmp_path):
    trees = TreeMapper(*detector).map(barred(tmp_path / 's.tif'))
    assert trees.crs == 'EPSG:32633'
    assert len(trees) == len(BARS)
    assert min(matched(trees, map(on_map, BARS))) > 0.93
    assert set(trees['class']) == {'fallen_tree'} and set(trees.scene) == {'s'}
    assert trees.score.between(0.899, 0.901).all()


@pytest.fixture(scope='module')
def mapped(detector, barred, tmp_path_factory):
    return TreeMapper(*detector).map_scene(barred(tmp_path_factory.mktemp('scene') / 's.tif'))


def test_layers_agree_and_say_how_they_were_made(mapped):
    assert mapped.crs == 'EPSG:32633' and mapped.unread == []
    lengths = mapped.trees.length_m.to_numpy()
    assert sorted(lengths.round(1)) == pytest.approx(sorted(max(bar[2:]) * GSD_M for bar in BARS), rel=0.08)
    assert mapped.centrelines.tree_id.tolist() == mapped.trees.tree_id.tolist() == [1, 2, 3, 4, 5]
    assert all(
        tree.buffer(0.1).contains(line)
        for tree, line in zip(mapped.trees.geometry, mapped.centrelines.geometry, strict=True)
    )
    assert mapped.trees.seam_joined.any() and not mapped.trees.seam_joined.all()
    assert mapped.cells.trees.sum() == 5
    assert mapped.cells.mapped_ha.sum() == pytest.approx(192 * 160 * GSD_M**2 / 1e4)
    made = mapped.provenance
    assert made['score_thr'] == 0.5 and made['gsd_m'] == pytest.approx(0.1) and len(made['checkpoint_sha256']) == 64
    assert made['source_sha256'] == sha256(made['source'])
    assert made['classes'] == ['fallen_tree'] and made['transform'] == [0.1, 0, 500000, 0, -0.1, 5500000]


def test_windows_of_any_size_and_overlap_see_the_same_trees(detector, barred, tmp_path):
    path = barred(tmp_path / 's.tif')
    for window, overlap in ((48, 0.5), (100, 0.1), (512, 0.25)):
        trees = TreeMapper(*detector, options=Options(window=window, overlap=overlap)).map(path)
        assert len(trees) == len(BARS) and min(matched(trees, map(on_map, BARS))) > 0.93


@pytest.mark.parametrize('batch_size', [1, 7])
@pytest.mark.parametrize('tta', [False, True])
def test_batches_and_views_change_nothing_that_is_plain_to_see(detector, barred, tmp_path, mapped, batch_size, tta):
    mapper = TreeMapper(*detector, options=Options(batch_size=batch_size, tta=tta, workers=0))
    trees = mapper.map(barred(tmp_path / 's.tif'))
    assert trees.geometry.geom_equals_exact(mapped.trees.geometry, 1e-6).all()
    assert trees.score.tolist() == pytest.approx([0.9] * 5)


def test_a_finer_scene_is_resampled_and_measured_in_metres(detector, barred, tmp_path, mapped):
    bars = [[value * 2 for value in bar] for bar in BARS]
    path = barred(tmp_path / 's.tif', bars, (384, 320), transform=from_origin(*ORIGIN_XY, 0.05, 0.05))
    said = []
    trees = TreeMapper(*detector, say=said.append).map(path)
    assert any('resampled to the 0.1 m of training' in line for line in said)
    assert min(matched(trees, map(on_map, BARS))) > 0.93
    assert sorted(trees.length_m) == pytest.approx(sorted(mapped.trees.length_m), rel=0.02)


def test_a_scene_that_is_turned_lies_where_it_lies(detector, barred, tmp_path):
    transform = from_origin(*ORIGIN_XY, 0.1, 0.1) * from_origin(0, 0, 1, -1).rotation(30)
    trees = TreeMapper(*detector).map(barred(tmp_path / 's.tif', transform=transform))
    a, b, c, d, e, f = transform[:6]
    truth = [
        shapely.transform(shapely.box(x, y, x + w, y + h), lambda xy: xy @ [[a, d], [b, e]] + (c, f))
        for x, y, w, h in BARS
    ]
    assert min(matched(trees, truth)) > 0.93
    assert sorted(trees.length_m) == pytest.approx(sorted(max(bar[2:]) * 0.1 for bar in BARS), rel=0.08)


def test_degrees_are_measured_in_metres_and_stay_degrees(detector, barred, tmp_path, mapped):
    step = 0.1 / 111_320
    transform = from_origin(15.0, 49.65, step / np.cos(np.radians(49.65)), step)
    result = TreeMapper(*detector).map_scene(barred(tmp_path / 's.tif', crs='EPSG:4326', transform=transform))
    assert result.trees.crs == result.cells.crs == result.centrelines.crs == 'EPSG:4326'
    assert result.trees.total_bounds[:2] == pytest.approx([15.0, 49.65], abs=0.001)
    assert sorted(result.trees.length_m) == pytest.approx(sorted(mapped.trees.length_m), rel=0.03)
    assert sorted(result.trees.area_m2) == pytest.approx(sorted(mapped.trees.area_m2), rel=0.03)
    assert result.cells.mapped_ha.sum() == pytest.approx(mapped.cells.mapped_ha.sum(), rel=0.02)


def test_feet_are_measured_in_metres(detector, barred, tmp_path, mapped):
    feet = 0.1 / 0.3048006096  # US survey feet
    transform = from_origin(2_000_000, 500_000, feet, feet)
    result = TreeMapper(*detector).map_scene(barred(tmp_path / 's.tif', crs='EPSG:2264', transform=transform))
    assert sorted(result.trees.length_m) == pytest.approx(sorted(mapped.trees.length_m), rel=0.005)
    assert result.centrelines.length.sum() == pytest.approx(result.trees.length_m.sum() / 0.3048006096, rel=0.01)


def test_a_scene_that_lies_nowhere_is_mapped_in_its_pixels(detector, barred, tmp_path, mapped):
    path = barred(tmp_path / 's.tif', crs=None, transform=None)
    result = TreeMapper(*detector).map_scene(path)
    truth = [shapely.box(x, -y - h, x + w, -y) for x, y, w, h in BARS]
    assert result.crs is None and min(matched(result.trees, truth)) > 0.93
    assert result.trees.length_m.isna().all() and len(result.centrelines) == len(result.cells) == 0
    told = TreeMapper(*detector, options=Options(wishes=Wishes(gsd_of_scene_m=0.1))).map_scene(path)
    assert min(matched(told.trees, truth)) > 0.93
    assert sorted(told.trees.length_m) == pytest.approx(sorted(mapped.trees.length_m), rel=0.005)
    assert told.centrelines.length.sum() == pytest.approx(told.trees.length_m.sum() * 10, rel=0.01)


@pytest.mark.parametrize('kind', ['nodata only', 'no tree', 'smaller than a window', 'one pixel'])
def test_scenes_with_little_in_them_give_a_map(detector, barred, tmp_path, kind):
    options = {'nodata only': dict(bars=(), dark=7, nodata=7), 'no tree': dict(bars=()),
               'smaller than a window': dict(bars=((4, 4, 20, 6),), size_wh=(40, 30)),
               'one pixel': dict(bars=(), size_wh=(1, 1))}[kind]  # fmt: skip
    result = TreeMapper(*detector).map_scene(barred(tmp_path / 's.tif', **options))
    assert len(result.trees) == (kind == 'smaller than a window') and result.crs == 'EPSG:32633'


def test_alpha_and_nodata_are_not_looked_at(detector, barred, tmp_path):
    path = barred(tmp_path / 's.tif', nodata=230)  # the bars themselves
    assert len(TreeMapper(*detector).map(path)) == 0
    grey = barred(tmp_path / 'g.tif', count=1)
    assert len(TreeMapper(*detector, options=Options(wishes=Wishes(bands=(1,)))).map(grey)) == len(BARS)


def test_a_scene_of_16_bits_is_stretched_like_those_of_training(detector, barred, tmp_path):
    trees = TreeMapper(*detector).map(barred(tmp_path / 's.tif', dtype='uint16', dark=300, light=9000))
    assert len(trees) == len(BARS)


def test_without_facts_of_training_a_photo_is_seen_whole_and_a_scene_in_windows(bright, barred, tmp_path):
    said = []
    mapper = TreeMapper(*bright(tiles=None), say=said.append)
    assert 'windows of 64 px' in said[-1]
    photo, scene = barred(tmp_path / 'p.tif', crs=None, transform=None), barred(tmp_path / 's.tif')
    windows = [mapper.map_scene(path).provenance['windows'] for path in (photo, scene)]
    assert windows[0] == 1 and windows[1] > 1

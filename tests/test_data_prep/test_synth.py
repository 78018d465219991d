"""The drawn world: files, seeds, and truth that is exactly right."""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely

from data_prep.synth.annotate import is_labelled
from data_prep.synth.light import Sun
from data_prep.synth.scene import Scene
from data_prep.synth.settings import Options
from data_prep.synth.tree import FallenTree, Stem
from data_prep.synth.tree_paint import Wood, paint_tree
from data_prep.synth.truth import Seen, all_truth

ROOT = Path(__file__).resolve().parents[2]
SMALL = Options(seed=3, width_px=(400, 400), height_px=(336, 336), trees=(12, 12))
FREE = replace(SMALL, width_px=(512, 512), height_px=(448, 448), trees=(6, 6), difficulty='easy')


@pytest.fixture(scope='module')
def crowded():
    """Numbers of the trees seen in each pixel, and the truth of a scene in which trees lie over each other."""
    return drawn(Scene(SMALL, 0))


def drawn(scene):
    seen, bands = Seen(scene), list(scene.bands())
    for band in bands:
        seen.add(band)
    return np.concatenate([band.trees for band in bands]), all_truth(scene, seen)


def digests(folder):
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.rglob('*.*')}


def test_the_same_seed_gives_the_same_bytes_and_more_scenes_keep_the_fewer(tmp_path):
    for name, scenes, threads in (('a', 1, 1), ('b', 2, 2)):
        argv = ['synth', '--out', str(tmp_path / name), '--scenes', str(scenes), '--size', '200x160', '--seed', '7']
        env = {**os.environ, 'PYTHONHASHSEED': str(scenes), 'OMP_NUM_THREADS': str(threads)}
        subprocess.run([sys.executable, '-m', 'data_prep', *argv], cwd=ROOT, env=env, check=True)
    few, many = digests(tmp_path / 'a'), digests(tmp_path / 'b')
    assert sorted(few) == ['synth_00.json', 'synth_00.tif', 'truth/synth_00.gpkg']
    assert few == {name: many[name] for name in few} and len(many) == 6
    assert many['synth_00.tif'] != many['synth_01.tif']


def test_files_are_what_the_target_data_has(tmp_path, data_prep):
    code, out, err = data_prep('synth', '--out', tmp_path, '--scenes', 1, '--size', '300x260', '--gsd', 0.04, '--json')
    assert (code, err) == (0, '')
    labels = json.loads((tmp_path / 'synth_00.json').read_text())
    assert json.loads(out)['labelled'] == len(labels['shapes']) > 0
    assert (labels['imageWidth'], labels['imageHeight'], labels['imagePath']) == (300, 260, 'synth_00.tif')
    for shape in labels['shapes']:
        assert (shape['label'], shape['shape_type']) == ('fallen_tree', 'polygon')
        points = np.array(shape['points'])
        assert 4 <= len(points) < 120 and (points >= 0).all() and (points <= (300, 260)).all()
    with rasterio.open(tmp_path / 'synth_00.tif') as raster:
        assert (raster.shape, raster.count, raster.dtypes[0]) == ((260, 300), 3, 'uint8')
        assert raster.crs.to_epsg() == 32633 and raster.res == (0.04, 0.04)
        assert raster.block_shapes[0] == (256, 256) and raster.compression.name == 'deflate'
    assert data_prep('tile', tmp_path, '--out', tmp_path / 'data', '--tile-size', 128)[0] in (0, 1)


def test_the_geopackage_opens_with_its_crs(tmp_path, data_prep):
    pyogrio = pytest.importorskip('pyogrio')
    data_prep('synth', '--out', tmp_path, '--scenes', 1, '--size', 256, '--seed', 2)
    path = tmp_path / 'truth/synth_00.gpkg'
    assert [name for name, _ in pyogrio.list_layers(path)] == ['outlines', 'visible', 'centrelines']
    meta, _, wkb, fields = pyogrio.raw.read(path, layer='outlines')
    assert meta['crs'] == 'EPSG:32633'
    values = dict(zip(meta['fields'], fields, strict=True))
    with rasterio.open(tmp_path / 'synth_00.tif') as raster:
        inside = shapely.intersects(shapely.from_wkb(wkb), shapely.box(*raster.bounds))
    assert inside.all() and (values['length_m'] > 1).all() and (values['volume_m3'] > 0).all()
    with sqlite3.connect(path) as base:
        assert base.execute('PRAGMA application_id').fetchone() == (0x47504B47,)
        assert base.execute('PRAGMA integrity_check').fetchone() == ('ok',)


def test_volume_length_and_azimuth_of_known_shapes():
    def tree(*stems):
        return FallenTree(stems, None, None, 'grey', 0, 0)

    def stem(xy, radius):
        return Stem(np.array(xy, np.float32), np.array(radius, np.float32))

    cylinder = tree(stem([(0, 0), (50, 0), (100, 0)], [3, 3, 3]))
    assert cylinder.volume_px3() == pytest.approx(np.pi * 9 * 100)
    assert (cylinder.length_px, cylinder.azimuth) == (pytest.approx(100), pytest.approx(90))
    cone = tree(stem([(0, 0), (0, -30), (0, -60)], [6, 3, 0]))
    assert cone.volume_px3() == pytest.approx(np.pi * 36 * 60 / 3)
    assert cone.azimuth == pytest.approx(0) and cone.diameters_px()[1:] == pytest.approx((6, 0))
    broken = tree(stem([(0, 0), (0, 40)], [4, 4]), stem([(0, 40), (-30, 80)], [4, 4]))
    assert broken.length_px == pytest.approx(90) and 180 < broken.azimuth < 270


def test_a_later_tree_lies_on_top_and_nothing_is_seen_twice(crowded):
    _, truth = crowded
    crossing = 0
    for lower in truth:
        assert shapely.difference(lower.visible, lower.outline.buffer(0.75)).area == 0
        for upper in truth[lower.number :]:
            assert shapely.intersection(lower.visible, upper.visible).area == 0
            assert shapely.intersection(lower.visible, upper.outline.buffer(-1)).area == 0
            crossing += shapely.intersects(lower.outline, upper.outline)
    assert crossing > 3


def test_what_is_free_is_seen_whole():
    trees, truth = drawn(Scene(FREE, 0))
    free = [tree for tree in truth if tree.visible_share > 0.9 and tree.inside_share > 0.999]
    assert free
    for tree in free:
        assert tree.visible.area == pytest.approx(tree.outline.area * tree.visible_share, rel=0.02)
        assert tree.visible.area == (trees == tree.number).sum() == tree.visible_px


def test_the_painted_tree_and_its_outline_are_the_same():
    scene, rng = Scene(SMALL, 1), np.random.default_rng(0)
    wood, sun = Wood(rng, 1.0), Sun(np.float32([0.6, 0.8]), 0.7, 1.0, 0.8)
    for number, tree in enumerate(scene.layout.trees, 1):
        stamp = paint_tree(rng, tree, number, sun, wood, 20.0)
        body, painted = stamp.mark == 1, stamp.alpha > 20
        assert painted[body].mean() > 0.9
        assert body.sum() == pytest.approx(tree.outline.area, rel=0.05)
        if tree.branches == 0 and tree.plate is None:
            assert (painted & ~body).sum() < 0.5 * tree.outline.length + 8


@pytest.mark.parametrize(('difficulty', 'count'), [('easy', 16), ('hard', 120)])
def test_labels_follow_the_rule_and_the_outline(tmp_path, data_prep, difficulty, count):
    options = ('--scenes', 1, '--size', 512, '--seed', 4, '--trees', count, '--difficulty', difficulty)
    assert data_prep('synth', '--out', tmp_path, *options)[0] == 0
    shapes = json.loads((tmp_path / 'synth_00.json').read_text())['shapes']
    with rasterio.open(tmp_path / 'synth_00.tif') as raster:
        (corner_x, corner_y), gsd_m = (raster.transform.c, raster.transform.f), raster.res[0]
    with sqlite3.connect(tmp_path / 'truth/synth_00.gpkg') as base:
        rows = base.execute('SELECT geom, labelled, visible_share FROM outlines').fetchall()
    kept = [row for row in rows if row[1]]
    assert len(rows) == count and len(kept) == len(shapes)
    assert (len(kept) < count) == (difficulty == 'hard')
    overlaps = []
    for (blob, _, share), shape in zip(kept, shapes, strict=True):
        assert share >= 0.3
        outline = shapely.from_wkb(blob[40:])  # behind the header and its envelope
        outline = shapely.transform(outline, lambda xy: (xy - (corner_x, corner_y)) / (gsd_m, -gsd_m))
        outline = shapely.intersection(outline, shapely.box(0, 0, 512, 512))
        label = shapely.make_valid(shapely.Polygon(shape['points']))
        if share > 0.95:
            overlaps.append(shapely.intersection(outline, label).area / shapely.union(outline, label).area)
    assert difficulty == 'hard' or (len(overlaps) >= 2 and min(overlaps) > 0.75)


def test_holes_are_black_and_nothing_else_is():
    scene = next(s for s in (Scene(SMALL, k) for k in range(20)) if s.camera.holes)
    bands = list(scene.bands())
    rgb = np.concatenate([band.rgb for band in bands], 1)
    hole = scene.camera.no_picture(0, *rgb.shape[1:])
    assert 0 < hole.mean() < 0.2
    assert (rgb[:, hole] == 0).all() and (rgb[:, ~hole] > 0).all()
    assert not np.concatenate([band.trees for band in bands])[hole].any()


def test_bands_join_without_a_trace(monkeypatch):
    whole = list(Scene(SMALL, 2).bands())
    monkeypatch.setattr('data_prep.synth.scene.BAND', 64)
    halves = list(Scene(SMALL, 2).bands())
    assert len(halves) == 2 * len(whole)
    numbers = [np.concatenate([band.trees for band in bands]) for bands in (whole, halves)]
    assert (numbers[0] == numbers[1]).all()


@pytest.mark.parametrize(
    'wrong',
    [
        ('--size', '64'),
        ('--size', '300-200'),
        ('--gsd', '1'),
        ('--scenes', '0'),
        ('--trees', 'x'),
        ('--difficulty', 'x'),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, data_prep, wrong):
    code, out, err = data_prep('synth', '--out', tmp_path / 'w', *wrong)
    assert (code, out, err.count('\n')) == (2, '', 1)
    assert not (tmp_path / 'w').exists()


def test_scenes_are_not_replaced_unasked(tmp_path, data_prep):
    options = ('--out', tmp_path, '--scenes', 1, '--size', 128)
    assert data_prep('synth', *options)[0] == 0
    assert data_prep('synth', *options)[0] == 2
    assert data_prep('synth', *options, '--overwrite')[0] == 0


def test_the_rule_of_labelling(crowded):
    _, truth = crowded
    assert all(is_labelled(tree) == (tree.visible_share >= 0.3 and tree.visible_px >= 60) for tree in truth)

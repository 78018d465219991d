"""The drawn world: files, seeds, and truth that is exactly right."""

import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely

from data_prep.synth.annotate import is_labelled
from data_prep.synth.grain import Field
from data_prep.synth.ground import Ground
from data_prep.synth.layout import CLOSEST, _Standing
from data_prep.synth.light import Sun
from data_prep.synth.scene import Scene, _Drawn
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
    assert sorted(few) == ['synth_00.json', 'synth_00.tif', 'truth/synth.json', 'truth/synth_00.gpkg']
    assert few == {name: many[name] for name in few} and len(many) == 7
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
        ('--jobs', '0'),
        ('--trees', 'x'),
        ('--difficulty', 'x'),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, data_prep, wrong):
    code, out, err = data_prep('synth', '--out', tmp_path / 'w', *wrong)
    assert (code, out, err.count('\n')) == (2, '', 1)
    assert not (tmp_path / 'w').exists()


def test_what_is_held_does_not_grow_with_the_height(monkeypatch):
    tall = replace(SMALL, width_px=(128, 128), height_px=(1600, 1600))
    monkeypatch.setattr('data_prep.synth.scene.BAND', 64)
    drawn = []
    keep = _Drawn.__init__
    monkeypatch.setattr(_Drawn, '__init__', lambda self, scene: (keep(self, scene), drawn.append(self))[0])
    scene, held = Scene(tall, 0), []
    for band in scene.bands():
        next_top = band.top + 64 - scene.camera.halo
        assert all(stamp.row.max() >= next_top for stamp in drawn[0]._stamps.values())
        held.append(len(drawn[0]._stamps))
    assert max(held) > 0 and held[-1] < 0.2 * sum(len(part) for part in drawn[0]._spans.values())


def test_the_ground_is_the_same_however_it_is_cut():
    whole = Ground(np.random.default_rng(1), (700, 300), 1.0, 1.0).rows(-6, 300, 700)
    parts = [Ground(np.random.default_rng(1), (700, 300), 1.0, 1.0).rows(top, 75, 700) for top in range(-6, 294, 75)]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=0.02)
    field = Field(np.random.default_rng(2), (200, 100), [(30.0, 1.0), (9.0, 0.5)])
    assert (field.part(13, 57, 40, 50) == field.part(0, 0, 100, 200)[13:53, 57:107]).all()


def test_living_crowns_keep_their_distance():
    rng, grid, placed = np.random.default_rng(5), _Standing(8.0), []
    for x, y, radius in np.stack([*rng.uniform(-20, 120, (2, 400)), rng.gamma(9, 0.6, 400)], 1).tolist():
        near = any(np.hypot(a - x, b - y) < CLOSEST * (r + radius) for a, b, r in placed)
        assert grid.crowd(x, y, radius) == near
        if not near:
            placed.append((x, y, radius))
            grid.add(x, y, radius)
    assert 40 < len(placed) < 300


def test_other_options_are_refused_and_overwrite_leaves_nothing_of_them(tmp_path, data_prep):
    options = ('--out', tmp_path, '--size', 128)
    assert data_prep('synth', *options, '--scenes', 2)[0] == 0
    before = digests(tmp_path)
    code, _, err = data_prep('synth', *options, '--scenes', 2, '--seed', 1)
    assert code == 2 and '--overwrite' in err and '(seed)' in err and digests(tmp_path) == before
    assert data_prep('synth', *options, '--scenes', 1, '--seed', 1, '--overwrite')[0] == 0
    assert len(digests(tmp_path)) == 4 and not set(digests(tmp_path).values()) & set(before.values())
    (tmp_path / 'truth/synth.json').unlink()
    assert data_prep('synth', *options, '--scenes', 1, '--seed', 1)[0] == 2


def test_processes_give_the_same_bytes(tmp_path, data_prep):
    options = ('--scenes', 3, '--size', 128, '--json')
    one = data_prep('synth', '--out', tmp_path / 'a', *options)
    two = data_prep('synth', '--out', tmp_path / 'b', *options, '--jobs', 2)
    assert one[0] == two[0] == 0 and two[2] == ''
    assert {**json.loads(one[1]), 'out': ''} == {**json.loads(two[1]), 'out': ''}
    assert digests(tmp_path / 'a') == digests(tmp_path / 'b')


@pytest.mark.parametrize('jobs', [1, 2])
def test_a_killed_run_is_finished_by_the_next(tmp_path, data_prep, jobs):
    options = ('--size', 320, '--seed', 5, '--jobs', jobs)
    assert data_prep('synth', '--out', tmp_path / 'whole', *options, '--scenes', 5)[0] == 0
    out = tmp_path / 'killed'
    argv = [sys.executable, '-m', 'data_prep', 'synth', '--out', out, *options, '--scenes', 400]
    with subprocess.Popen([str(item) for item in argv], cwd=ROOT, start_new_session=True) as run:
        while len(list(out.glob('*.json'))) < 2:
            assert run.poll() is None
            time.sleep(0.01)
        assert data_prep('synth', '--out', out, *options, '--scenes', 5)[0] == 2  # not two at a time
        run.kill()
    wait_for(lambda: not os.path.exists(f'/proc/{run.pid}') and not living(run.pid))
    there = {path: path.stat().st_mtime_ns for path in out.glob('*.json')}
    code, text, _ = data_prep('synth', '--out', out, *options, '--scenes', 5)
    assert code == 0 and 'were there' in text
    assert {path: path.stat().st_mtime_ns for path in there} == there
    more = {name for name in digests(out) if int(re.search(r'_(\d+)|$', name)[1] or 0) >= 5}
    assert {name: code for name, code in digests(out).items() if name not in more} == digests(tmp_path / 'whole')
    assert not list(out.rglob('.*'))
    assert data_prep('tile', out, '--out', tmp_path / 'data', '--tile-size', 128)[0] in (0, 1)


@pytest.mark.skipif(not os.path.isdir('/proc'), reason='looks for processes in /proc')
@pytest.mark.parametrize(('number', 'code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_no_process_and_nothing_half_made(tmp_path, number, code):
    argv = ['synth', '--out', str(tmp_path / 'out'), '--size', '2000', '--scenes', '4', '--jobs', '2']
    command = [sys.executable, '-m', 'data_prep', *argv]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True) as run:
        wait_for(lambda: len(list(tmp_path.glob('out/truth/.*/*.tif'))) == 2)
        os.killpg(run.pid, number) if number == signal.SIGINT else run.send_signal(number)
        err = run.communicate(timeout=60)[1]
    assert (run.returncode, err.count('\n')) == (code, 1)
    wait_for(lambda: not living(run.pid))
    assert sorted(digests(tmp_path)) == ['out/truth/synth.json']


def test_an_error_in_a_process_is_one_line(tmp_path, data_prep):
    assert data_prep('synth', '--out', tmp_path, '--scenes', 1, '--size', 128)[0] == 0
    (tmp_path / 'synth_02.json').mkdir()  # in the way of a file
    code, out, err = data_prep('synth', '--out', tmp_path, '--scenes', 3, '--size', 128, '--jobs', 2)
    assert (code, out, err.count('\n')) == (3, '', 1) and 'synth_02.json' in err
    assert not list(tmp_path.rglob('.*'))


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def living(session):
    """Processes of a session that have not ended."""
    found = []
    for stat in Path('/proc').glob('[0-9]*/stat'):
        with suppress(OSError):
            state, _, _, of = stat.read_text().rpartition(')')[2].split()[:4]
            found += [stat.parent.name] * (int(of) == session and state != 'Z')
    return found


def test_the_rule_of_labelling(crowded):
    _, truth = crowded
    assert all(is_labelled(tree) == (tree.visible_share >= 0.3 and tree.visible_px >= 60) for tree in truth)

"""Numbers against counts by hand, the tile planner against geometry that can be worked out and against `tile`."""

import json
import math
import os
import re
import shlex

import numpy as np
import pytest
import shapely

rasterio = pytest.importorskip('rasterio')
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from data_prep.grid import Window, tile_windows  # noqa: E402
from data_prep.stats.instances import length_and_width  # noqa: E402
from data_prep.stats.planner import Plan, PlanRow, PlanRule, PlanScene, Scale, plan  # noqa: E402
from data_prep.stats.recommendation import recommend  # noqa: E402
from data_prep.stats.summary import histogram, round_step  # noqa: E402


def log(x, y, length=100, width=4):
    return shapely.box(x, y, x + length, y + width)


def turned(length, width, degrees, x=200, y=200):
    return shapely.affinity.rotate(shapely.box(x, y, x + length, y + width), degrees)


@pytest.mark.parametrize('degrees', [0, 17, 45, 90, 133])
def test_length_and_width_of_a_straight_log_at_any_angle(degrees):
    length, width, area = length_and_width([turned(50, 4, degrees), None])[0]
    assert (length, width, area) == pytest.approx((50, 4, 200))
    assert np.isnan(length_and_width([None])).all()


def test_width_is_the_mean_width():
    cone = shapely.Polygon([(0, 0), (100, 2), (100, 8), (0, 10)])  # 10 px wide at the foot, 6 at the top
    length, width, _ = length_and_width([cone])[0]
    assert length == pytest.approx(100, abs=0.3) and width == pytest.approx(8, abs=0.03)


def test_histograms_count_by_hand():
    found = histogram(np.array([0, 0.1, 0.25, 0.5, 3.0]), ['a', 'a', 'b', 'a', 'b'])
    assert found['edges'][:3] == [0, 0.1, 0.2] and found['edges'][-1] == 3.0 and len(found['edges']) == 31
    assert found['counts']['a'][:6] == [1, 1, 0, 0, 0, 1] and sum(found['counts']['a']) == 3
    assert found['counts']['b'][2] == 1 and found['counts']['b'][-1] == 1  # the last bin holds its upper edge
    whole = histogram(np.array([0, 2, 2, 5.0]), ['images'] * 4, whole=True)
    assert whole == {'edges': [0, 1, 2, 3, 4, 5, 6], 'counts': {'images': [1, 0, 2, 0, 0, 1]}}
    assert [round_step(x) for x in (0, 1, 1.1, 2.1, 2.6, 7, 0.03)] == [1, 1, 2, 2.5, 5, 10, 0.05]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_histograms_lose_nothing(values):
    found = histogram(np.array(values), ['a'] * len(values))
    assert sum(found['counts']['a']) == len(values) and len(found['counts']['a']) <= 32


@pytest.fixture
def coco(tmp_path):
    """Two splits with polygons, run lengths, a crowd, a box without outline, and an image without anything."""
    image = {'width': 100, 'height': 80, 'gsd_m': 0.1}
    categories = [{'id': 1, 'name': 'log'}, {'id': 2, 'name': 'stump'}]
    runs = [10 * 80 + 10, *([20, 60] * 9), 20]
    rle = {'size': [80, 100], 'counts': [*runs, 80 * 100 - sum(runs)]}  # 10 columns of 20 rows

    def part(number, image_id, category, segmentation, **more):
        return {'id': number, 'image_id': image_id, 'category_id': category, 'bbox': [0, 0, 9, 9], 'area': 1,
                'iscrowd': 0, 'segmentation': segmentation, **more}  # fmt: skip

    corners = [[round(v, 6) for xy in shapely.get_coordinates(turned(50, 4, 30, 20, 30))[:4] for v in xy]]
    train = {
        'images': [{'id': n, 'file_name': f'{n}.png', **image} for n in (1, 2, 3)],
        'categories': categories,
        'annotations': [
            part(1, 1, 1, corners, object_id='s/1', visible_fraction=1.0),
            part(2, 1, 1, [[10, 10, 50, 10, 50, 14, 10, 14]], object_id='s/2', visible_fraction=0.5),
            part(3, 2, 1, [[0, 10, 40, 10, 40, 14, 0, 14]], object_id='s/2', visible_fraction=0.5),
            part(4, 2, 2, rle, object_id='s/3', visible_fraction=0.75),
            part(5, 2, 1, rle, iscrowd=1),
        ],
    }
    val = {'images': [{'id': 1, 'file_name': 'v.png', **image}], 'categories': categories,
           'annotations': [part(1, 1, 2, None), part(2, 1, 2, [[0, 0, 30, 0, 30, 10, 0, 10]])]}  # fmt: skip
    folder = tmp_path / 'data/annotations'
    folder.mkdir(parents=True)
    for name, content in (('train', train), ('val', val)):
        (folder / f'instances_{name}.json').write_text(json.dumps(content))
    return folder.parent


def stats_json(data_prep, *argv, code=0):
    got, stdout, stderr = data_prep('stats', *argv, '--json')
    assert got == code and stdout.count('\n') == 1, stderr
    return json.loads(stdout)


def test_counts_of_a_data_set_by_hand(data_prep, coco):
    told = stats_json(data_prep, coco)['stats']
    assert told['splits'] == {
        'train': {'images': 3, 'empty_images': 1, 'instances': 4, 'objects': 3, 'crowds': 1, 'mean_per_image': 1.333,
                  'max_per_image': 2},
        'val': {'images': 1, 'empty_images': 0, 'instances': 2, 'objects': None, 'crowds': 0, 'mean_per_image': 2.0,
                'max_per_image': 2},
    }  # fmt: skip
    assert told['classes'] == {'log': {'train': 3}, 'stump': {'train': 1, 'val': 2}}
    assert told['without_outline'] == 1


def test_measures_of_a_data_set_by_hand(data_prep, coco):
    told = stats_json(data_prep, coco)['stats']
    length, width = told['quantities']['length_px'], told['quantities']['width_px']
    # 50 x 4, 40 x 4, 40 x 4, 20 x 10 (run lengths), 30 x 10
    assert length['n'] == 5 and length['mean'] == pytest.approx(36, abs=1e-4) and length['median'] == pytest.approx(40)
    assert (length['min'], length['max']) == (20, pytest.approx(50, abs=1e-4))
    assert (width['min'], width['max']) == (pytest.approx(4, abs=1e-4), 10)
    assert told['quantities']['aspect']['max'] == pytest.approx(12.5, abs=1e-4)
    assert told['quantities']['length_m']['mean'] == pytest.approx(3.6, abs=1e-4)
    assert told['quantities']['area_m2']['max'] == pytest.approx(3.0, abs=1e-4)
    assert told['quantities']['visible_fraction']['mean'] == pytest.approx((1 + 0.5 + 0.5 + 0.75) / 4)
    bars = told['histograms']['visible_fraction']
    by_edge = dict(zip(bars['edges'], bars['counts']['log'], strict=False))
    assert by_edge[0.5] == 2 and sum(bars['counts']['log']) == 3 and bars['counts']['log'][-1] == 1
    assert told['histograms']['per_image'] == {'edges': [0, 1, 2, 3], 'counts': {'images': [1, 0, 3]}}


def test_only_some_splits_and_classes(data_prep, coco):
    assert list(stats_json(data_prep, coco, '--split', 'val')['stats']['splits']) == ['val']
    told = stats_json(data_prep, coco, '--classes', 'log')['stats']
    assert list(told['classes']) == ['log'] and told['splits']['val']['empty_images'] == 1


def test_the_terminal_shows_the_tables(data_prep, coco):
    code, stdout, stderr = data_prep('stats', coco)
    assert (code, stderr) == (0, '')
    assert re.search(r'train +3 +1 +4 +3 +1 +1\.33 +2', stdout) and re.search(r'length \(m\) +5 ', stdout)


def test_scenes_are_measured_whole(data_prep, scenes):
    told = stats_json(data_prep, scenes)['stats']
    assert told['source'] == 'scenes' and told['splits']['scenes']['instances'] == 12
    # boxes: 20 - n by 4; 10 by 30; 30 by 6 + n, for n = 0..3
    lengths = sorted([20, 19, 18, 17] + [30] * 8)
    assert told['quantities']['length_px']['mean'] == pytest.approx(np.mean(lengths))
    assert told['quantities']['length_m']['max'] == pytest.approx(3.0)
    assert told['quantities']['per_image']['min'] == 3


def test_the_report_holds_tables_and_a_picture_of_each_histogram(data_prep, scenes, tmp_path):
    pytest.importorskip('matplotlib')
    pytest.importorskip('jinja2')
    out = tmp_path / 'made/report'
    told = stats_json(data_prep, scenes, '--plan', '--tile-sizes', '64,128', '--overlaps', '0,0.5', '--out', out)
    page = (out / 'report.html').read_text()
    pictures = re.findall(r'src="([^"]+)"', page)
    assert sorted(os.listdir(out)) == sorted([*pictures, 'TRACKING.json', 'report.html', 'stats.json'])
    assert pictures == ['classes.png', *(f'{name}.png' for name in told['stats']['histograms'])]
    for name in pictures:
        with rasterio.open(out / name) as dataset:
            assert dataset.read(1).std() > 5
    assert json.loads((out / 'stats.json').read_text()) == told
    assert not re.search(r'https?:', page) and shlex.split(told['plan']['command'])[3] in page
    code, _, stderr = data_prep('stats', scenes, '--out', out)
    assert code == 2 and stderr.count('\n') == 1
    assert data_prep('stats', scenes, '--out', out, '--overwrite')[0] == 0
    assert os.listdir(out.parent) == ['report']


# 19 logs of 100 px that start every 50 px: x = 0, 50, .., 900, in a scene of 1000 x 100 px
ROW = PlanScene(Window(0, 0, 1000, 100), [log(x, 10) for x in range(0, 901, 50)])


def planned(scenes, **rule):
    rule = PlanRule(**{'min_visible': 0.5, **rule})
    return {(row.tile_size, row.overlap): row for row in plan(scenes, rule).rows}


def test_the_share_seen_whole_and_the_counts_by_hand():
    found = planned([ROW], tile_sizes=(50, 100, 250, 1000), overlaps=(0, 0.4, 0.5))
    # tiles at 0, 250, 500, 750: whole where (x mod 250) <= 150, that is all but x = 200, 450, 700
    row = found[250, 0]
    assert (row.tiles, row.tiles_with_objects) == (4, 4) and row.whole_share == 16 / 19
    # halves count from a visible share of 0.5 on: 5, 6, 6 and 5 logs
    assert (row.mean_per_tile, row.max_per_tile) == (5.5, 6)
    assert row.p95_per_tile == 6
    assert found[250, 0.4].whole_share == 1  # tiles every 150 px: whatever is at most 100 px long is whole in one
    assert found[100, 0].whole_share == 10 / 19 and found[100, 0.5].whole_share == 1
    assert found[50, 0.5].whole_share == 0
    assert found[50, 0].max_per_tile == 2  # each tile shows half of two logs
    assert found[1000, 0].max_per_tile == 19 and found[1000, 0].tiles == 1


def test_what_is_visible_counts_by_the_whole_object():
    scene = PlanScene(Window(0, 0, 200, 100), [log(-60, 10), log(150, 50)])  # 40 and 50 px of 100 are inside
    row = planned([scene], tile_sizes=(200,), overlaps=(0,))[200, 0]
    assert row.whole_share == 1 and row.max_per_tile == 1
    assert planned([scene], tile_sizes=(200,), overlaps=(0,), min_visible=0.3)[200, 0].max_per_tile == 2


def test_scenes_add_up():
    empty = PlanScene(Window(0, 0, 500, 100), [])
    row = planned([ROW, empty, ROW], tile_sizes=(250,), overlaps=(0,))[250, 0]
    assert (row.tiles, row.tiles_with_objects) == (10, 8) and row.whole_share == 16 / 19


@given(st.integers(30, 400), st.sampled_from([0, 0.1, 0.33, 0.5]), st.integers(0, 10_000))
def test_any_setting_agrees_with_going_through_every_window(tile, overlap, seed):
    random = np.random.default_rng(seed)
    logs = [turned(random.uniform(5, 200), 6, random.uniform(0, 180), *random.uniform(0, 300, 2)) for _ in range(8)]
    size = Window(0, 0, 333, 287)
    logs = [item for item in logs if item.intersection(shapely.box(0, 0, 333, 287)).area > 0]
    if not logs:
        return
    row = planned([PlanScene(size, logs)], tile_sizes=(tile,), overlaps=(overlap,))[tile, overlap]
    boxes = [shapely.box(w.x, w.y, w.right, w.bottom) for w in tile_windows(size, tile, overlap)]
    inside = [item.intersection(shapely.box(0, 0, 333, 287)) for item in logs]
    whole = [any(box.buffer(1e-6).contains(item) for box in boxes) for item in inside]
    counts = [sum(box.intersection(i).area / o.area >= 0.5 for i, o in zip(inside, logs, strict=True)) for box in boxes]
    assert row.whole_share == pytest.approx(np.mean(whole))
    assert row.max_per_tile == max(counts) and row.tiles_with_objects == sum(count > 0 for count in counts)
    every = planned([PlanScene(size, logs)], tile_sizes=(tile,), overlaps=(overlap,), min_visible=0)[tile, overlap]
    assert every.max_per_tile == max(sum(box.intersection(i).area > 0 for i in inside) for box in boxes)


def test_extent_width_and_pitch():
    found = plan([ROW], PlanRule(scales=(0.5, 1, 2), tile_sizes=(250,), overlaps=(0,)))
    assert found.extent_px == {'median': 100, 'p99': 100, 'max': 100} and found.width_px == {'p10': 4, 'median': 4}
    # 4 px / scale against 0.6 x 4 px = 2.4 px
    assert [(s.pitch_px, s.resolved_share) for s in found.scales] == [(8, 0), (4, 0), (2, 1)]


def some_plan(width, rows, scales=(0.5, 1, 2)):
    return Plan(rows, [Scale(s, 4 / s, 0.0) for s in scales], 10, {}, {'median': width, 'p10': width})


def row(tile, overlap, tiles, whole, most):
    return PlanRow(tile, overlap, tiles, tiles, whole, 1.0, 1.0, most)


def test_the_recommendation_is_the_cheapest_that_reaches_all():
    rows = [row(512, 0, 40, 0.9, 20), row(512, 0.25, 60, 0.97, 20), row(512, 0.5, 90, 1, 20), row(1024, 0, 20, 1, 30)]
    rule = PlanRule(max_input=1024)
    chosen = recommend(some_plan(10, rows), rule)  # 0.6 x 10 px: a pitch of 4 px is fine
    assert (chosen.row.tile_size, chosen.row.overlap, chosen.scale.scale) == (512, 0.25, 1) and chosen.misses == []
    thin = recommend(some_plan(4, rows), rule)  # 2.4 px: twice the size, which 1024 px tiles do not fit
    assert (thin.row.tile_size, thin.row.overlap, thin.scale.scale, thin.input_px) == (512, 0.25, 2, 1024)
    assert thin.misses == []
    few = recommend(some_plan(10, rows), PlanRule(num_queries=10))
    assert len(few.misses) == 1 and '20 objects' in few.misses[0] and '10 queries' in few.misses[0]
    crowded = recommend(some_plan(10, [row(512, 0, 40, 0.5, 20), row(1024, 0, 20, 1, 300)]), rule)
    assert crowded.row.tile_size == 512  # queries before whole objects: what has none cannot be found
    hair = recommend(some_plan(1, rows), rule)
    assert hair.scale.scale == 2 and 'mask pitch' in hair.misses[0]
    long = recommend(some_plan(10, rows[:1]), rule)
    assert '90.0% of the objects are seen whole' in long.misses[0]


def test_the_printed_command_makes_the_tiles_that_were_planned(data_prep, scenes, tmp_path):
    argv = ['--plan', '--tile-sizes', '48', '--overlaps', '0.25', '--scales', '1', '--min-visible', '0.7']
    code, stdout, _ = data_prep('stats', scenes, *argv, '--json')
    found = json.loads(stdout)['plan']
    planned_row = found['rows'][0]
    assert code == (1 if found['recommended']['misses'] else 0)
    words = shlex.split(found['command'])
    assert words[:4] == ['python', '-m', 'data_prep', 'tile']
    words[words.index('--out') + 1] = str(tmp_path / 'trees')
    done, _, stderr = data_prep(*words[3:], '--split', '1,0,0', '--empty-share', '1', '--max-nodata', '1')
    assert done == 0, stderr
    content = json.loads((tmp_path / 'trees/annotations/instances_train.json').read_text())
    per_tile = np.bincount([part['image_id'] for part in content['annotations']])
    assert len(content['images']) == planned_row['tiles'] == 4 * 5 * 4  # scenes, columns, rows
    assert per_tile.max() == planned_row['max_per_tile']
    assert (per_tile > 0).sum() == planned_row['tiles_with_objects']
    whole = {part['object_id'] for part in content['annotations'] if part['visible_fraction'] == 1}
    assert len(whole) == round(planned_row['whole_share'] * 12)


@pytest.mark.parametrize('resolution', [('--scale', '0.5'), ('--gsd', '0.05')])
def test_the_plan_reads_a_table_a_label_map_and_a_scale_as_tile_does(data_prep, scenes, tmp_path, resolution):
    for number in range(4):  # one label is dropped, one renamed
        file = scenes / f's{number}.json'
        content = json.loads(file.read_text())
        for label, entry in zip(('log', 'log', 'rock'), content['shapes'], strict=True):
            entry['label'] = label
        file.write_text(json.dumps(content))
    table = scenes / 'table.csv'
    table.write_text('raster,labels\n' + ''.join(f's{number}.tif,s{number}.json\n' for number in range(4)))
    argv = ['--scenes-table', table, '--label-map', 'log=tree,rock=', '--classes', 'tree', *resolution]
    rule = ['--tile-sizes', '40', '--overlaps', '0.25', '--min-visible', '0.7']
    _, stdout, stderr = data_prep('stats', *argv, '--plan', *rule, '--json')
    told = json.loads(stdout)
    assert told['stats']['classes'] == {'tree': {'scenes': 8}}, stderr
    assert told['stats']['quantities']['length_m']['max'] == pytest.approx(3.0)  # the same at any scale
    factor = {'--scale': 0.5, '--gsd': 2}[resolution[0]]
    assert told['stats']['quantities']['length_px']['max'] == pytest.approx(30 * factor)
    words = shlex.split(told['plan']['command'])
    words[words.index('--out') + 1] = str(tmp_path / 'trees')
    whole = ('--split', '1,0,0', '--empty-share', '1', '--max-nodata', '1')
    code, _, stderr = data_prep(*words[3:], *whole)
    assert code == 0, stderr
    content = json.loads((tmp_path / 'trees/annotations/instances_train.json').read_text())
    per_tile = np.bincount([part['image_id'] for part in content['annotations']])
    row = told['plan']['rows'][0]
    assert len(content['images']) == row['tiles'] and per_tile.max() == row['max_per_tile']
    assert (per_tile > 0).sum() == row['tiles_with_objects']


def test_the_terminal_shows_the_plan_and_marks_too_many_objects(data_prep, scenes):
    argv = ['stats', scenes, '--plan', '--tile-sizes', '160', '--overlaps', '0', '--num-queries', '2']
    code, stdout, stderr = data_prep(*argv)
    assert code == 1 and re.search(r'160 +3\.0 / 3 / 3!', stdout) and 'warning: a tile holds 3 objects' in stderr
    assert 'recommended: tiles of 160 px with overlap 0' in stdout and 'image_size = (' in stdout
    assert re.search(r'160 +100\.0\n', stdout)


@pytest.mark.parametrize(
    ('argv', 'told'),
    [
        (['data', '--plan'], 'holds tiles; name the folder of rasters'),
        (['data', 'scenes'], 'other inputs are scenes'),
        (['scenes', '--split', 'train'], 'scenes have none'),
        (['data', '--split', 'test'], '--split test is not there; splits are train, val'),
        (['data', '--classes', 'oak'], '--classes oak is no class here'),
        (['nowhere'], 'does not exist'),
        ([], 'SCENES or --scenes-table must be given'),
        (['scenes', '--scenes-table', 't.csv'], 'and not both'),
        (['--scenes-table', 't.csv', '--labels', 'scenes'], '--labels does not go with it'),
        (['data', '--scale', '0.5'], '--scale is of scenes'),
        (['data', '--scenes-table', 't.csv'], '--scenes-table is of scenes'),
        (['scenes', '--label-map', 'tree'], "pairs such as 'a=b,c=d'"),
        (['broken.json'], "'images' must be a list"),
        (['scenes', '--plan', '--tile-sizes', '512', '--max-input', '128'], '--max-input 128 must hold a tile'),
        (['scenes', '--plan', '--overlaps', '0,1'], '--overlaps: must be float from 0 to 0.95'),
        (['empty', '--plan', '--unlabelled', 'empty'], 'the planner needs objects'),
    ],
)
def test_wrong_input_is_one_line(data_prep, coco, scenes, write_raster, tmp_path, monkeypatch, argv, told):
    write_raster(tmp_path / 'empty/a.tif')
    (tmp_path / 'broken.json').write_text('{}')
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = data_prep('stats', *argv)
    assert code == 2 and stdout == '' and stderr.count('\n') == 1 and told in stderr, stderr


def test_real_deadwood(data_prep, real_data):
    folder = real_data / 'finland_deadwood'
    labels = folder / 'derived/R70C21_labelme.json'
    told = stats_json(data_prep, folder / 'R70C21.tif', '--labels', labels, '--plan')
    assert told['stats']['classes'] == {'Fallen': {'scenes': 9}, 'Standing': {'scenes': 14}}
    assert 0.5 < told['stats']['quantities']['length_m']['median'] < 10
    by_setting = {(r['tile_size'], r['overlap']): r['whole_share'] for r in told['plan']['rows']}
    assert by_setting[1024, 0] == 1 and math.isclose(by_setting[256, 0.5], 1)

"""The command as a user runs it: what it makes, says and repeats."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shapely

ROOT = Path(__file__).parents[2]
SPLITS = ('train', 'val', 'test')


def coco(out, split):
    return json.loads((out / f'annotations/instances_{split}.json').read_text())


def digest(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


@pytest.fixture
def tile(data_prep, tmp_path):
    """Run tile, expect success, and return the folder."""
    made = []

    def run(*argv, code=0):
        out = tmp_path / f'out{len(made)}/trees'
        made.append(out)
        got, stdout, stderr = data_prep('tile', *argv, '--out', out)
        assert got == code, stderr
        return out

    return run


def test_layout_and_names(tile, scenes):
    out = tile(scenes, '--tile-size', 64)
    assert sorted(os.listdir(out)) == ['TRACKING.json', 'annotations', 'images', 'report.json', 'split_info.json']
    for split in SPLITS:
        entries = coco(out, split)['images']
        assert sorted(os.listdir(out / 'images' / split)) == sorted(entry['file_name'] for entry in entries)
        assert entries == sorted(entries, key=lambda e: (e['scene'], e['window_xywh'][1], e['window_xywh'][0]))
    assert os.listdir(out.parent) == ['trees']


def test_same_input_gives_the_same_bytes(tile, scenes):
    names = sorted(scenes.glob('*.tif'))
    first = digest(tile(scenes, '--tile-size', 64))
    assert first == digest(tile(*reversed(names), '--tile-size', 64))
    assert first != digest(tile(scenes, '--tile-size', 64, '--seed', 1))


def test_same_bytes_from_another_process(tile, scenes, tmp_path):
    first = digest(tile(scenes, '--tile-size', 64))
    out = tmp_path / 'elsewhere/trees'
    command = [sys.executable, '-m', 'data_prep', 'tile', scenes, '--tile-size', '64', '--out', out]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, 'PYTHONHASHSEED': '7'}, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == '' and 'split by scene' in done.stdout
    assert digest(out) == first


def test_json_is_one_line_with_the_counts_of_the_files(data_prep, scenes, tmp_path):
    code, stdout, stderr = data_prep('tile', scenes, '--out', tmp_path / 'trees', '--tile-size', 64, '--json')
    assert code == 0 and stderr == '' and stdout.count('\n') == 1
    told = json.loads(stdout)
    for split in SPLITS:
        content = coco(tmp_path / 'trees', split)
        assert told['splits'][split]['tiles'] == len(content['images'])
        assert told['splits'][split]['annotations'] == len(content['annotations'])
    assert told['classes'] == ['tree'] and told['totals']['objects'] == 12


@pytest.mark.parametrize('share', [0, 0.25, 0.5, 1])
def test_empty_share_of_train_tiles(tile, scenes, share):
    out = tile(scenes, '--tile-size', 32, '--empty-share', share)
    for split in SPLITS:
        content = coco(out, split)
        shown = {part['image_id'] for part in content['annotations']}
        empty = len(content['images']) - len(shown)
        if split == 'train' and share < 1:
            assert empty == int(len(shown) * share / (1 - share) + 1e-9)  # there is enough tree-less ground
        else:
            scenes_here = len({image['scene'] for image in content['images']})
            assert len(content['images']) == scenes_here * (5 * 4 if split != 'train' else 7 * 5)


def test_chosen_empty_tiles_depend_on_the_seed_alone(tile, scenes):
    def empty(out):
        content = coco(out, 'train')
        shown = {part['image_id'] for part in content['annotations']}
        return {image['file_name'] for image in content['images'] if image['id'] not in shown}

    options = ('--tile-size', 32, '--val', 's1', '--test', 's2')
    assert empty(tile(scenes, *options)) == empty(tile(scenes, *options))
    assert empty(tile(scenes, *options)) != empty(tile(scenes, *options, '--seed', 5))


def test_split_info_tells_what_was_done(tile, scenes):
    out = tile(scenes, '--tile-size', 64, '--val', 's1', '--test', 's2,s3')
    info = json.loads((out / 'split_info.json').read_text())
    assert info['split_by'] == 'scene'
    assert info['scenes'] == {'train': ['s0'], 'val': ['s1'], 'test': ['s2', 's3']}
    for split in SPLITS:
        assert sorted({image['scene'] for image in coco(out, split)['images']}) == info['scenes'][split]


def test_a_split_without_share_is_an_empty_file(tile, scenes):
    out = tile(scenes, '--tile-size', 64, '--split', '0.75,0.25,0')
    test = coco(out, 'test')
    assert test['images'] == test['annotations'] == [] and os.listdir(out / 'images/test') == []
    assert test['categories'] == coco(out, 'train')['categories']


def test_blocks_share_no_pixel_and_no_object(data_prep, tmp_path, write_raster, write_labelme):
    rng = np.random.default_rng(4)
    corners = rng.uniform(0, (380, 180), (60, 2))
    trees = [[[x, y], [x + 15, y], [x + 15, y + 12], [x, y + 12]] for x, y in corners.tolist()]
    raster = write_raster(tmp_path / 'in/s.tif', (400, 200))
    write_labelme(tmp_path / 'in/s.json', [('tree', tree) for tree in trees], (400, 200))
    code, stdout, _ = data_prep('tile', raster, '--out', tmp_path / 'o', '--tile-size', 48, '--split', '0.5,0.25,0.25')
    assert code == 0 and 'split by blocks' in stdout and 'guard bands (px): s ' in stdout
    owner, ids = np.zeros((200, 400), int), []
    for number, split in enumerate(SPLITS, 1):
        content = coco(tmp_path / 'o', split)
        assert content['annotations']
        for image in content['images']:
            x, y, width, height = image['read_xywh']
            assert np.isin(owner[y : y + height, x : x + width], (0, number)).all()
            owner[y : y + height, x : x + width] = number
        ids.append({part['object_id'] for part in content['annotations']})
    assert not (ids[0] & ids[1] or ids[0] & ids[2] or ids[1] & ids[2])


def test_labelme_and_geopackage_give_the_same_instances(
    tile, tmp_path, write_raster, write_labelme, write_vectors, to_map
):
    trees = [
        [[10, 10], [40, 12], [38, 20]],
        [[50, 30], [70, 30], [70, 40.25], [50, 40]],
        [[5, 5], [9, 9], [9, 5], [5, 9]],
    ]
    raster = write_raster(tmp_path / 's.tif')
    options = ('--tile-size', 32, '--split', '1,0,0', '--empty-share', 1)
    first = tile(raster, '--labels', write_labelme(tmp_path / 'a.json', [('tree', tree) for tree in trees]), *options)
    features = [('tree', to_map(tree)) for tree in trees]
    second = tile(raster, '--labels', write_vectors(tmp_path / 'a.gpkg', features), *options)
    one, two = coco(first, 'train'), coco(second, 'train')
    assert one['images'] == two['images'] and len(one['annotations']) == len(two['annotations']) > 3
    for a, b in zip(one['annotations'], two['annotations'], strict=True):
        assert a['bbox'] == pytest.approx(b['bbox'], abs=2e-3)
        for key in ('object_id', 'image_id', 'category_id'):
            assert a[key] == b[key]


def test_classes_keep_their_order(tile, tmp_path, write_raster, write_labelme):
    raster = write_raster(tmp_path / 's.tif')
    box = [[4, 4], [20, 4], [20, 20], [4, 20]]
    write_labelme(tmp_path / 's.json', [('stump', box), ('oak', box), ('tree', box)])
    options = ('--split', '1,0,0', '--tile-size', 64)
    assert [c['name'] for c in coco(tile(raster, *options), 'val')['categories']] == ['oak', 'stump', 'tree']
    out = tile(raster, *options, '--classes', 'tree,oak', '--skip-other-labels')
    content = coco(out, 'train')
    assert [(c['id'], c['name']) for c in content['categories']] == [(1, 'tree'), (2, 'oak')]
    assert {part['object_id']: part['category_id'] for part in content['annotations']} == {'s/2': 2, 's/3': 1}
    assert json.loads((out / 'report.json').read_text())['totals']['skipped'] == 1


def test_dropped_labels_end_with_exit_code_1_and_a_line(data_prep, tmp_path, write_raster, write_labelme):
    raster = write_raster(tmp_path / 's.tif')
    box, far = [[4, 4], [20, 4], [20, 20], [4, 20]], [[500, 4], [520, 4], [520, 20]]
    write_labelme(tmp_path / 's.json', [('tree', box), ('tree', far)])
    code, _, stderr = data_prep('tile', raster, '--out', tmp_path / 'o', '--split', '1,0,0', '--tile-size', 64)
    assert code == 1 and stderr.startswith('warning: 1 of the labels') and stderr.count('\n') == 1
    report = json.loads((tmp_path / 'o/report.json').read_text())
    assert report['scenes']['s']['dropped'] == [{'file': 's.json', 'feature': 2, 'reason': 'wholly outside the raster'}]


def test_objects_in_no_tile_are_listed(tile, tmp_path, write_raster, write_labelme):
    raster = write_raster(tmp_path / 's.tif')
    cross = [[22, 22], [42, 22], [42, 42], [22, 42]]  # a quarter in each of four tiles
    box = [[4, 4], [20, 4], [20, 20], [4, 20]]
    write_labelme(tmp_path / 's.json', [('tree', cross), ('tree', box)])
    out = tile(raster, '--split', '0,1,0', '--tile-size', 32, '--min-visible', 0.5)
    report = json.loads((out / 'report.json').read_text())
    assert report['scenes']['s']['objects_in_no_tile'] == ['s/1']
    assert report['totals']['parts_below_min_visible'] == 4


@pytest.mark.parametrize(
    ('options', 'parts'),
    [((), 4), (('--min-visible', 0.5), 0), (('--min-visible', 0.2), 4), (('--partial', 'drop'), 0)],
)
def test_every_part_is_kept_unless_a_share_is_asked_for(tile, tmp_path, write_raster, write_labelme, options, parts):
    raster = write_raster(tmp_path / 's.tif', (64, 64))
    write_labelme(
        tmp_path / 's.json',
        [('tree', [[22, 22], [42, 22], [42, 42], [22, 42]]), ('tree', [[2, 2], [12, 2], [12, 12], [2, 12]])],
        (64, 64),
    )
    out = tile(raster, '--split', '0,1,0', '--tile-size', 32, *options)
    annotations = json.loads((out / 'annotations/instances_val.json').read_text())['annotations']
    assert sorted(part['visible_fraction'] for part in annotations) == [0.25] * parts + [1]


def test_a_split_without_objects_is_worth_a_look(data_prep, tmp_path, write_raster, write_labelme):
    raster = write_raster(tmp_path / 's.tif')
    write_labelme(tmp_path / 's.json', [('tree', [[4, 4], [20, 4], [20, 20], [4, 20]])])
    code, _, stderr = data_prep('tile', raster, '--out', tmp_path / 'o', '--split', '0.5,0.5,0', '--tile-size', 32)
    assert code == 1 and stderr.startswith('warning: val shows no object')


def test_sixteen_bits_are_stretched_alike_over_the_scene(tile, tmp_path, write_raster, write_labelme):
    import rasterio

    pixels = np.random.default_rng(0).integers(100, 3000, (4, 64, 96), np.uint16)
    raster = write_raster(tmp_path / 's.tif', pixels=pixels)
    write_labelme(tmp_path / 's.json', [('tree', [[4, 4], [20, 4], [20, 20], [4, 20]])])
    out = tile(raster, '--tile-size', 32, '--split', '1,0,0', '--empty-share', 1, '--bands', '4,2,1')
    images = coco(out, 'train')['images']
    (limits,) = {json.dumps(image['stretch_lo_hi']) for image in images}
    assert [image['bands'] for image in images] == [[4, 2, 1]] * len(images)
    lo, hi = np.array(json.loads(limits)).T[:, :, None, None]
    x, y, width, height = images[1]['window_xywh']
    with rasterio.open(out / 'images/train' / images[1]['file_name']) as dataset:
        got = dataset.read()
    expected = np.clip(np.rint((pixels[[3, 1, 0], y : y + height, x : x + width] - lo) * (255 / (hi - lo))), 0, 255)
    assert np.array_equal(got, expected) and 0 < got.mean() < 255


def test_grey_fills_three_bands(tile, tmp_path, write_raster, write_labelme):
    import rasterio

    pixels = np.random.default_rng(0).integers(1, 256, (1, 64, 96), np.uint8)
    raster = write_raster(tmp_path / 's.tif', pixels=pixels)
    write_labelme(tmp_path / 's.json', [('tree', [[4, 4], [20, 4], [20, 20], [4, 20]])])
    out = tile(raster, '--tile-size', 64, '--split', '1,0,0')
    image = coco(out, 'train')['images'][0]
    with rasterio.open(out / 'images/train' / image['file_name']) as dataset:
        assert np.array_equal(dataset.read(), pixels[[0, 0, 0], :64, :64])
    assert image['bands'] == [1, 1, 1]


def test_pictures_without_georeference(tile, tmp_path, write_raster, write_labelme):
    raster = write_raster(tmp_path / 's.png', driver='PNG', crs=None, transform=None)
    write_labelme(tmp_path / 's.json', [('tree', [[40, 4], [60, 4], [60, 20], [40, 20]])])
    image = coco(tile(raster, '--tile-size', 32, '--split', '0,1,0'), 'val')['images'][1]
    assert image['crs'] is None and image['gsd_m'] is None and image['transform'] == [1, 0, 32, 0, 1, 0]


def test_holes_survive_the_command(tile, tmp_path, write_raster, write_vectors, to_map):
    from pycocotools import mask as rle

    ring = shapely.Polygon(shapely.box(4, 4, 28, 28).exterior.coords, [shapely.box(10, 10, 20, 20).exterior.coords])
    raster = write_raster(tmp_path / 's.tif')
    write_vectors(tmp_path / 's.gpkg', [('tree', to_map(ring))])
    (part,) = coco(tile(raster, '--tile-size', 64, '--split', '1,0,0'), 'train')['annotations']
    assert part['area'] == ring.area and not rle.decode(part['segmentation'])[10:20, 10:20].any()


def test_overwrite_replaces_a_data_set(data_prep, scenes, tmp_path):
    out = tmp_path / 'trees'
    assert data_prep('tile', scenes, '--out', out, '--tile-size', 64)[0] == 0
    (out / 'images/train/stale.png').write_text('x')
    assert data_prep('tile', scenes, '--out', out, '--tile-size', 64)[0] == 2
    assert (out / 'images/train/stale.png').exists()
    assert data_prep('tile', scenes, '--out', out, '--tile-size', 64, '--overwrite')[0] == 0
    assert not (out / 'images/train/stale.png').exists() and not list(tmp_path.glob('.trees*'))


def test_two_scenes_fall_back_to_blocks(data_prep, scenes, tmp_path):
    names = [scenes / 's0.tif', scenes / 's1.tif']
    code, stdout, _ = data_prep('tile', *names, '--out', tmp_path / 'o', '--tile-size', 32, '--split', '0.6,0.4,0')
    assert code == 0 and 'split by blocks' in stdout


def test_help_names_every_option():
    done = subprocess.run(
        [sys.executable, '-m', 'data_prep', 'tile', '--help'], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0
    for option in ('--labels', '--label-field', '--classes', '--skip-other-labels', '--min-visible', '--empty-share',
                   '--max-nodata', '--split-by', '--split', '--val', '--test', '--bands', '--stretch', '--seed',
                   '--overwrite', '--json', '--unlabelled', '--gsd', '--scale', '--label-map', '--scenes-table',
                   '--kfold', '--split-info', '--tile-size', '--overlap', 'exit codes'):  # fmt: skip
        assert option in done.stdout

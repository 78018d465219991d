"""The command: what goes in, what comes out, and one line with the right exit code for all that can be wrong."""

import json
import os
import resource

import geopandas as gpd
import numpy as np
import pytest
import rasterio

BARS = 5  # of a barred scene


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def trees_in(path):
    return gpd.read_file(path, layer='trees')


@pytest.fixture
def scene(barred, tmp_path):
    return barred(tmp_path / 'scenes/s.tif')


@pytest.fixture
def out(tmp_path):
    (tmp_path / 'out').mkdir()
    return tmp_path / 'out/map.gpkg'


def test_a_scene_becomes_a_map_and_nothing_else_stays(predict, detector, scene, out, capsys):
    assert predict(*detector, scene, '--out', out) == 0
    assert f'{out}: {BARS} trees in 1 scene' in capsys.readouterr().out
    assert files_in(out.parent) == ['map.gpkg'] and files_in(scene.parent) == ['s.tif']
    assert len(trees_in(out)) == BARS


@pytest.mark.parametrize('suffix', ['.geojson', '.csv', '.json'])
def test_other_formats_by_the_end_of_the_name(predict, detector, scene, out, suffix):
    assert predict(*detector, scene, '--out', out.with_suffix(suffix)) == 0
    assert out.with_suffix(suffix).stat().st_size > 500


def test_scenes_of_one_crs_go_into_one_map(predict, detector, barred, out, tmp_path, capsys):
    for name in ('a', 'b'):
        barred(tmp_path / f'scenes/{name}.tif')
    assert predict(*detector, tmp_path / 'scenes', '--out', out, '--json') == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert summary['trees'] == 2 * BARS and summary['scenes'] == ['a', 'b'] and summary['exit_code'] == 0
    trees = trees_in(out)
    assert trees.scene.tolist() == ['a'] * BARS + ['b'] * BARS
    assert trees.tree_id.tolist() == list(range(1, 2 * BARS + 1))
    assert gpd.read_file(out, layer='centrelines').tree_id.tolist() == trees.tree_id.tolist()


def test_a_folder_gets_a_map_of_each_scene(predict, detector, barred, tmp_path):
    barred(tmp_path / 'scenes/a.tif')
    barred(tmp_path / 'scenes/b.tif', crs='EPSG:25832')
    refused = predict(*detector, tmp_path / 'scenes', '--out', tmp_path / 'map.gpkg')
    assert refused == 2
    assert predict(*detector, tmp_path / 'scenes', '--out', tmp_path / 'maps') == 0
    assert files_in(tmp_path / 'maps') == ['a.gpkg', 'b.gpkg']
    assert trees_in(tmp_path / 'maps/b.gpkg').crs == 'EPSG:25832'


@pytest.mark.parametrize('labels', ['coco', 'labelme'])
def test_photos_come_out_drawn_with_labels(predict, detector, barred, tmp_path, labels):
    photos = [
        barred(tmp_path / f'photos/{n}', crs=None, transform=None, driver=d)
        for n, d in (('a.png', 'PNG'), ('b.jpg', 'JPEG'))
    ]
    assert predict(*detector, tmp_path / 'photos', '--out', tmp_path / 'drawn', '--format', labels) == 0
    files = {'coco': ['instances.json'], 'labelme': ['a.json', 'b.json']}[labels]
    assert files_in(tmp_path / 'drawn') == sorted(['a_trees.jpg', 'b_trees.jpg', *files])
    with rasterio.open(photos[0]) as plain, rasterio.open(tmp_path / 'drawn/a_trees.jpg') as drawn:
        changed = (np.abs(plain.read().astype(int) - drawn.read()) > 40).any(axis=0)
    assert changed[105, 60] and not changed[150, 20]
    content = json.loads((tmp_path / 'drawn' / files[0]).read_text())
    assert len(content['shapes'] if labels == 'labelme' else content['annotations']) == BARS * (1 + (labels == 'coco'))
    assert predict(*detector, tmp_path / 'photos', '--out', tmp_path / 'drawn', '--format', labels) == 2
    assert predict(*detector, tmp_path / 'photos', '--out', tmp_path / 'photos', '--format', labels) == 2
    assert files_in(tmp_path / 'photos') == ['a.png', 'b.jpg']


def test_an_older_map_is_kept_unless_it_may_go(predict, detector, scene, out, capsys):
    out.write_text('old')
    assert predict(*detector, scene, '--out', out) == 2
    assert '--overwrite' in capsys.readouterr().err and out.read_text() == 'old'
    assert predict(*detector, scene, '--out', out, '--overwrite') == 0
    assert len(trees_in(out)) == BARS


def test_nodata_only_gives_an_empty_map(predict, detector, barred, out, tmp_path):
    empty = barred(tmp_path / 'e.tif', bars=(), dark=0)
    assert predict(*detector, empty, '--out', out) == 0
    assert len(trees_in(out)) == 0 and trees_in(out).crs == 'EPSG:32633'


def test_an_unreadable_block_is_listed_and_the_rest_mapped(damage, predict, detector, barred, out, tmp_path, capsys):
    path = barred(tmp_path / 's.tif', tiled=True, blockxsize=16, blockysize=16, compress='deflate')
    damage(path, 7, 2)  # x 112..128, y 32..48, beside the upright bar
    assert predict(*detector, path, '--out', out, '--json') == 1
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    lost = [entry['window_xywh'] for entry in summary['unread']]
    assert summary['exit_code'] == 1 and 0 < len(lost) <= 4
    assert all(x < 128 and x + w > 112 and y < 48 and y + h > 32 for x, y, w, h in lost)
    assert captured.err.count('not read: s, window') == len(lost) and 'damaged' in captured.err
    assert len(trees_in(out)) >= 4


def test_a_scene_of_which_nothing_can_be_read_is_wrong_input(damage, predict, detector, barred, out, tmp_path, capsys):
    path = barred(tmp_path / 's.tif', tiled=True, blockxsize=256, blockysize=256, compress='deflate')
    damage(path, 0, 0)
    assert predict(*detector, path, '--out', out) == 2
    assert 'not one of its windows can be read' in capsys.readouterr().err and not out.exists()


BAD = {
    'no scene': (lambda t, s: [t / 'none.tif'], {}, 2, 'none.tif'),
    'empty folder': (lambda t, s: [t / 'out'], {}, 2, 'holds no raster'),
    'no raster': (lambda t, s: [__file__], {}, 2, 'must be a GeoTIFF, PNG or JPEG'),
    'cut short': (lambda t, s: [cut(s)], {}, 2, 'truncated'),
    'no folder': (lambda t, s: [s], {'--out': 'none/map.gpkg'}, 2, 'there is no folder'),
    'no format': (lambda t, s: [s], {'--out': 'out/map.shp'}, 2, '.gpkg'),
    'file as folder': (lambda t, s: [s], {'--out': 'scenes/s.tif/map.gpkg'}, 2, 'there is no folder'),
    'grey': (lambda t, s: [s], {'--bands': '1,2'}, 2, 'one band or three'),
    'no such band': (lambda t, s: [s], {'--bands': '1,2,9'}, 2, 'bands 1..3'),
    'device': (lambda t, s: [s], {'--device': 'cuda:99'}, 2, '--device'),
    'option': (lambda t, s: [s], {'--cfg-options': 'modle.a=1'}, 2, 'modle'),
    'launcher': (lambda t, s: [s], {'--launcher': 'pytorch'}, 2, 'torchrun'),
    'gsd': (lambda t, s: [s], {'--gsd': '30'}, 2, '0.02'),
    'memory': (lambda t, s: [s], {'--max-ram': '10M'}, 2, 'pass --max-ram'),
}


def cut(path):
    path.write_bytes(path.read_bytes()[:-2000])
    return path


@pytest.mark.parametrize('case', BAD)
def test_wrong_input_is_one_line_and_leaves_nothing(predict, detector, scene, tmp_path, case, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'out').mkdir()
    scenes, options, code, says = BAD[case]
    scenes = scenes(tmp_path, scene)
    options = {'--out': 'out/map.gpkg', **options}
    before = sorted(tmp_path.rglob('*'))
    assert predict(*detector, *scenes, *(text for pair in options.items() for text in pair)) == code
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1 and says in errors[0]
    left = [path for path in sorted(tmp_path.rglob('*')) if path not in before]
    assert all('.parts' in str(path) for path in left)


def test_a_class_list_that_differs_is_refused_before_the_scene_is_looked_at(
    predict, bright, detector, scene, out, capsys
):
    _, other = bright(classes=('oak', 'beech'))
    assert predict(detector[0], other, scene, '--out', out) == 2
    assert 'trained for 2 classes' in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_found_before_the_work(
    predict, detector, scene, tmp_path, capsys, monkeypatch
):
    seen = tmp_path / 'seen'
    monkeypatch.setenv('SEEN_FILE', str(seen))
    refusing = '/proc/map.gpkg'  # where not even root makes a file
    assert predict(*detector, scene, '--out', refusing) == 3
    assert 'error: ' in capsys.readouterr().err and not seen.exists()


def test_a_full_disk_ends_in_one_line_and_the_same_command_goes_on(predict, detector, scene, out, capsys):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        assert predict(*detector, scene, '--out', out) == 3
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    errors = capsys.readouterr().err
    assert 'the same command goes on' in errors and not out.exists()
    assert predict(*detector, scene, '--out', out) == 0
    assert len(trees_in(out)) == BARS and files_in(out.parent) == ['map.gpkg']


def test_flags_reach_the_map(predict, detector, scene, out):
    flags = ['--window', 80, '--overlap', 0.5, '--batch-size', 3, '--workers', 1, '--tta', '--amp', '--score-thr', 0.95]
    assert predict(*detector, scene, '--out', out, *flags, '--device', 'cpu', '--max-ram', '16G') == 0
    assert len(trees_in(out)) == 0  # the detector is sure to 0.9


def test_usage_errors_end_with_2(predict, detector, scene, out):
    for flags in (['--overlap', 2], ['--max-ram', 'much'], ['--bands', 'x'], ['--format', 'voc']):
        assert predict(*detector, scene, '--out', out, *flags) == 2


def test_the_command_needs_no_file_beside_the_scene_to_be_writable(predict, detector, scene, out):
    os.chmod(scene.parent, 0o555)
    try:
        assert predict(*detector, scene, '--out', out) == 0
    finally:
        os.chmod(scene.parent, 0o755)
    assert np.array_equal(files_in(scene.parent), ['s.tif'])

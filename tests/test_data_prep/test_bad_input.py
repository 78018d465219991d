"""Bad input through the real command line: one line on stderr, the right exit code, nothing left behind."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import shapely

ROOT = Path(__file__).parents[2]
BOX = [[4, 4], [20, 4], [20, 20], [4, 20]]
CASES = {}


def case(code, *words):
    """Register a function that spoils a good scene; it returns extra arguments or None."""

    def register(spoil):
        CASES[spoil.__name__] = (code, words, spoil)
        return spoil

    return register


@pytest.fixture
def scene(tmp_path, write_raster, write_labelme):
    """A good scene, ``in/s.tif`` and ``in/s.json``."""
    write_raster(tmp_path / 'in/s.tif')
    write_labelme(tmp_path / 'in/s.json', [('tree', BOX)])
    return tmp_path / 'in'


@pytest.fixture
def tools(write_raster, write_labelme, write_vectors, to_map):
    """What the cases write with."""

    class Tools:
        raster, labelme, vectors, place = write_raster, write_labelme, write_vectors, to_map

        def geojson(self, path, content):
            (path / 's.json').unlink()
            (path / 's.geojson').write_text(content if isinstance(content, str) else json.dumps(content))

        def gpkg(self, path, features, **options):
            (path / 's.json').unlink()
            return write_vectors(path / 's.gpkg', features, **options)

    # Plain functions on a class would be bound to it.
    for name in ('raster', 'labelme', 'vectors', 'place'):
        setattr(Tools, name, staticmethod(getattr(Tools, name)))
    return Tools()


def change(path, **changes):
    (path / 's.json').write_text(json.dumps({**json.loads((path / 's.json').read_text()), **changes}))


@case(2, 'no.tif', 'does not exist')
def missing_scene(path, tools):
    return [path / 'no.tif']


@case(2, 'must be a GeoTIFF')
def text_named_tif(path, tools):
    (path / 's.tif').write_text('not an image')


@case(2, 's.tif', 'must be a GeoTIFF')
def empty_raster_file(path, tools):
    (path / 's.tif').write_bytes(b'')


@case(2, 's.tif', 'GTiff')
def header_only(path, tools):
    (path / 's.tif').write_bytes((path / 's.tif').read_bytes()[:6])


@case(2, 's.tif', 'truncated or damaged')
def truncated_raster(path, tools):
    (path / 's.tif').write_bytes((path / 's.tif').read_bytes()[:9000])


@case(2, 's.tif', 'truncated or damaged')
def flipped_bytes_in_deflate(path, tools):
    tools.raster(path / 's.tif', compress='deflate')
    content = bytearray((path / 's.tif').read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    (path / 's.tif').write_bytes(content)


@case(2, 'must be a GeoTIFF')
def vrt_dressed_as_tif(path, tools):
    target = path.parent / 'secret.tif'
    (path / 's.tif').rename(target)
    band = f'<SimpleSource><SourceFilename>{target}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
    (path / 's.tif').write_text(
        f'<VRTDataset rasterXSize="96" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1">{band}'
        f'</VRTRasterBand></VRTDataset>'
    )


@case(2, '/vsicurl/', 'does not exist')
def network_path(path, tools):
    return ['/vsicurl/http://127.0.0.1:1/a.tif']


@case(2, 'no raster')
def empty_folder(path, tools):
    for file in path.iterdir():
        file.unlink()


@case(2, 't.json', 'no raster of the same name')
def label_without_raster(path, tools):
    tools.labelme(path / 't.json', [('tree', BOX)])


@case(2, 't.tif', 'no label file', '--unlabelled empty')
def raster_without_label(path, tools):
    tools.raster(path / 't.tif')


@case(2, 's.gpkg', 's.json', 'one label file')
def two_label_files(path, tools):
    tools.vectors(path / 's.gpkg', [('tree', tools.place(BOX))])


@case(2, 'share the scene name s')
def two_rasters_of_one_name(path, tools):
    tools.raster(path / 'more/s.tif')
    return [path, path / 'more/s.tif']


@case(2, 's.json', 'every polygon lies outside')
def polygon_outside(path, tools):
    tools.labelme(path / 's.json', [('tree', [[500, 500], [520, 500], [520, 520]])])


@case(2, 's.gpkg', 'every polygon lies outside', 'CRS')
def crs_that_disagrees(path, tools):
    tools.gpkg(path, [('tree', tools.place(BOX))], crs='EPSG:32601')


@case(2, 's.geojson', 'every polygon lies outside')
def metres_in_geojson_without_crs(path, tools):
    ring = np.asarray(tools.place(BOX).exterior.coords).tolist()
    geometry = {'type': 'Polygon', 'coordinates': [ring]}
    feature = {'type': 'Feature', 'properties': {'label': 'tree'}, 'geometry': geometry}
    tools.geojson(path, {'type': 'FeatureCollection', 'features': [feature]})


@case(2, 's.tif has no CRS')
def raster_without_crs(path, tools):
    tools.raster(path / 's.tif', crs=None)
    tools.gpkg(path, [('tree', tools.place(BOX))])


@case(2, 's.gpkg has no CRS')
def vectors_without_crs(path, tools):
    tools.gpkg(path, [('tree', tools.place(BOX))], crs=None)


@case(2, 's.geojson', 'CRS', 'EPSG:999999')
def unknown_crs(path, tools):
    crs = {'type': 'name', 'properties': {'name': 'EPSG:999999'}}
    tools.geojson(path, {'type': 'FeatureCollection', 'crs': crs, 'features': []})


@case(2, "label 'stump' is not in --classes tree", 's.json, feature 2')
def unknown_label(path, tools):
    tools.labelme(path / 's.json', [('tree', BOX), ('stump', BOX)])
    return [path, '--classes', 'tree']


@case(2, 's.json, feature 2 has no label')
def missing_label(path, tools):
    tools.labelme(path / 's.json', [('tree', BOX), (None, BOX)])


@case(2, "no field 'label'", 'species', '--label-field')
def missing_field(path, tools):
    tools.gpkg(path, [('oak', tools.place(BOX))], field='species')


@case(2, 'no classes', '--classes')
def no_object_at_all(path, tools):
    tools.labelme(path / 's.json', [])


@case(2, 'no classes')
def only_nan_coordinates(path, tools):
    tools.labelme(path / 's.json', [('tree', [[float('nan'), 1], [5, 5], [9, 1]])])


@case(2, 's.json', '640 x 480', '96 x 64')
def labels_of_another_image(path, tools):
    change(path, imageWidth=640, imageHeight=480)


@case(2, 's.json', 'not valid JSON')
def cut_json(path, tools):
    (path / 's.json').write_text((path / 's.json').read_text()[:-20])


@case(2, 's.json', 'not valid JSON')
def empty_json(path, tools):
    (path / 's.json').write_text('')


@case(2, 's.json', 'nested too deep')
def nested_json(path, tools):
    (path / 's.json').write_text('[' * 100_000)


@case(2, 's.json', 'UTF-8')
def latin_1_json(path, tools):
    (path / 's.json').write_bytes('{"shapes": [], "imagePath": "Bäume.tif"}'.encode('latin-1'))


@case(2, 's.json', 'neither LabelMe')
def json_of_something_else(path, tools):
    (path / 's.json').write_text('{"level": 3}')


@case(2, 's.json', "'shapes' must be a list")
def shapes_that_are_no_list(path, tools):
    change(path, shapes={'a': 1})


@case(2, 's.json, shape 1 must be an object')
def shape_that_is_no_object(path, tools):
    change(path, shapes=[3])


@case(2, 's.json must name s.tif once among its images')
def coco_of_other_images(path, tools):
    change(path, images=[], annotations=[], categories=[])
    content = json.loads((path / 's.json').read_text())
    del content['shapes']
    (path / 's.json').write_text(json.dumps(content))
    return [path / 's.tif', '--labels', path / 's.json']


@case(2, 's.geojson', 'neither LabelMe')
def geojson_that_is_a_list(path, tools):
    tools.geojson(path, [])


@case(2, 's.geojson', 'list of features')
def geojson_without_features(path, tools):
    tools.geojson(path, {'type': 'FeatureCollection'})


@case(2, 's.gpkg is not a .gpkg file')
def text_named_gpkg(path, tools):
    (path / 's.json').unlink()
    (path / 's.gpkg').write_text('<OGRVRTDataSource/>')


@case(2, 's.gpkg', 'cannot be read')
def truncated_gpkg(path, tools):
    file = tools.gpkg(path, [('tree', tools.place(BOX))])
    file.write_bytes(file.read_bytes()[:3000])


@case(2, 's.gpkg', 'one layer', "'roads'")
def two_layers(path, tools):
    tools.gpkg(path, [('tree', tools.place(BOX))], layer='trees')
    tools.vectors(path / 's.gpkg', [('road', tools.place(BOX))], layer='roads', append=True)


@case(2, 's.shp', 'cannot be read')
def shapefile_without_its_siblings(path, tools):
    (path / 's.json').unlink()
    tools.vectors(path / 's.shp', [('tree', tools.place(BOX))], geometry_type='Polygon')
    for suffix in ('.shx', '.dbf'):
        (path / f's{suffix}').unlink()


@case(2, 's.tif has bands 1..3', '--bands 4,3,2')
def missing_band(path, tools):
    return [path, '--bands', '4,3,2']


@case(2, 's.tif', 'has two bands', '--bands 1')
def two_bands(path, tools):
    tools.raster(path / 's.tif', pixels=np.ones((2, 64, 96), np.uint8))


@case(2, 'holds uint16', '--stretch')
def sixteen_bits_without_stretch(path, tools):
    tools.raster(path / 's.tif', pixels=np.ones((3, 64, 96), np.uint16))
    return [path, '--stretch', 'none']


@case(2, '--val x is not a scene')
def unknown_scene_name(path, tools):
    return [path, '--val', 'x']


@case(2, 'need as many scenes; got 1')
def too_few_scenes(path, tools):
    return [path, '--split-by', 'scene']


@case(2, 'pass one or the other')
def split_and_names(path, tools):
    return [path, '--split', '1,0,0', '--val', 's']


@case(2, 'do not go with --split-by blocks')
def blocks_and_names(path, tools):
    return [path, '--split-by', 'blocks', '--val', 's']


@case(2, 'no pixels are left for')
def object_over_all_blocks(path, tools):
    tools.labelme(path / 's.json', [('tree', [[1, 1], [95, 1], [95, 9]])])


@case(2, 'argument --overlap', "got '1.5'")
def overlap_out_of_range(path, tools):
    return [path, '--overlap', '1.5']


@case(2, 'argument --tile-size')
def tile_size_that_is_no_number(path, tools):
    return [path, '--tile-size', 'big']


@case(2, 'argument --split', 'sum to 1')
def split_that_does_not_add_up(path, tools):
    return [path, '--split', '0.8,0.1,0.01']


@case(2, 'argument --bands')
def bands_that_are_no_numbers(path, tools):
    return [path, '--bands', 'red']


@case(2, 'argument --min-visible', "got 'nan'")
def min_visible_of_nan(path, tools):
    return [path, '--min-visible', 'nan']


@case(2, 'unrecognized arguments: --tilesize')
def misspelt_option(path, tools):
    return [path, '--tilesize', '3']


@case(2, '--labels', 'does not exist')
def missing_label_file(path, tools):
    return [path, '--labels', path / 'no.json']


@case(2, 'must end in')
def label_file_of_another_kind(path, tools):
    (path / 'labels.txt').write_text('x')
    return [path, '--labels', path / 'labels.txt']


@pytest.mark.parametrize('name', CASES)
def test_bad_input(name, scene, tools, data_prep, tmp_path):
    code, words, spoil = CASES[name]
    argv = spoil(scene, tools) or [scene]
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob('*'))
    got, stdout, stderr = data_prep('tile', *argv, '--out', tmp_path / 'made/trees')
    assert stderr.startswith('error: ') and stderr.count('\n') == 1, stderr
    assert all(word in stderr for word in words), stderr
    assert got == code and stdout == ''
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob('*')) == before


def test_good_input_for_comparison(scene, data_prep, tmp_path):
    options = ('--split', '1,0,0', '--tile-size', 32)
    assert data_prep('tile', scene, '--out', tmp_path / 'made/trees', *options)[0] == 0


def test_existing_out_is_left_alone(scene, data_prep, tmp_path):
    (tmp_path / 'home').mkdir()
    (tmp_path / 'home/letter').write_text('dear')
    for options in ([], ['--overwrite']):
        code, _, stderr = data_prep('tile', scene, '--out', tmp_path / 'home', *options)
        assert code == 2 and stderr.startswith('error: --out') and stderr.count('\n') == 1
    assert os.listdir(tmp_path / 'home') == ['letter']


def test_out_that_holds_the_scenes_is_refused(scene, data_prep):
    code, _, stderr = data_prep('tile', scene, '--out', scene, '--overwrite')
    assert code == 2 and 'must not hold the sources' in stderr and (scene / 's.tif').exists()


def test_missing_pyogrio_is_told(scene, tools, data_prep, tmp_path, monkeypatch):
    tools.gpkg(scene, [('tree', tools.place(BOX))])
    monkeypatch.setitem(sys.modules, 'pyogrio', None)
    code, _, stderr = data_prep('tile', scene, '--out', tmp_path / 'o')
    assert code == 3 and 'pip install fallen-trees[vectors]' in stderr and stderr.count('\n') == 1


def start(*argv, **options):
    command = [sys.executable, '-m', 'data_prep', 'tile', *map(str, argv)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize('name', ['unknown_crs', 'truncated_raster', 'metres_in_geojson_without_crs', 'truncated_gpkg'])
def test_libraries_add_no_lines_of_their_own(name, scene, tools, tmp_path):
    code, words, spoil = CASES[name]
    spoil(scene, tools)
    process = start(scene, '--out', tmp_path / 'o')
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code and stderr.startswith('error: ') and stderr.count('\n') == 1, stderr
    assert all(word in stderr for word in words)


@pytest.mark.parametrize('out', ['in/s.tif/trees', '/proc/trees'])
def test_out_that_cannot_be_written(scene, tmp_path, out):
    process = start(scene, '--out', tmp_path / out, '--tile-size', 32, '--split', '1,0,0')
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3 and stderr.startswith('error: ') and stderr.count('\n') == 1, stderr


def test_full_disk(scene, tmp_path):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))

    process = start(scene, '--out', tmp_path / 'a/o', '--tile-size', 32, '--split', '1,0,0', preexec_fn=limit)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3 and 'free space' in stderr and stderr.count('\n') == 1, stderr
    assert os.listdir(tmp_path) == ['in']


@pytest.fixture
def long_run(tmp_path, write_raster, write_labelme):
    """Start a run that takes seconds and wait until it has written tiles."""
    write_raster(tmp_path / 'in/s.tif', (3000, 3000))
    write_labelme(tmp_path / 'in/s.json', [('tree', BOX)], (3000, 3000))
    started = []

    def run():
        options = ('--tile-size', 64, '--split', '0,1,0')
        process = start(tmp_path / 'in', '--out', tmp_path / 'made/trees', *options)
        started.append(process)
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob('made/.trees.partial/data/images/val/*.png')):
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.01)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_leaves_nothing(long_run, tmp_path, number, code):
    process = long_run()
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code and stderr.startswith('error: stopped by SIG') and stderr.count('\n') == 1
    assert os.listdir(tmp_path) == ['in']


def test_kill_leaves_no_out_and_the_next_run_cleans_up(long_run, tmp_path, data_prep):
    process = long_run()
    process.kill()
    process.wait()
    assert os.listdir(tmp_path / 'made') == ['.trees.partial']
    assert data_prep('tile', tmp_path / 'in', '--out', tmp_path / 'made/trees', '--split', '1,0,0')[0] == 0
    assert os.listdir(tmp_path / 'made') == ['trees']


def test_a_polygon_with_a_hole_of_nan_spares_the_others(scene, tools, data_prep, tmp_path):
    hole = [(10, 10), (np.nan, 12), (12, 12), (10, 10)]
    with np.errstate(invalid='ignore'):
        bad = shapely.Polygon(tools.place(BOX).exterior.coords, [hole])
    tools.gpkg(scene, [('tree', bad), ('tree', tools.place(BOX))])
    options = ('--split', '1,0,0', '--tile-size', 32)
    code, _, stderr = data_prep('tile', scene, '--out', tmp_path / 'o', *options)
    assert code == 1 and stderr.count('\n') == 1
    report = json.loads((tmp_path / 'o/report.json').read_text())
    assert report['scenes']['s']['dropped'][0]['reason'] == 'coordinates are NaN or infinite'

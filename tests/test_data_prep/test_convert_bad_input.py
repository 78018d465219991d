"""Bad input to ``convert`` through the command line: one line on stderr, the right exit code, nothing left behind."""

import json

import pytest

TREE = [[10.5, 10], [30, 12], [28, 20]]
RING = [[500001, 5499999], [500002, 5499999], [500002, 5499998], [500001, 5499999]]
CASES = {}


def case(code, *words):
    """Register a function that spoils the good input and returns the arguments."""

    def register(spoil):
        CASES[spoil.__name__] = (code, words, spoil)
        return spoil

    return register


def lm(folder, shapes=None, name='s.json', **changes):
    shapes = [{'label': 'tree', 'points': TREE, 'shape_type': 'polygon'}] if shapes is None else shapes
    content = {'shapes': shapes, 'imagePath': 's.tif', 'imageHeight': 64, 'imageWidth': 96, **changes}
    (folder / name).write_text(json.dumps(content))
    return folder / name


def coco(folder, name='c.json', **changes):
    content = {
        'images': [{'id': 1, 'file_name': 's.tif', 'width': 96, 'height': 64}],
        'categories': [{'id': 1, 'name': 'tree'}],
        'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'segmentation': [[1, 1, 9, 1, 9, 9]]}],
        **changes,
    }
    (folder / name).write_text(json.dumps(content))
    return folder / name


def geojson(folder, feature=None, **changes):
    plain = {'type': 'Feature', 'properties': {'label': 'tree'}, 'geometry': {'type': 'Polygon', 'coordinates': [RING]}}
    crs = {'type': 'name', 'properties': {'name': 'urn:ogc:def:crs:EPSG::32633'}}
    content = {'type': 'FeatureCollection', 'crs': crs, 'features': [{**plain, **(feature or {})}], **changes}
    (folder / 's.geojson').write_text(json.dumps(content))
    return folder / 's.geojson'


@case(2, 'no.json does not exist')
def missing_input(folder, tools):
    return [folder / 'no.json', '--to', 'coco']


@case(2, 'holds no label file')
def empty_folder(folder, tools):
    (folder / 'empty').mkdir()
    return [folder / 'empty', '--to', 'coco']


@case(2, 'must end in .json')
def picture_as_labels(folder, tools):
    return [folder / 's.tif', '--to', 'coco']


@case(2, 'neither LabelMe')
def json_of_something_else(folder, tools):
    (folder / 's.json').write_text('{"level": 3}')
    return [folder / 's.json', '--to', 'coco']


@case(2, 'not valid JSON')
def torn_json(folder, tools):
    (folder / 's.json').write_text('{"shapes": [')
    return [folder / 's.json', '--to', 'coco']


@case(2, 'must be UTF-8')
def latin_1(folder, tools):
    (folder / 's.json').write_bytes('{"shapes": "ä"}'.encode('latin-1'))
    return [folder / 's.json', '--to', 'coco']


@case(2, '--to', 'invalid choice')
def unknown_format(folder, tools):
    return [lm(folder), '--to', 'yolo']


@case(2, "'shapes' must be a list of objects")
def shapes_that_are_no_list(folder, tools):
    return [lm(folder, 7), '--to', 'coco']


@case(2, 's.json, feature 1 has no label')
def shape_without_label(folder, tools):
    return [lm(folder, [{'points': TREE}]), '--to', 'coco']


@case(2, 's.tif is needed for its place on the map')
def map_without_a_raster(folder, tools):
    (folder / 's.tif').unlink()
    return [lm(folder), '--to', 'geojson']


@case(2, 's.tif has no CRS')
def map_of_a_raster_without_crs(folder, tools):
    tools(folder / 's.tif', crs=None, transform=None)
    return [lm(folder), '--to', 'gpkg']


@case(2, 's.tif has no CRS, so')
def pixels_of_a_raster_without_crs(folder, tools):
    tools(folder / 's.tif', crs=None, transform=None)
    return [geojson(folder), '--to', 'coco']


@case(2, 'was drawn on 95 x 64 px')
def labels_of_another_size(folder, tools):
    return [lm(folder, imageWidth=95), '--to', 'coco', '--raster', folder / 's.tif']


@case(2, 'was drawn on 640 x 480 px')
def coco_of_another_size(folder, tools):
    images = [{'id': 1, 'file_name': 's.tif', 'width': 640, 'height': 480}]
    return [coco(folder, images=images), '--to', 'geojson']


@case(2, '--raster', 'no.tif does not exist')
def missing_raster(folder, tools):
    return [geojson(folder), '--to', 'coco', '--raster', folder / 'no.tif']


@case(2, 's.tif is needed to place its map coordinates')
def vectors_without_a_raster(folder, tools):
    (folder / 's.tif').unlink()
    return [geojson(folder), '--to', 'labelme']


@case(2, 'must be a GeoTIFF, PNG or JPEG')
def vrt_dressed_as_a_raster(folder, tools):
    (folder / 's.tif').write_text('<VRTDataset rasterXSize="9" rasterYSize="9"/>')
    return [lm(folder), '--to', 'geojson']


@case(2, "has no field 'species' (fields: label)")
def unknown_label_field(folder, tools):
    return [geojson(folder), '--to', 'coco', '--label-field', 'species']


@case(2, 'CRS that cannot be understood')
def unknown_crs(folder, tools):
    return [geojson(folder, crs={'properties': {'name': 'EPSG:0'}}), '--to', 'coco']


@case(2, 'no place on the map')
def coordinates_off_the_map(folder, tools):
    geometry = {'type': 'Polygon', 'coordinates': [[[500, 500], [501, 500], [501, 501], [500, 500]]]}
    return [geojson(folder, {'geometry': geometry}, crs=None), '--to', 'coco']


@case(2, 'is not a .gpkg file')
def text_named_gpkg(folder, tools):
    (folder / 's.gpkg').write_text('no database')
    return [folder / 's.gpkg', '--to', 'coco']


@case(2, 'exists; choose another --out, or pass --overwrite')
def output_that_exists(folder, tools):
    (folder / 'out.json').write_text('precious')
    return [lm(folder), '--to', 'coco', '--out', folder / 'out.json']


@case(2, 'would be written over its source')
def output_over_its_source(folder, tools):
    return [lm(folder), '--to', 'coco', '--out', folder / 's.json', '--overwrite']


@case(2, '--out must be a .gpkg file or a folder')
def suffix_of_another_format(folder, tools):
    return [lm(folder), '--to', 'gpkg', '--out', folder / 'out.json']


@case(2, 'is one file, and there are 2 images')
def one_file_for_two_images(folder, tools):
    return [lm(folder), lm(folder, name='t.json'), '--to', 'labelme', '--out', folder / 'out.json']


@case(2, '--raster is the image of one input')
def one_raster_for_two_images(folder, tools):
    return [lm(folder), lm(folder, name='t.json'), '--to', 'coco', '--raster', folder / 's.tif']


@case(2, 'both label s')
def the_same_image_twice(folder, tools):
    return [lm(folder), geojson(folder), '--to', 'geojson', '--out', folder / 'out']


@case(2, 'must be a folder; a file is there')
def file_in_the_way_of_a_folder(folder, tools):
    (folder / 'out').write_text('precious')
    return [lm(folder), '--to', 'labelme', '--out', folder / 'out/further']


@case(2, "'images', entry 2 must have an id of its own")
def coco_with_an_id_twice(folder, tools):
    images = [{'id': 1, 'file_name': 's.tif', 'width': 96, 'height': 64}] * 2
    return [coco(folder, images=images), '--to', 'labelme']


@case(2, 'names category 1, which the file does not list')
def coco_with_an_unknown_category(folder, tools):
    return [coco(folder, categories=[]), '--to', 'labelme']


@case(2, "'annotations' must be a list of objects")
def coco_without_annotations(folder, tools):
    return [coco(folder, annotations={}), '--to', 'labelme']


@case(2, 'width and height')
def coco_without_sizes(folder, tools):
    return [coco(folder, images=[{'id': 1, 'file_name': 's.tif'}]), '--to', 'labelme']


@case(2, 'to copy it beside the labels')
def roboflow_without_images(folder, tools):
    (folder / 's.tif').unlink()
    return [coco(folder), '--to', 'roboflow', '--out', folder / 'out']


@case(2, 'to copy it beside the labels')
def roboflow_of_an_image_outside_the_folder(folder, tools):
    (folder / 'in').mkdir()
    (folder / 's.tif').rename(folder / 'secret.tif')
    images = [{'id': 1, 'file_name': '../secret.tif', 'width': 96, 'height': 64}]
    return [coco(folder / 'in', images=images), '--to', 'roboflow', '--out', folder / 'out']


@case(2, '--out must be a folder for --to roboflow')
def roboflow_into_a_file(folder, tools):
    return [coco(folder), '--to', 'roboflow', '--out', folder / 'out.json']


@case(2, 'control character')
def name_with_a_line_break(folder, tools):
    images = [{'id': 1, 'file_name': 'a\nb.tif', 'width': 96, 'height': 64}]
    return [coco(folder, images=images), '--to', 'labelme', '--out', folder / 'out']


@case(2, 'lone surrogate')
def half_a_character(folder, tools):
    return [lm(folder, [{'label': '\ud800', 'points': TREE}]), '--to', 'coco']


@case(2, 'lone surrogate')
def half_a_character_in_a_geopackage(folder, tools):
    return [lm(folder, [{'label': '\ud800', 'points': TREE}]), '--to', 'gpkg']


@case(2, 'must be pixels')
def cityscapes_without_a_size(folder, tools):
    (folder / 's.json').write_text(json.dumps({'imgHeight': None, 'imgWidth': 3, 'objects': []}))
    return [folder / 's.json', '--to', 'coco']


@case(2, '--label-field must be the name of a column')
def column_that_is_no_name(folder, tools):
    return [lm(folder), '--to', 'gpkg', '--label-field', 'a" TEXT); --']


@case(1, 'feature 1 is left out: coordinates are NaN')
def nan_and_strange_shapes(folder, tools):
    shapes = [[[1, float('nan')], [2, 2], [3, 1]], [[1, 2, 3]] * 3, 'text', None, [[True, 1], [2, 2], [3, 1]], TREE]
    shapes = [{'label': 'tree', 'points': points} for points in shapes]
    return [lm(folder, shapes), '--to', 'coco', '--out', folder / 'out.json']


@case(1, 'feature 2 is left out: RLE counts 5 pixels')
def broken_run_lengths(folder, tools):
    plain = {'image_id': 1, 'category_id': 1}
    entries = [
        {**plain, 'segmentation': [[1, 1, 9, 1, 9, 9]]},
        {**plain, 'segmentation': {'size': [64, 96], 'counts': [5]}},
    ]
    return [coco(folder, annotations=entries), '--to', 'labelme', '--out', folder / 'out.json']


def tree(folder):
    """All files with their bytes, and all folders."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob('*')}


@pytest.mark.parametrize('name', CASES)
def test_bad_input(tmp_path, write_raster, data_prep, name):
    code, words, spoil = CASES[name]
    write_raster(tmp_path / 's.tif')
    arguments = spoil(tmp_path, write_raster)
    before = tree(tmp_path)
    if '--out' not in arguments:
        suffix = {'labelme': '.json', 'coco': '.json', 'roboflow': ''}
        to = arguments[arguments.index('--to') + 1]
        arguments += ['--out', tmp_path / f'made{suffix.get(to, "." + to)}']
    found, stdout, stderr = data_prep('convert', *arguments)
    assert found == code, stderr
    assert all(word in stderr for word in words), stderr
    after = tree(tmp_path)
    if code == 2:
        assert stderr.count('\n') == 1 and stdout == ''
        assert after == before
    else:
        assert len(after) == len(before) + 1

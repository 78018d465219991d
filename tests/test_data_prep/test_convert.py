"""Converting there and back gives the same objects; what a format cannot hold is carried beside, or said."""

import json

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from data_prep.convert import convert_labels
from data_prep.imagery.rasters import raster_info
from data_prep.labels.objects import load_objects
from data_prep.scenes import Scene

TREE = [[10.5, 10], [30, 12], [28, 20.125]]
BOW_TIE = [[40, 5], [50, 15], [50, 5], [40, 15]]
BOX = [[60, 30], [80, 30], [80, 50], [60, 50]]
INNER = [[65, 35], [70, 35], [70, 40], [65, 40]]


def load(path):
    return json.loads(path.read_text())


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def shape(label, points, **changes):
    plain = {'group_id': None, 'description': '', 'shape_type': 'polygon', 'flags': {}}
    return {'label': label, 'points': points, **plain, **changes}


def labelme(path, shapes, **changes):
    plain = {'version': '5.4.1', 'flags': {}, 'imagePath': 's.tif', 'imageData': None}
    return save(path, {**plain, 'shapes': shapes, 'imageHeight': 64, 'imageWidth': 96, **changes})


def coco(path, annotations, *, images=None, categories=None, **changes):
    images = images or [{'id': 1, 'file_name': 's.tif', 'width': 96, 'height': 64}]
    categories = categories or [{'id': 1, 'name': 'tree', 'supercategory': ''}]
    return save(path, {'images': images, 'annotations': annotations, 'categories': categories, **changes})


def flat(*rings):
    return [[value for point in ring for value in point] for ring in rings]


def same_shapes(before, after):
    """Every key of every shape as it was; keys may have come."""
    pairs = list(zip(load(before)['shapes'], load(after)['shapes'], strict=True))
    assert pairs
    for old, new in pairs:
        assert {key: new.get(key) for key in old} == old


SHAPES = [
    shape('tree', TREE, flags={'dead': True}, description='by the road', attributes={'species': ['oak', 2]}),
    shape('tree', BOW_TIE, area=-1, id='text', iscrowd='no'),
    shape('a "quoted" läbel', BOX, group_id=4),
    shape('tree', [[10, 50], [12.5, 60]], shape_type='rectangle'),
    shape('tree', [[30, 60], [20, 55]], shape_type='rectangle', note=None),
    shape('tree', BOX[::-1], shape_type='rectangle'),
    shape('pair', TREE, group_id=7, flags={'left': True}),
    shape('pair', BOX, group_id=7, description='other half'),
]


def test_labelme_to_coco_and_back_is_equal_to_the_last_digit(tmp_path):
    first = labelme(
        tmp_path / 's.json', SHAPES, imagePath='..\\images\\s.tif', flags={'checked': True}, editor={'n': 1}
    )
    done = convert_labels([first], 'coco', tmp_path / 'coco.json')
    assert (done.objects, done.images, done.lost) == (7, 1, [])
    content = load(tmp_path / 'coco.json')
    assert [entry['id'] for entry in content['annotations']] == [1, 2, 3, 4, 5, 6, 7]
    assert content['images'][0]['file_name'] == 's.tif'
    assert content['annotations'][1]['area'] == 50 and content['annotations'][1]['bbox'] == [40, 5, 10, 10]
    assert content['annotations'][1]['segmentation'] == flat(BOW_TIE)
    assert len(content['annotations'][6]['segmentation']) == 2
    convert_labels([tmp_path / 'coco.json'], 'labelme', tmp_path / 'back.json')
    same_shapes(first, tmp_path / 'back.json')
    before, after = load(first), load(tmp_path / 'back.json')
    assert {key: after[key] for key in before if key != 'shapes'} == {k: before[k] for k in before if k != 'shapes'}


POINT = st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)).map(list)
TEXT = st.text(st.characters(codec='utf-8'), max_size=5)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
OTHER = st.sampled_from(['area', 'bbox', 'image_id', 'segmentation', 'attributes', 'score', 'properties'])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(['tree', ' log ', 'ä']), st.lists(POINT, min_size=3, max_size=5),
                  st.dictionaries(OTHER, VALUE, max_size=2), st.sampled_from([None, 1, 2])),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_any_labelme_file_survives_coco(tmp_path, drawn):
    drawn.sort(key=lambda item: (item[3] or 0, item[0]))  # the shapes of an object come out together
    first = labelme(tmp_path / 's.json', [shape(label, points, group_id=group, **extra)
                                          for label, points, extra, group in drawn])  # fmt: skip
    convert_labels([first], 'coco', tmp_path / 'coco.json', overwrite=True)
    convert_labels([tmp_path / 'coco.json'], 'labelme', tmp_path / 'back.json', overwrite=True)
    same_shapes(first, tmp_path / 'back.json')


@pytest.mark.parametrize('to', ['geojson', 'gpkg'])
def test_labelme_to_the_map_and_back(tmp_path, write_raster, to):
    from rasterio.transform import Affine

    placed = Affine.translation(5e5, 5.5e6) * Affine.rotation(30) * Affine.scale(0.1, -0.1)
    write_raster(tmp_path / 's.tif', transform=placed)
    first = labelme(tmp_path / 's.json', SHAPES)
    done = convert_labels([first], to, tmp_path / f'map.{to}')
    assert done.objects == 7 and done.lost == []
    convert_labels([tmp_path / f'map.{to}'], 'labelme', tmp_path / 'back.json', raster=tmp_path / 's.tif')
    for old, new in zip(SHAPES, load(tmp_path / 'back.json')['shapes'], strict=True):
        assert np.allclose(old['points'], new['points'], rtol=0, atol=1e-6)
        assert {key: new.get(key) for key in old if key != 'points'} == {k: old[k] for k in old if k != 'points'}


def test_other_programs_open_what_is_written(tmp_path, write_raster):
    pyogrio = pytest.importorskip('pyogrio')
    raster = write_raster(tmp_path / 's.tif')
    first = labelme(tmp_path / 's.json', SHAPES)
    expected = load_objects(Scene('s', raster, first), raster_info(raster)).objects
    for name in ('o.geojson', 'o.gpkg'):
        convert_labels([first], name[2:], tmp_path / name)
        info = pyogrio.read_info(tmp_path / name)
        assert info['crs'] == 'EPSG:32633' and info['features'] == 7 and 'label' in info['fields']
        found = load_objects(Scene('s', raster, tmp_path / name), raster_info(raster)).objects
        assert [item.label for item in found] == [expected[i].label for i in (0, 1, 2, 3, 4, 5, 6)]
        assert sum(item.polygon.area for item in found) == pytest.approx(
            sum(item.polygon.area for item in expected) , abs=1e-3
        )  # fmt: skip


def test_holes_parts_crowds_and_masks_survive_every_format(tmp_path, write_raster):
    write_raster(tmp_path / 's.tif')
    mask = np.zeros((64, 96), np.uint8, order='F')
    mask[20:30, 5:25] = 1
    mask[23:26, 10:15] = 0
    mask[40, 3] = mask[41, 4] = 1
    run_lengths = {'size': [64, 96], 'counts': coco_mask.encode(mask)['counts'].decode()}
    keys = {'image_id': 1, 'category_id': 1}
    first = coco(tmp_path / 'first.json', [
        {'id': 17, 'segmentation': run_lengths, 'area': 187.0, 'bbox': [3, 20, 22, 22], 'iscrowd': 1, **keys},
        {'id': 5, 'segmentation': flat(TREE, BOX), 'area': 500.0, 'bbox': [0, 0, 9, 9], 'score': 0.5, **keys},
    ])  # fmt: skip
    for to in ('labelme', 'geojson', 'gpkg'):
        there = tmp_path / f'there.{"json" if to == "labelme" else to}'
        convert_labels([first], to, there, overwrite=True)
        convert_labels([there], 'coco', tmp_path / 'back.json', raster=tmp_path / 's.tif', overwrite=True)
        crowd, pair = load(tmp_path / 'back.json')['annotations']
        assert (crowd['id'], crowd['iscrowd'], pair['id'], pair['score']) == (17, 1, 5, 0.5)
        assert np.array_equal(coco_mask.decode(crowd['segmentation']), mask) and crowd['area'] == mask.sum()
        assert np.allclose(np.concatenate(pair['segmentation']), np.concatenate(flat(TREE, BOX)))
    shapes = load(tmp_path / 'there.json')['shapes']
    assert [entry['flags'] for entry in shapes].count({'hole': True}) == 1
    assert {entry['group_id'] for entry in shapes[:4]} == {1} and {entry['group_id'] for entry in shapes[4:]} == {2}


def test_an_object_without_an_area_is_an_empty_mask(tmp_path):
    line = [[1, 1], [2, 2], [3, 3]]
    shapes = [shape('tree', line, group_id=1), shape('tree', INNER, group_id=1, flags={'hole': True})]
    convert_labels([labelme(tmp_path / 's.json', shapes)], 'coco', tmp_path / 'o.json')
    (entry,) = load(tmp_path / 'o.json')['annotations']
    assert entry['area'] == 0 and not coco_mask.decode(entry['segmentation']).any()


def test_a_hole_drawn_in_labelme_becomes_run_lengths(tmp_path):
    hole = shape('tree', INNER, group_id=1, flags={'hole': True})
    first = labelme(tmp_path / 's.json', [shape('tree', BOX, group_id=1), hole])
    convert_labels([first], 'coco', tmp_path / 'o.json')
    (entry,) = load(tmp_path / 'o.json')['annotations']
    assert entry['area'] == 400 - 25 and entry['bbox'] == [60, 30, 20, 20]
    assert coco_mask.area(entry['segmentation']) == 375


def test_coco_survives_labelme_with_categories_ids_and_its_own_keys(tmp_path):
    images = [{'id': 30, 'file_name': f'{name}/s.jpg', 'width': 96, 'height': 64, 'coco_url': 'u'} for name in 'ab']
    images[1]['id'] = 3
    categories = [{'id': 9, 'name': 'b', 'supercategory': 'x', 'color': '#fff'}, {'id': 4, 'name': 'unused'},
                  {'id': 2, 'name': 'a', 'supercategory': 'x'}]  # fmt: skip
    entries = [
        {'id': 50, 'image_id': 3, 'category_id': 9, 'segmentation': flat(TREE), 'area': 1.0, 'bbox': [0, 0, 1, 1],
         'iscrowd': 0, 'attributes': {'occluded': False}, 'label': 'clash', 'group_id': 3},
        {'id': 7, 'image_id': 30, 'category_id': 2, 'segmentation': [], 'area': 200, 'bbox': [5, 6, 10, 20],
         'iscrowd': 0},
    ]  # fmt: skip
    extra = {'info': {'year': 2017}, 'licenses': [{'id': 1}], 'videos': []}
    first = coco(tmp_path / 'first.json', entries, images=images, categories=categories, **extra)
    convert_labels([first], 'labelme', tmp_path / 'lm')
    assert sorted(path.name for path in (tmp_path / 'lm').iterdir()) == ['s.json', 's_3.json']
    box = load(tmp_path / 'lm/s.json')['shapes'][0]
    assert box['points'] == [[5, 6], [15, 26]] and box['shape_type'] == 'rectangle'
    convert_labels([tmp_path / 'lm'], 'coco', tmp_path / 'back.json')
    back = load(tmp_path / 'back.json')
    assert {key: back[key] for key in extra} == extra
    assert [entry for entry in back['categories'] if entry['id'] != 4] == [categories[0], categories[2]]
    assert {entry['id']: entry for entry in back['images']} == {entry['id']: entry for entry in images}
    found = {entry['id']: entry for entry in back['annotations']}
    assert found.keys() == {50, 7} and found[50]['image_id'] == 3 and found[50]['category_id'] == 9
    for key in ('attributes', 'label', 'group_id', 'segmentation'):
        assert found[50][key] == entries[0][key]


def test_what_was_drawn_anew_gets_new_ids(tmp_path):
    shapes = [shape('tree', TREE, id=4), shape('tree', BOX, id=4), shape('new', BOX), shape('tree', TREE, id=0)]
    convert_labels([labelme(tmp_path / 's.json', shapes)], 'coco', tmp_path / 'o.json')
    assert [entry['id'] for entry in load(tmp_path / 'o.json')['annotations']] == [4, 5, 6, 0]


def test_geojson_properties_survive_coco_and_crs_is_written_where_it_must_be(tmp_path, write_raster):
    write_raster(tmp_path / 's.tif', crs='EPSG:4326', transform=[1e-6, 0, 12, 0, -1e-6, 50])
    ring = [[12.00001, 49.99999], [12.00002, 49.99999], [12.00002, 49.99997], [12.00001, 49.99999]]
    properties = {'species': 'oak', 'area': 3.5, 'tags': ['a'], 'ok': True, 'label': 7, 'id': 9}
    features = [{'type': 'Feature', 'properties': properties, 'geometry': {'type': 'Polygon', 'coordinates': [ring]}}]
    first = save(tmp_path / 's.geojson', {'type': 'FeatureCollection', 'features': features})
    convert_labels([first], 'coco', tmp_path / 'o.json', label_field='species')
    (entry,) = load(tmp_path / 'o.json')['annotations']
    assert entry['id'] == 9 and entry['source_properties'] == {'area': 3.5} and entry['tags'] == ['a']
    convert_labels([tmp_path / 'o.json'], 'geojson', tmp_path / 'b.geojson', label_field='species')
    back = load(tmp_path / 'b.geojson')
    assert 'crs' not in back and back['features'][0]['properties'] == properties
    assert np.allclose(back['features'][0]['geometry']['coordinates'][0], ring, rtol=0, atol=1e-11)


def test_coordinates_go_through_another_crs(tmp_path, write_raster, write_vectors, to_map):
    from rasterio.warp import transform

    write_raster(tmp_path / 's.tif')
    there = shapely.transform(to_map(TREE), lambda xy: np.stack(transform('EPSG:32633', 'EPSG:3857', *xy.T), axis=1))
    convert_labels(
        [write_vectors(tmp_path / 's.gpkg', [('tree', there)], crs='EPSG:3857')], 'labelme', tmp_path / 'o.json'
    )
    assert np.allclose(load(tmp_path / 'o.json')['shapes'][0]['points'], TREE, atol=1e-3)


def test_tiles_go_to_the_map_without_their_images(tmp_path, scenes, data_prep):
    assert data_prep('tile', scenes, '--out', tmp_path / 'd', '--tile-size', 64, '--split', '0.5,0.25,0.25')[0] == 0
    done = convert_labels([tmp_path / 'd'], 'geojson', tmp_path / 'map')
    assert done.lost == [] and {path.parent.name for path in done.files} == {'train', 'val', 'test'}
    content = load(tmp_path / 'd/annotations/instances_val.json')
    entry = content['annotations'][0]
    image = next(item for item in content['images'] if item['id'] == entry['image_id'])
    feature = next(
        item
        for item in load(tmp_path / 'map/val' / image['file_name'].replace('.png', '.geojson'))['features']
        if item['properties']['object_id'] == entry['object_id']
    )
    x, y = feature['geometry']['coordinates'][0][0]
    a, _, c, _, e, f = image['transform']
    assert [x, y] == pytest.approx([a * entry['segmentation'][0][0] + c, e * entry['segmentation'][0][1] + f])


@pytest.fixture
def roboflow(tmp_path, write_raster):
    """A data set as Roboflow exports it; the root category is called like the one class."""

    def make(root_used=False):
        for split in ('train', 'valid'):
            name = f'{split}_jpg.rf.1.jpg'
            write_raster(tmp_path / 'rf' / split / name, driver='JPEG', crs=None, transform=None)
            images = [{'id': 0, 'file_name': name, 'width': 96, 'height': 64, 'extra': {'name': 'a.jpg'}}]
            categories = [{'id': 0, 'name': 'trees', 'supercategory': 'none'},
                          {'id': 1, 'name': 'oak', 'supercategory': 'trees'}]  # fmt: skip
            entry = {'id': 0, 'image_id': 0, 'category_id': int(not root_used), 'segmentation': flat(TREE),
                     'area': 399.0, 'bbox': [10, 10, 20, 11], 'iscrowd': 0}  # fmt: skip
            coco(tmp_path / 'rf' / split / '_annotations.coco.json', [entry], images=images, categories=categories)
        return tmp_path / 'rf'

    return make


def test_roboflow_in_and_out(tmp_path, roboflow, data_prep):
    code, _, stderr = data_prep('convert', roboflow(), '--to', 'coco', '--out', tmp_path / 'coco')
    assert code == 0 and stderr.count("category 0 'trees' is the unused root") == 2
    content = load(tmp_path / 'coco/instances_val.json')
    assert content['categories'] == [{'id': 1, 'name': 'oak', 'supercategory': 'trees'}]
    assert content['annotations'][0]['area'] == 399.0 and content['images'][0]['extra'] == {'name': 'a.jpg'}
    assert sorted(path.name for path in (tmp_path / 'coco').iterdir()) == ['instances_train.json', 'instances_val.json']
    convert_labels([roboflow()], 'roboflow', tmp_path / 'again')
    names = {str(path.relative_to(tmp_path / 'again')) for path in (tmp_path / 'again').glob('*/*')}
    assert names == {f'{s}/{n}' for s in ('train', 'valid') for n in ('_annotations.coco.json', f'{s}_jpg.rf.1.jpg')}
    picture = 'train/train_jpg.rf.1.jpg'
    assert (tmp_path / 'again' / picture).read_bytes() == (tmp_path / 'rf' / picture).read_bytes()
    assert load(tmp_path / 'again/valid/_annotations.coco.json')['annotations'] == content['annotations']


def test_a_used_category_0_gets_another_id_and_a_warning(tmp_path, roboflow, data_prep):
    code, _, stderr = data_prep('convert', roboflow(root_used=True), '--to', 'coco', '--out', tmp_path / 'coco')
    assert code == 1 and "warning: category 0 'trees' is now 2" in stderr
    for split in ('train', 'val'):
        content = load(tmp_path / f'coco/instances_{split}.json')
        assert [entry['category_id'] for entry in content['annotations']] == [2]
        assert {entry['id']: entry['name'] for entry in content['categories']} == {1: 'oak', 2: 'trees'}


def cityscapes(folder, objects, split='train', city='ulm', name='ulm_000000_000019'):
    content = {'imgHeight': 64, 'imgWidth': 96, 'objects': objects}
    return save(folder / f'gtFine/{split}/{city}/{name}_gtFine_polygons.json', content)


def drawn(label, x0, y0, x1, y1, **changes):
    return {'label': label, 'polygon': [[x0, y0], [x1, y0], [x1, y1], [x0, y1]], **changes}


def test_cityscapes_polygons_are_clipped_in_drawing_order(tmp_path):
    objects = [
        drawn('road', 0, 0, 96, 64),
        drawn('car', 10, 10, 30, 30),
        drawn('pole', 18, 0, 20, 64),
        drawn('car', 25, 10, 40, 30),
        drawn('license plate', 30, 15, 35, 20),
        drawn('rider', 50, 10, 70, 30),
        drawn('sky', 55, 15, 60, 20),
        drawn('persongroup', 0, 40, 20, 60),
        drawn('bus', 70, 40, 80, 50),
        drawn('bus', 60, 30, 90, 60),
        drawn('car', 0, 0, 96, 64, deleted=1),
    ]
    cityscapes(tmp_path, objects)
    cityscapes(tmp_path, [], split='val', city='bonn', name='bonn_000000_000001')
    done = convert_labels([tmp_path], 'coco', tmp_path / 'o')
    content = load(tmp_path / 'o/instances_train.json')
    names = {entry['id']: entry['name'] for entry in content['categories']}
    assert list(names.values()) == ['person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle']
    found = [(names[e['category_id']], e['area'], e['iscrowd']) for e in content['annotations']]
    assert found == [('car', 260, 0), ('car', 300, 0), ('rider', 375, 0), ('person', 400, 1), ('bus', 900, 0)]
    assert [isinstance(e['segmentation'], dict) for e in content['annotations']] == [False, False, True, True, False]
    assert content['images'][0]['file_name'] == 'ulm/ulm_000000_000019_leftImg8bit.png'
    assert load(tmp_path / 'o/instances_val.json')['annotations'] == []
    assert any('1 objects lie wholly under later ones' in note for note in done.notes)
    convert_labels([tmp_path / 'gtFine'], 'coco', tmp_path / 'whole', clip=False, classes=['car', 'pole'])
    whole = load(tmp_path / 'whole/instances_train.json')
    assert [(e['category_id'], e['area']) for e in whole['annotations']] == [(1, 400), (2, 128), (1, 300)]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(*[st.integers(0, 60)] * 4), min_size=1, max_size=8))
def test_clipped_polygons_are_the_painted_pixels(tmp_path, boxes):
    from data_prep.convert.cityscapes import read

    canvas = np.full((64, 64), -1)
    boxes = [(min(a, c), min(b, d), max(a, c) + 2, max(b, d) + 2) for a, b, c, d in boxes]
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        canvas[y0:y1, x0:x1] = number
    content = {'imgHeight': 64, 'imgWidth': 64, 'objects': [drawn('car', *box) for box in boxes]}
    (document,) = read(tmp_path / 'x_gtFine_polygons.json', content)
    areas = [sum(shapely.Polygon(part[0], part[1:]).area for part in item.parts) for item in document.items]
    assert areas == [(canvas == number).sum() for number in range(len(boxes))]


def test_idd_takes_its_own_classes_and_its_jpegs(tmp_path, write_raster):
    objects = [drawn('autorickshaw', 0, 0, 9, 9, id=3, user='x', date='d'), drawn('animal', 40, 40, 50, 50),
               drawn('drivable fallback', 20, 20, 30, 30)]  # fmt: skip
    cityscapes(tmp_path, objects, city='201', name='frame0029')
    write_raster(tmp_path / 'leftImg8bit/train/201/frame0029_leftImg8bit.jpg', driver='JPEG', crs=None, transform=None)
    convert_labels([tmp_path], 'coco', tmp_path / 'o')
    content = load(tmp_path / 'o/instances_train.json')
    assert len(content['annotations']) == 1 and content['annotations'][0]['category_id'] == 5
    assert content['categories'][4]['name'] == 'autorickshaw' and len(content['categories']) == 9
    assert content['images'][0]['file_name'] == '201/frame0029_leftImg8bit.jpg'
    convert_labels([tmp_path], 'roboflow', tmp_path / 'rf', images=tmp_path / 'leftImg8bit')
    assert (tmp_path / 'rf/train/frame0029_leftImg8bit.jpg').is_file()


def test_lost_features_are_listed_and_the_exit_code_says_so(tmp_path, data_prep):
    shapes = [shape('tree', TREE), shape('tree', [[1, 1]], shape_type='point'), shape('tree', [[1, 2], [3, 4]])]
    first = labelme(tmp_path / 's.json', shapes)
    code, stdout, stderr = data_prep('convert', first, '--to', 'coco', '--out', tmp_path / 'o.json', '--json')
    summary = json.loads(stdout)
    assert code == 1 and stderr.count('is left out') == 2 and summary['objects'] == 1
    assert [(entry['feature'], entry['reason']) for entry in summary['lost']] == [
        (2, 'shape type point is not a polygon'), (3, 'fewer than 3 points (2)')]  # fmt: skip


def test_classes_choose_and_order(tmp_path):
    shapes = [shape(label, TREE) for label in ('a', 'b', 'c', 'b')]
    done = convert_labels([labelme(tmp_path / 's.json', shapes)], 'coco', tmp_path / 'o.json', classes=['c', 'b'])
    content = load(tmp_path / 'o.json')
    assert [entry['category_id'] for entry in content['annotations']] == [2, 1, 2]
    assert done.notes == [f'{tmp_path / "s.json"}: 1 objects of labels that are not in --classes are left out']


def test_danish_crowns_there_and_back(real_data, tmp_path):
    folder = real_data / 'denmark_tree_crowns'
    first, raster = folder / 'scene0_labelme.json', folder / 'scene0_rgb.tif'
    convert_labels([first], 'coco', tmp_path / 'c.json')
    convert_labels([tmp_path / 'c.json'], 'labelme', tmp_path / 'l.json')
    same_shapes(first, tmp_path / 'l.json')
    assert len(load(tmp_path / 'l.json')['shapes']) == 1159
    for to in ('geojson', 'gpkg'):
        convert_labels([first], to, tmp_path / f'm.{to}', raster=raster)
        convert_labels([tmp_path / f'm.{to}'], 'labelme', tmp_path / f'{to}.json', raster=raster)
        same_shapes(first, tmp_path / f'{to}.json')  # a thousandth of a pixel survives the map to the last digit
    convert_labels([folder / 'scene0_crowns.gpkg'], 'geojson', tmp_path / 'g.geojson')
    features = load(tmp_path / 'g.geojson')['features']
    pyogrio = pytest.importorskip('pyogrio')
    wkb = pyogrio.raw.read(folder / 'scene0_crowns.gpkg')[2]
    for feature, original in zip(features, shapely.from_wkb(wkb), strict=True):
        assert feature['geometry']['coordinates'][0] == [list(point) for point in original.exterior.coords]


def test_finnish_deadwood_there_and_back(real_data, tmp_path):
    folder = real_data / 'finland_deadwood'
    raster, drawn_by_hand = folder / 'R70C21.tif', folder / 'derived/R70C21_labelme.json'
    for number, name in enumerate(('R70C21.shp', 'derived/R70C21_deadwood.geojson')):
        convert_labels([folder / name], 'coco', tmp_path / f'{number}.json', raster=raster)
        entries = load(tmp_path / f'{number}.json')['annotations']
        assert [entry['label_id'] for entry in entries].count(1) == 9 and len(entries) == 23
        convert_labels([tmp_path / f'{number}.json'], 'labelme', tmp_path / f'{number}.lm.json')
        for ours, theirs in zip(
            load(tmp_path / f'{number}.lm.json')['shapes'], load(drawn_by_hand)['shapes'], strict=True
        ):
            assert ours['label'] == theirs['label']
            off = shapely.hausdorff_distance(shapely.Polygon(ours['points']), shapely.Polygon(theirs['points']))
            assert off < 2e-3  # theirs is rounded to a thousandth
    convert_labels([folder / 'R70C21.shp'], 'gpkg', tmp_path / 'f.gpkg')  # a CRS by Esri's name, without a code
    convert_labels([tmp_path / 'f.gpkg'], 'coco', tmp_path / 'f.json', raster=raster)
    assert load(tmp_path / 'f.json')['annotations'] == load(tmp_path / '0.json')['annotations']


def test_real_coco_there_and_back(real_data, tmp_path):
    first = real_data / 'coco_permissive33/instances.json'
    convert_labels([first], 'labelme', tmp_path / 'lm')
    convert_labels([tmp_path / 'lm'], 'coco', tmp_path / 'c.json')
    old, new = load(first), load(tmp_path / 'c.json')
    assert new['categories'] == old['categories'] and new['licenses'] == old['licenses'] and new['info'] == old['info']
    assert {entry['id']: entry for entry in new['images']} == {entry['id']: entry for entry in old['images']}
    found = {entry['id']: entry for entry in new['annotations']}
    assert len(found) == len(old['annotations']) == 246
    for entry in old['annotations']:
        again = found[entry['id']]
        assert all(again[key] == entry[key] for key in ('image_id', 'category_id', 'iscrowd'))
        if isinstance(entry['segmentation'], list):
            assert again['segmentation'] == entry['segmentation']
        else:
            packed = coco_mask.frPyObjects(entry['segmentation'], *entry['segmentation']['size'])
            assert again['segmentation']['counts'] == packed['counts'].decode()
            assert again['area'] == coco_mask.area(packed)  # counted anew: who edits an outline changes its area

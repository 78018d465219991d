"""A map out to be corrected and back: what nobody touched stays as it was, what somebody did is told by name."""

import csv
import json
import shutil

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.imagery.rasters import raster_info
from data_prep.labels.objects import load_objects
from data_prep.scenes import find_scenes
from tree_map.__main__ import main
from tree_map.reviewing.map_reading import read_maps
from tree_map.writing import write_map
from tree_map.writing.rings import in_pixels

from .drawn_map import SIDE, drawn_map

CLASSES = ('fallen_tree', 'snag')
NAME = 'stand 7 ü'
COUNT = 20


@pytest.fixture(scope='module')
def world(tmp_path_factory, write_raster):
    """A map (.gpkg, .json) with trees of several parts and with holes, and its raster."""
    folder = tmp_path_factory.mktemp('world')
    pixels = np.full((3, SIDE, SIDE), 90, np.uint8)
    write_raster(folder / 'scenes' / f'{NAME}.tif', pixels=pixels, compress='deflate')
    for suffix in ('.gpkg', '.json'):
        write_map(drawn_map(COUNT, classes=CLASSES), folder / f'map{suffix}')
    return folder


@pytest.fixture(scope='module')
def written(world):
    """Reviews of the map, made once; tests work on copies."""
    made = {}

    def make(*options):
        if options not in made:
            out = world / f'review {len(made)}'
            assert main(['review', str(world / 'map.gpkg'), '--scenes', str(world / 'scenes'), '--out', str(out),
                         *options]) == 0  # fmt: skip
            made[options] = out
        return made[options]

    return make


@pytest.fixture
def review(written, tmp_path, world):
    """A review of one's own, as deep in folders as the shared one."""

    def make(*options):
        shutil.copytree(written(*options), tmp_path / 'review')
        (tmp_path / 'scenes').symlink_to(world / 'scenes')
        return tmp_path / 'review'

    return make


def back(path, out, *options):
    return main(['review', '--back', str(path), '--out', str(out), *options])


def changes(out):
    return list(csv.DictReader((out / 'changes.csv').open(encoding='utf-8')))


def kinds(out):
    return {(row['tree_id'], row['kind']) for row in changes(out) if row['kind'] != 'kept'}


def objects(world, labels):
    (scene,) = find_scenes([world / 'scenes'], labels)
    found = load_objects(scene, raster_info(scene.raster))
    assert not found.dropped and not found.repaired
    return {item.object_id: (item.label, item.polygon.wkb) for item in found.objects}


def saved_by_labelme(path, version='6.3.1', edit=lambda shapes: shapes):
    """Write a file anew as LabelMe 5.5 and 6.3 do: unknown keys first, points from doubles, the image where wished."""
    content, own = json.loads(path.read_text()), ('points', 'label', 'group_id', 'description', 'shape_type', 'flags')
    shapes = [
        {**{key: value for key, value in shape.items() if key not in (*own, 'mask')}, 'label': shape['label'],
         'points': [(float(x), float(y)) for x, y in shape['points']], 'group_id': shape.get('group_id'),
         'description': shape.get('description') or '', 'shape_type': shape['shape_type'],
         'flags': shape.get('flags') or {}, 'mask': None}
        for shape in edit(content['shapes'])
    ]  # fmt: skip
    content |= {'version': version, 'shapes': shapes, 'imageData': 'aW1hZ2U=' if version < '6' else None}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2))


def shape_of(shapes, tree_id):
    return next(shape for shape in shapes if shape.get('id') == tree_id)


def test_labelme_files_hold_the_trees_of_the_map(world, written):
    folder = written()
    content = json.loads((folder / f'{NAME}.json').read_text())
    assert (folder / content['imagePath']).resolve() == world / 'scenes' / f'{NAME}.tif'
    assert {shape['id'] for shape in content['shapes']} == set(range(1, COUNT + 1))
    (scene_map,) = read_maps(world / 'map.gpkg')
    for outline, row in zip(in_pixels(scene_map), scene_map.trees.to_dict('records'), strict=True):
        own = [shape for shape in content['shapes'] if shape['id'] == row['tree_id']]
        area = shapely.union_all([shapely.Polygon(shape['points']) for shape in own])
        assert shapely.symmetric_difference(area, outline).area < 0.5
        assert {shape['label'] for shape in own} == {row['class']} and own[0]['score'] == row['score']
        assert len({shape['group_id'] for shape in own}) == 1 and (len(own) == 1) == (own[0]['group_id'] is None)


@pytest.mark.parametrize('options', [(), ('--format', 'coco'), ('--tiles', '800'), ('--tiles', '800', '--format',
    'coco'), ('--order', 'uncertain')], ids=' '.join)  # fmt: skip
def test_untouched_trees_come_back_to_the_last_digit(world, written, tmp_path, options):
    shared, out = written(), tmp_path / 'labels'
    assert back(shared, tmp_path / 'plain') == 0 and back(written(*options), out) == 0
    assert kinds(out) == set() and len(changes(out)) == COUNT
    assert objects(world, out) == objects(world, tmp_path / 'plain') and len(objects(world, out)) == COUNT


@pytest.mark.parametrize('version', ['5.5.0', '6.3.1'])
def test_editing_one_polygon_changes_exactly_that_one(world, review, tmp_path, version):
    folder = review()
    before, after = tmp_path / 'before', tmp_path / 'after'
    assert back(folder, before) == 0

    def edit(shapes):
        shape_of(shapes, 3)['points'][0][0] += 7.25  # a tree with a hole: one of its two rings
        return shapes

    saved_by_labelme(folder / f'{NAME}.json', version, edit)
    assert back(folder, after) == 0
    assert kinds(after) == {('3', 'moved')}
    was, now = objects(world, before), objects(world, after)
    assert list(was) == list(now) and len({name.rpartition('/')[2] for name in was}) == COUNT
    (changed,) = [name for name in was if was[name] != now[name]]
    row = next(row for row in changes(after) if row['tree_id'] == '3')
    a, b = (shapely.from_wkb(found[changed][1]) for found in (was, now))
    assert float(row['iou']) == pytest.approx(a.intersection(b).area / a.union(b).area, abs=1e-4) and a.area != b.area


def test_the_same_in_a_crop(world, review, tmp_path):
    folder = review('--tiles', '800')
    assert back(folder, tmp_path / 'before') == 0
    (file,) = [path for path in folder.glob('*.json') if any(s['id'] == 5 for s in read(path)['shapes'])]

    def edit(shapes):
        shape_of(shapes, 5)['points'][1][1] -= 3
        return shapes

    for path in folder.glob('*.json'):
        saved_by_labelme(path, edit=edit if path == file else lambda shapes: shapes)
    assert back(folder, tmp_path / 'after') == 0
    assert kinds(tmp_path / 'after') == {('5', 'moved')}
    was, now = objects(world, tmp_path / 'before'), objects(world, tmp_path / 'after')
    assert list(was) == list(now) and sum(was[name] != now[name] for name in was) == 1


def read(path):
    return json.loads(path.read_text())


def square(x, y, side=20):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def new_shape(points, label='snag', **more):
    return {'label': label, 'points': points, 'group_id': None, 'description': '', 'shape_type': 'polygon',
            'flags': {}, 'mask': None, **more}  # fmt: skip


edits = st.dictionaries(st.integers(1, COUNT), st.sampled_from(['move', 'delete', 'relabel', 'nothing']), max_size=8)
news = st.lists(st.sampled_from([(3 + 40 * n, 3) for n in range(20)]), unique=True, max_size=3)


@settings(max_examples=25)
@given(edits, news, st.integers(0, 99))
def test_the_report_names_exactly_what_was_edited(written, tmp_path_factory, wanted, places, seed):
    folder = tmp_path_factory.mktemp('edited')
    shutil.copytree(written(), folder / 'review')

    def edit(shapes):
        rng = np.random.default_rng(seed)
        for number, what in wanted.items():
            own = [shape for shape in shapes if shape['id'] == number]
            if what == 'delete':
                shapes = [shape for shape in shapes if shape['id'] != number]
            elif what == 'relabel':
                for shape in own:
                    shape['label'] = CLASSES[number % 2]
            elif what == 'move':
                point = own[0]['points'][rng.integers(len(own[0]['points']))]
                middle = np.mean(own[0]['points'], axis=0)
                point[:] = (np.array(point) + 0.2 * (np.array(point) - middle)).tolist()
        shapes += [new_shape(square(*place)) for place in places]
        rng.shuffle(shapes)
        return shapes

    saved_by_labelme(folder / 'review' / f'{NAME}.json', edit=edit)
    main(['review', '--back', str(folder / 'review'), '--out', str(folder / 'labels')])
    names = {'move': 'moved', 'delete': 'deleted', 'relabel': 'relabelled'}
    told = [(row['tree_id'], row['kind']) for row in changes(folder / 'labels') if row['kind'] != 'kept']
    expected = [(str(number), names[what]) for number, what in wanted.items() if what in names]
    assert sorted(told) == sorted(expected + [('', 'added')] * len(places))


def test_parts_stay_one_tree_and_groups_join_trees(world, review, tmp_path):
    folder, numbers = review(), {2: 'two parts', 3: 'a hole', 4: 'joined to 5'}

    def edit(shapes):
        shapes.append(new_shape(square(5, 5), 'snag', group_id=shape_of(shapes, 2)['group_id']))  # a third part
        for number in (1, 5):  # of one class
            shape_of(shapes, number)['group_id'] = 99
        return shapes

    saved_by_labelme(folder / f'{NAME}.json', edit=edit)
    assert len(numbers) == 3 and back(folder, tmp_path / 'labels') == 1  # the joined one is said
    assert {('2', 'moved')} < kinds(tmp_path / 'labels')
    gone = [row for row in changes(tmp_path / 'labels') if row['kind'] == 'deleted']
    assert [row['note'] for row in gone] in (['joined to tree 1'], ['joined to tree 5'])
    found = objects(world, tmp_path / 'labels')
    assert len(found) == COUNT - 1
    assert max(len(shapely.get_parts(shapely.from_wkb(wkb))) for _, wkb in found.values()) == 3


def test_a_copied_shape_is_a_new_tree(review, tmp_path):
    """LabelMe copies a shape with its unknown keys, the number of the tree among them."""
    folder = review()

    def edit(shapes):
        copy = json.loads(json.dumps(shape_of(shapes, 1)))
        copy['points'] = [[x * 0.5 + 3, y * 0.5 + 3] for x, y in copy['points']]
        return [copy, *shapes]

    saved_by_labelme(folder / f'{NAME}.json', edit=edit)
    assert back(folder, tmp_path / 'labels') == 0 and kinds(tmp_path / 'labels') == {('', 'added')}


def by_cvat(path, out, edit=lambda annotations: None, attributes=True):
    """What CVAT's COCO export makes of a file: new ids, two decimals, its own attributes and no unknown keys."""
    content = read(path)
    for number, entry in enumerate(content['annotations'], 101):
        entry['id'] = number
        entry['segmentation'] = [[round(value, 2) for value in ring] for ring in entry['segmentation']]
        kept = entry.pop('attributes') if attributes else {}
        entry['attributes'] = {'occluded': False, **kept}
        for key in set(entry) - {'id', 'image_id', 'category_id', 'segmentation', 'area', 'bbox', 'iscrowd',
                                 'attributes'}:  # fmt: skip
            del entry[key]
    edit(content['annotations'])
    content['annotations'].reverse()
    out.write_text(json.dumps({key: content[key] for key in ('images', 'annotations', 'categories', 'licenses')}))


@pytest.mark.parametrize('attributes', [True, False], ids=['numbers kept', 'numbers lost'])
def test_rounding_and_new_ids_are_no_edits(world, review, tmp_path, attributes):
    folder = review('--format', 'coco')

    def edit(annotations):
        ring = annotations[4]['segmentation'][0]
        ring[0], ring[1] = ring[0] + 4, ring[1] - 4

    by_cvat(folder / 'instances.json', tmp_path / 'plain.json', attributes=attributes)
    by_cvat(folder / 'instances.json', tmp_path / 'edited.json', edit, attributes)
    for name in ('plain', 'edited'):
        assert back(tmp_path / f'{name}.json', tmp_path / name, '--against', str(folder)) == 0
    assert kinds(tmp_path / 'plain') == set() and kinds(tmp_path / 'edited') == {('5', 'moved')}
    assert back(folder, tmp_path / 'unrounded') == 0
    was, now = objects(world, tmp_path / 'unrounded'), objects(world, tmp_path / 'edited')
    assert was == objects(world, tmp_path / 'plain')  # the digits of the map, not those of the tool
    assert sum(was[name] != now[name] for name in was) == 1


def test_a_map_edited_in_qgis(world, written, tmp_path):
    trees = gpd.read_file(world / 'map.gpkg', layer='trees')
    shutil.copy(world / 'map.gpkg', tmp_path / 'edited.gpkg')
    trees.loc[6, 'geometry'] = shapely.affinity.translate(trees.geometry[6], 1.0, 0)
    trees['seam_joined'] = trees['seam_joined'].astype('boolean')  # stays so with a tree that does not say it
    new = gpd.GeoDataFrame({'class': ['snag']}, geometry=[shapely.box(500_001, 5_499_990, 500_003, 5_499_999)])
    trees = gpd.GeoDataFrame(gpd.pd.concat([trees.drop(index=9), new.set_crs(trees.crs)]), crs=trees.crs)
    trees.to_file(tmp_path / 'edited.gpkg', layer='trees')
    for against, out in ((world / 'map.gpkg', 'a'), (world / 'map.json', 'b'), (written(), 'c')):
        assert back(tmp_path / 'edited.gpkg', tmp_path / out, '--against', str(against)) == 0
        assert kinds(tmp_path / out) == {('7', 'moved'), ('10', 'deleted'), ('', 'added')}
    assert objects(world, tmp_path / 'a') == objects(world, tmp_path / 'c')
    assert back(tmp_path / 'edited.gpkg', tmp_path / 'd') == 2


def test_corrected_labels_are_tiled(world, written, tmp_path):
    from data_prep.__main__ import main as data_prep

    assert back(written(), tmp_path / 'labels') == 0
    code = data_prep(['tile', str(world / 'scenes'), '--labels', str(tmp_path / 'labels'), '--out',
                      str(tmp_path / 'data'), '--tile-size', '1000'])  # fmt: skip
    report = read(tmp_path / 'data' / 'report.json')
    assert code in (0, 1) and report['totals']['objects'] == COUNT

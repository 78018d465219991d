"""COCO files as labels of rasters: found by the names they hold, run lengths exact, crowds passed over and said."""

import json

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from data_prep.errors import DataError
from data_prep.imagery.rasters import raster_info
from data_prep.labels.objects import load_objects
from data_prep.labels.rle import box_mask, from_parts, run_lengths, to_parts
from data_prep.scenes import Scene, find_scenes

TREE, OTHER = [10.5, 10, 30, 12, 28, 20], [50, 30, 70, 30, 70, 40, 50, 40]


def encode(mask):
    packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': packed['size'], 'counts': packed['counts'].decode('ascii')}


def decode(segmentation):
    return coco_mask.decode(coco_mask.frPyObjects(segmentation, *segmentation['size'])
                            if isinstance(segmentation['counts'], list) else segmentation).astype(bool)  # fmt: skip


def annotation(number, segmentation, **changes):
    return {'id': number, 'image_id': 1, 'category_id': 1, 'segmentation': segmentation, 'iscrowd': 0, **changes}


def write_coco(path, annotations, images=(('s.tif', 96, 64),), categories=('tree',)):
    content = {
        'images': [{'id': n, 'file_name': name, 'width': w, 'height': h} for n, (name, w, h) in enumerate(images, 1)],
        'annotations': annotations,
        'categories': [{'id': n, 'name': name} for n, name in enumerate(categories, 1)],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def load(tmp_path, write_raster):
    def run(annotations, **options):
        raster = write_raster(tmp_path / 's.tif')
        labels = write_coco(tmp_path / 'labels.json', annotations, **options)
        return load_objects(Scene('s', raster, labels), raster_info(raster))

    return run


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=24)), st.booleans())
def test_masks_become_outlines_of_the_same_pixels_and_back(mask, compressed):
    segmentation = encode(mask)
    if not compressed:
        changes = np.flatnonzero(np.diff(mask.T.ravel(), prepend=False, append=False))
        segmentation['counts'] = np.diff([0, *changes, mask.size]).tolist()
    parts = to_parts(segmentation)
    assert sum(shapely.Polygon(part[0], part[1:]).area for part in parts) == mask.sum()
    assert np.array_equal(decode(from_parts(parts, mask.shape[::-1])) if parts else np.zeros_like(mask), mask)
    if parts:  # to the letter as pycocotools writes them: no runs of length 0
        assert from_parts(parts, mask.shape[::-1])['counts'] == encode(mask)['counts']
    box, (x, y) = box_mask(segmentation)
    assert np.array_equal(box, mask[y : y + box.shape[0], x : x + box.shape[1]]) and box.sum() == mask.sum()


@given(st.lists(st.integers(0, 2**24 - 7), min_size=1, max_size=40))
def test_run_lengths_are_unpacked_as_pycocotools_packs_them(counts):
    # pycocotools gives each run six characters of memory, and none to the zero behind the last: runs that all take six,
    # or one that takes seven, are written past its end. Below 2^24 they take five.
    counts[0] += -sum(counts) % 7  # some height that divides the sum
    size = [7, max(1, sum(counts) // 7)]
    if sum(counts) == 0:
        counts, size = [3, 4, 7], [7, 2]
    packed = coco_mask.frPyObjects({'size': size, 'counts': counts}, *size)
    lengths, size_wh = run_lengths({'size': size, 'counts': packed['counts'].decode('ascii')})
    assert lengths.tolist() == counts and size_wh == (size[1], size[0])


@pytest.mark.parametrize(
    'broken',
    [
        {'size': [4, 4], 'counts': [3, 4]},
        {'size': [4, 4], 'counts': [3, 40]},
        {'size': [4, 4], 'counts': [20, -4]},
        {'size': [4, 4], 'counts': [16.0]},
        {'size': [4, 4], 'counts': None},
        {'size': [4, 4], 'counts': 'o'},
        {'size': [4, 4], 'counts': 'o' * 10_000},
        {'size': [4, 4], 'counts': 'é '},
        {'size': [4, 0], 'counts': []},
        {'size': '44', 'counts': [16]},
        {'counts': [16]},
    ],
)
def test_broken_run_lengths_are_refused(broken):
    with pytest.raises(ValueError, match='RLE'):
        to_parts(broken)


def test_rings_run_lengths_and_parts_land_where_they_were_drawn(load):
    mask = np.zeros((64, 96), bool)
    mask[20:30, 5:25] = True
    mask[23:26, 10:15] = False
    two = [[60, 5, 70, 5, 70, 9, 60, 9], [80, 5, 85, 5, 85, 9, 80, 9]]
    found = load([annotation(7, [TREE]), annotation(3, encode(mask)), annotation(4, two)])
    assert [item.object_id for item in found.objects] == ['s/1', 's/2', 's/3']
    first, second, third = (item.polygon for item in found.objects)
    assert shapely.equals(first, shapely.Polygon(np.reshape(TREE, (-1, 2))))
    assert second.area == mask.sum() and len(second.interiors) == 1 and second.bounds == (5, 20, 25, 30)
    assert shapely.equals(third, shapely.union(shapely.box(60, 5, 70, 9), shapely.box(80, 5, 85, 9)))


def test_crowds_are_skipped_and_what_cannot_be_used_is_dropped(load):
    mask = np.zeros((64, 96), bool)
    found = load([
        annotation(1, [TREE]),
        annotation(2, encode(~mask), iscrowd=1),
        annotation(3, []),
        annotation(4, [[1, 2, 3]]),
        annotation(5, [[1, 2, 3, 4]]),
        annotation(6, [[1, 2, float('nan'), 4, 5, 6]]),
        annotation(7, encode(mask)),
        annotation(8, {'size': [64, 96], 'counts': [5]}),
        annotation(9, {'size': [96, 64], 'counts': [96 * 64]}),
        annotation(10, 'text'),
        annotation(11, [[10**400, 2, 3, 4, 5, 6]]),
        annotation(12, [[1, 1, 2, 2], OTHER]),
    ])  # fmt: skip
    assert [item.feature for item in found.objects] == [1, 12]
    assert [(note.file, note.feature) for note in found.skipped] == [('labels.json', 2)]
    assert 'crowd' in found.skipped[0].reason
    reasons = {note.feature: note.reason for note in found.dropped}
    assert sorted(reasons) == [3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert 'box without' in reasons[3] and 'NaN' in reasons[6] and 'empty' in reasons[7] and 'counts 5' in reasons[8]


def test_categories_give_the_labels_whatever_their_ids(load, tmp_path):
    found = load([annotation(1, [TREE], category_id=2)], categories=('tree', 'log'))
    assert found.objects[0].label == 'log'
    with pytest.raises(DataError, match=r'annotation 1 names category 9, which the file does not list'):
        load([annotation(1, [TREE], category_id=9)])


def test_a_file_for_many_rasters_labels_each_with_its_own(tmp_path, write_raster, data_prep):
    for name in ('a.tif', 'b.tif', 'c.tif'):
        write_raster(tmp_path / 'in' / name)
    images = [(f'some/folder\\{name}', 96, 64) for name in ('b.tif', 'a.tif', 'elsewhere.tif')]
    coco = [annotation(1, [TREE]), annotation(2, [OTHER], image_id=2), annotation(3, [TREE], image_id=3)]
    write_coco(tmp_path / 'in/all.json', coco, images=images)
    with pytest.raises(DataError, match=r'c\.tif has no label file .* no COCO file'):
        find_scenes([tmp_path / 'in'])
    beside = find_scenes([tmp_path / 'in'], unlabelled='empty')
    given = find_scenes([tmp_path / 'in'], tmp_path / 'in/all.json', unlabelled='empty')
    assert beside == given and [scene.labels is not None for scene in beside] == [True, True, False]
    objects = [load_objects(scene, raster_info(scene.raster)).objects for scene in beside[:2]]
    assert [[(item.object_id, item.polygon.bounds) for item in found] for found in objects] == [
        [('a/2', (50, 30, 70, 40))],
        [('b/1', (10.5, 10, 30, 20))],
    ]


def test_a_changed_file_is_read_again(load):
    assert len(load([annotation(1, [TREE])]).objects) == 1
    assert len(load([annotation(1, [TREE]), annotation(2, [OTHER])]).objects) == 2


def test_own_label_file_goes_before_coco_and_two_coco_files_are_refused(tmp_path, write_raster, write_labelme):
    write_raster(tmp_path / 's.tif')
    write_coco(tmp_path / 's_coco.json', [annotation(1, [TREE])])
    assert find_scenes([tmp_path / 's.tif'])[0].labels == tmp_path / 's_coco.json'
    write_coco(tmp_path / 'again.json', [annotation(1, [TREE])])
    with pytest.raises(DataError, match=r'one label file; got .*again\.json and .*s_coco\.json'):
        find_scenes([tmp_path])
    write_labelme(tmp_path / 's.json', [])
    assert find_scenes([tmp_path])[0].labels == tmp_path / 's.json'


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'images': [('other.tif', 96, 64)]}, 'must name s.tif once'),
        ({'images': [('s.tif', 64, 96)]}, 'was drawn on 64 x 96 px'),
        ({'images': [('a/s.tif', 96, 64), ('b/s.tif', 96, 64)]}, 'it does 2 times'),
        ({'annotations': [annotation(1, [TREE], image_id=5)]}, 'names image 5'),
        ({'annotations': ['text']}, "'annotations' must be a list of objects"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, write_raster, data_prep, change, words):
    write_raster(tmp_path / 's.tif')
    write_coco(tmp_path / 'l.json', **{'annotations': [annotation(1, [TREE])], **change})
    code, _, stderr = data_prep('tile', tmp_path / 's.tif', '--labels', tmp_path / 'l.json', '--out', tmp_path / 'o')
    assert code == 2 and stderr.count('\n') == 1 and words in stderr
    assert not (tmp_path / 'o').exists()


def test_tiles_from_coco_equal_those_from_labelme(tmp_path, write_raster, write_labelme, data_prep):
    write_raster(tmp_path / 's.tif')
    trees = [TREE, OTHER, [5, 40, 15, 40, 15, 60]]
    write_coco(tmp_path / 'coco.json', [annotation(n, [tree]) for n, tree in enumerate(trees, 1)]
               + [annotation(9, [TREE], iscrowd=1)])  # fmt: skip
    write_labelme(tmp_path / 'lm.json', [('tree', np.reshape(tree, (-1, 2)).tolist()) for tree in trees])
    files = []
    for name in ('coco', 'lm'):
        options = ('--tile-size', 32, '--split', '1,0,0', '--split-by', 'scene')
        code, _, stderr = data_prep('tile', tmp_path / 's.tif', '--labels', tmp_path / f'{name}.json', '--out',
                                    tmp_path / name, *options)  # fmt: skip
        assert code == 0, stderr
        files.append((tmp_path / name / 'annotations/instances_train.json').read_bytes())
    assert files[0] == files[1]
    report = json.loads((tmp_path / 'coco/report.json').read_text())
    assert report['totals']['skipped'] == 1 and 'crowd' in report['scenes']['s']['skipped'][0]['reason']


def test_real_files_give_the_same_objects_in_every_format(real_data):
    differ = 7  # of the Danish crowns: they cross themselves, and were repaired in the COCO file
    for folder, raster, coco, other in (
        ('denmark_tree_crowns', 'scene0_rgb.tif', 'scene0_coco.json', 'scene0_labelme.json'),
        ('finland_deadwood', 'R70C21.tif', 'derived/R70C21_coco.json', 'derived/R70C21_labelme.json'),
    ):
        info = raster_info(real_data / folder / raster)
        found = [load_objects(Scene('s', info.path, real_data / folder / name), info) for name in (coco, other)]
        first, second = ({item.object_id: item for item in one.objects} for one in found)
        assert first.keys() == second.keys() and len(first) in (1159, 23)
        assert all(first[key].label == second[key].label for key in first)
        frame = shapely.box(0, 0, info.width, info.height)  # the Danish COCO file is clipped, the other as drawn
        seen = [[shapely.intersection(one[key].polygon, frame) for key in first] for one in (first, second)]
        off = shapely.area(shapely.symmetric_difference(*map(np.array, seen)))
        assert (off > 0.01).sum() <= (0 if len(off) == 23 else differ)


def test_real_photos_with_their_coco_file(real_data, data_prep, tmp_path):
    folder = real_data / 'coco_permissive33'
    code, stdout, stderr = data_prep(
        'tile', folder / 'images', '--labels', folder / 'instances.json', '--out', tmp_path / 'o', '--json',
        '--tile-size', 640, '--split', '1,0,0',
    )  # fmt: skip
    assert code == 0, stderr
    totals = json.loads(stdout)['totals']
    assert totals['objects'] == 243 and totals['skipped'] == 3 and totals['dropped'] == 0

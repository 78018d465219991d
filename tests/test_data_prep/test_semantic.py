"""IDD's layout becomes COCO files of classes and maps; what is wrong in it is one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data_prep.semantic.classes import FINE, MIDDLE, categories, drawn_id

SIZE_WH = 12, 8


def polygon(label, x0, y0, x1, y1, **more):
    return dict(label=label, polygon=[[x0, y0], [x1, y0], [x1, y1], [x0, y1]], **more)


def write_polygons(path, objects, size_wh=SIZE_WH):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(imgWidth=size_wh[0], imgHeight=size_wh[1], objects=objects)))


def write_image(path, size_wh=SIZE_WH):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size_wh[::-1], 3), 90, np.uint8)).save(path)


def write_map(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).save(path)


@pytest.fixture
def idd(tmp_path):
    """Two drives: one frame as polygons, one as a map; a test split without labels; frames of one name."""
    for split, drive, ending in (
        ('train', '7', 'png'),
        ('train', '8', 'jpg'),
        ('val', '9', 'png'),
        ('test', '3', 'png'),
    ):
        write_image(tmp_path / f'leftImg8bit/{split}/{drive}/frame1_leftImg8bit.{ending}')
    street = [polygon('sky', 0, 0, 11, 7), polygon('road', 0, 4, 11, 7), polygon('cargroup', 2, 3, 5, 6),
              polygon('ego vehicle', 0, 7, 11, 7), polygon('trailer', 8, 5, 9, 6, deleted=1)]  # fmt: skip
    write_polygons(tmp_path / 'gtFine/train/7/frame1_gtFine_polygons.json', street)
    values = np.full(SIZE_WH[::-1], 255)
    values[2:5, 3:9] = 10  # truck
    write_map(tmp_path / 'gtFine/train/8/frame1_gtFine_labellevel3Ids.png', values)
    write_map(tmp_path / 'gtFine/val/9/frame1_gtFine_labellevel3Ids.png', np.zeros(SIZE_WH[::-1]))
    return tmp_path


def read(path):
    return json.loads(path.read_text())


def shown(coco):
    """(file, class, area, box) of each annotation."""
    names = {entry['id']: entry['name'] for entry in coco['categories']}
    files = {image['id']: image['file_name'] for image in coco['images']}
    return [(files[a['image_id']], names[a['category_id']], a['area'], a['bbox']) for a in coco['annotations']]


def test_images_maps_and_classes_by_hand(data_prep, idd):
    code, out, err = data_prep('semantic', idd)
    assert (code, err) == (0, ''), err
    assert '1 label maps drawn from polygons' in out and 'semantic_test' not in out
    assert sorted(path.name for path in (idd / 'annotations').iterdir()) == ['semantic_train.json', 'semantic_val.json']
    coco = read(idd / 'annotations/semantic_train.json')
    first, second = (f'leftImg8bit/train/{name}' for name in ('7/frame1_leftImg8bit.png', '8/frame1_leftImg8bit.jpg'))
    # Later polygons lie over earlier ones, their edges included; the last row is the car's own bonnet: void.
    assert shown(coco) == [
        (first, 'road', 3 * 12 - 3 * 4, [0, 4, 12, 3]),
        (first, 'car', 4 * 4, [2, 3, 4, 4]),
        (first, 'sky', 4 * 12 - 4, [0, 0, 12, 4]),
        (second, 'truck', 18, [3, 2, 6, 3]),
    ]
    image = coco['images'][0]
    assert (image['width'], image['height']) == SIZE_WH
    drawn = np.array(Image.open(idd / image['seg_file']))
    assert drawn[7].tolist() == [255] * 12 and drawn[4, 2] == 9
    assert coco['categories'][10] == dict(id=11, name='truck', supercategory='vehicles', map_ids=[10], color=[0, 0, 70])


def test_maps_are_those_that_pillow_draws_in_order(data_prep, idd):
    """A slanted outline, whose edge pixels differ from one rasteriser to the next."""
    ring = [[1.4, 0.6], [10.2, 3.1], [6.7, 7.2], [2.2, 5.9]]
    path = idd / 'gtFine/train/7/frame1_gtFine_polygons.json'
    write_polygons(path, [dict(label='road', polygon=ring), dict(label='curb', polygon=ring[:2])])
    assert data_prep('semantic', idd)[0] == 0
    picture = Image.new('L', SIZE_WH, 255)
    ImageDraw.Draw(picture).polygon([tuple(point) for point in ring], fill=0)
    found = np.array(Image.open(path.with_name('frame1_gtFine_labellevel3Ids.png')))
    assert (found == np.array(picture)).all()


@pytest.mark.parametrize(('level', 'count', 'name', 'area'), [(2, 16, 'large vehicle', 18), (1, 7, 'vehicles', 18)])
def test_coarser_levels_are_read_from_the_same_maps(data_prep, idd, level, count, name, area):
    assert data_prep('semantic', idd, '--level', level)[0] == 0
    coco = read(idd / 'annotations/semantic_train.json')
    assert len(coco['categories']) == count
    assert (coco['images'][1]['file_name'], name, area, [3, 2, 6, 3]) in shown(coco)


def test_each_id_of_a_map_belongs_to_one_class_on_every_level():
    for level, count in ((3, 26), (2, 16), (1, 7)):
        entries = categories(level, 3)
        assert [entry['id'] for entry in entries] == list(range(1, count + 1))
        assert sorted(value for entry in entries for value in entry['map_ids']) == list(range(26))
        assert len({entry['name'] for entry in entries}) == count
    assert [entry['map_ids'] for entry in categories(1, 1)] == [[value] for value in range(7)]
    assert all(MIDDLE[FINE[value][1]][1] == next(i for i, e in enumerate(categories(1, 3)) if value in e['map_ids'])
               for value in range(26))  # fmt: skip


def test_labels_that_share_a_class():
    pairs = [('parking', 1), ('tunnel', 23), ('polegroup', 20), ('animal', 4), ('train', 12), ('license plate', 255)]
    assert [drawn_id(label) for label, _ in pairs] == [value for _, value in pairs]
    assert drawn_id('spaceship') is None


def test_a_label_that_idd_does_not_have_is_void_and_said(data_prep, idd):
    write_polygons(idd / 'gtFine/train/7/frame1_gtFine_polygons.json', [polygon('spaceship', 0, 0, 11, 7)])
    code, out, _ = data_prep('semantic', idd)
    assert code == 1 and 'labels that IDD does not have: spaceship' in out
    assert 'frame1_leftImg8bit.png' not in str(shown(read(idd / 'annotations/semantic_train.json')))


def test_idd_lite_has_maps_of_level_1(data_prep, tmp_path):
    write_image(tmp_path / 'leftImg8bit/train/0/024541_image.jpg')
    write_map(tmp_path / 'gtFine/train/0/024541_label.png', np.full(SIZE_WH[::-1], 3))
    write_map(tmp_path / 'gtFine/train/0/024541_inst_label.png', np.full(SIZE_WH[::-1], 77))
    code, out, err = data_prep('semantic', tmp_path)
    assert code == 0 and 'IDD-Lite, level 1, 7 classes' in out, err
    coco = read(tmp_path / 'annotations/semantic_train.json')
    assert [row[1:] for row in shown(coco)] == [('vehicles', 96, [0, 0, 12, 8])]
    code, _, err = data_prep('semantic', tmp_path, '--level', 3)
    assert code == 2 and '--level 3 must be at most 1' in err


def test_again_draws_nothing_and_writes_the_same_bytes(data_prep, idd):
    assert data_prep('semantic', idd)[0] == 0
    file = idd / 'annotations/semantic_train.json'
    before = file.read_bytes()
    code, out, _ = data_prep('semantic', idd, '--json')
    assert code == 0 and json.loads(out)[0]['drawn'] == 0
    assert file.read_bytes() == before


def spoil_size(root):
    write_map(root / 'gtFine/val/9/frame1_gtFine_labellevel3Ids.png', np.zeros((5, 5)))


def spoil_ids(root):
    write_map(root / 'gtFine/val/9/frame1_gtFine_labellevel3Ids.png', np.full(SIZE_WH[::-1], 29))


def spoil_colours(root):
    write_image(root / 'gtFine/val/9/frame1_gtFine_labellevel3Ids.png')


def spoil_polygons(root):
    write_polygons(root / 'gtFine/train/7/frame1_gtFine_polygons.json', [dict(label='road', polygon=[[1, 'x']])])


def spoil_polygon_size(root):
    write_polygons(root / 'gtFine/train/7/frame1_gtFine_polygons.json', [], (99, 8))


@pytest.mark.parametrize(
    ('spoil', 'said'),
    [
        (lambda root: shutil.rmtree(root / 'leftImg8bit'), 'must be laid out as IDD is; looked for leftImg8bit/SPLIT'),
        (lambda root: shutil.rmtree(root / 'gtFine/train/8'), '1 of 2 have none, the first leftImg8bit/train/8/frame1'),
        (lambda root: shutil.rmtree(root / 'gtFine/val'), 'every image of val must have a label'),
        (spoil_size, 'must be as large as its image, 12 x 8 px; it is 5 x 5'),
        (spoil_ids, 'must hold class ids from 0 to 25 and 255 for void; it holds 29'),
        (spoil_colours, 'must be a label map of one band'),
        (spoil_polygons, 'object 1: must have a label and a polygon'),
        (spoil_polygon_size, 'is for an image of 99 x 8 px, its image has 12 x 8'),
    ],
)
def test_what_is_wrong_is_one_line(data_prep, idd, spoil, said):
    spoil(idd)
    code, _, err = data_prep('semantic', idd)
    assert code == 2 and said in err and len(err.strip().splitlines()) == 1, err
    assert not list(Path(idd).rglob('.*.png'))  # no half-written map


def test_the_best_are_chosen_and_shared_out(data_prep, idd):
    """Two classes and a rare one against one; every image in one split, ids and categories kept."""
    for number in range(20):
        write_image(idd / f'leftImg8bit/train/8/f{number:02d}_leftImg8bit.png')
        write_map(idd / f'gtFine/train/8/f{number:02d}_gtFine_labellevel3Ids.png', np.full(SIZE_WH[::-1], 10))
    assert data_prep('semantic', idd)[0] == 0
    whole, out = idd / 'annotations/semantic_train.json', idd / 'annotations/best.json'
    options = ['--n', 20, '--weights', '0.4,0.4,0.2', '--split', '0.855,0.045,0.1', '--out', out]
    code, text, err = data_prep('select', whole, *options)
    assert code == 0, err
    assert 'best_train.json 17, best_val.json 1, best_test.json 2 images; 1 sub-folders' in text
    best = read(out)
    ranked = sorted(best['images'], key=lambda image: image['selection']['rank'])
    assert ranked[0]['file_name'] == 'leftImg8bit/train/7/frame1_leftImg8bit.png'
    assert (ranked[0]['selection']['cds'], ranked[0]['selection']['score']) == (3, 1.0)
    parts = [read(idd / f'annotations/best_{split}.json') for split in ('train', 'val', 'test')]
    names = [{image['file_name'] for image in part['images']} for part in parts]
    assert sum(map(len, names)) == len(set.union(*names)) == 20
    assert sorted(a['id'] for part in parts for a in part['annotations']) == [a['id'] for a in best['annotations']]
    assert all(part['categories'] == best['categories'] for part in parts)
    before = [path.read_bytes() for path in sorted(idd.glob('annotations/best_*.json'))]
    assert data_prep('select', whole, *options)[0] == 2  # nothing is overwritten unasked
    assert data_prep('select', whole, *options, '--overwrite')[0] == 0
    assert [path.read_bytes() for path in sorted(idd.glob('annotations/best_*.json'))] == before
    assert data_prep('select', whole, *options, '--overwrite', '--seed', 1)[0] == 0
    assert [path.read_bytes() for path in sorted(idd.glob('annotations/best_*.json'))] != before


@pytest.mark.parametrize(
    ('total', 'shares', 'counts'),
    [(1500, (0.855, 0.045, 0.1), [1283, 67, 150]), (10, (0.855, 0.045, 0.1), [8, 1, 1]), (3, (1, 0, 0), [3, 0, 0])],
)
def test_shares_become_whole_images(total, shares, counts):
    from data_prep.select.splitting import sizes

    assert sizes(total, shares) == counts

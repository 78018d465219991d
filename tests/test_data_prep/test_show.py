"""What `show` draws, read back from the PNGs, and the page it makes."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('matplotlib')
pytest.importorskip('jinja2')
rasterio = pytest.importorskip('rasterio')
from pycocotools import mask as rle  # noqa: E402

from data_prep.show.coco_input import read_splits  # noqa: E402
from data_prep.show.panels import CROWD, GAP_PX, PALETTE, box_panel, draw_panels, instance_colours, outline  # noqa: E402
from data_prep.show.samples import choose  # noqa: E402
from data_prep.show.segmentation import draw_mask  # noqa: E402
from data_prep.show.tile_images import resize, view_size  # noqa: E402

WIDTH, HEIGHT = 100, 80
GREY = 120


def read_png(path):
    with rasterio.open(path) as dataset:
        return dataset.read().transpose(1, 2, 0)


def panels(path, width=WIDTH):
    picture = read_png(path)
    assert picture.shape[1] == 3 * width + 2 * GAP_PX
    return [picture[:, n * (width + GAP_PX) : n * (width + GAP_PX) + width] for n in range(3)]


def square(x0, y0, x1, y1):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y0:y1, x0:x1] = 1
    return mask


def compressed(mask):
    encoded = rle.encode(np.asfortranarray(mask))
    return {'size': encoded['size'], 'counts': encoded['counts'].decode('ascii')}


def uncompressed(mask):
    flat = mask.ravel(order='F')
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1), len(flat)]
    return {'size': list(mask.shape), 'counts': [int(n) for n in np.diff(edges)]}  # the first pixel is no object's


@pytest.fixture
def coco(tmp_path, write_raster):
    """A COCO file with one annotation of every kind on an even grey image, and an image without any."""
    for name in ('a.png', 'b.png'):
        pixels = np.full((3, HEIGHT, WIDTH), GREY, np.uint8)
        write_raster(tmp_path / 'photos/images' / name, pixels=pixels, driver='PNG', crs=None, transform=None)

    def part(number, category, box, segmentation, **more):
        x0, y0, x1, y1 = box
        return {'id': number, 'image_id': 1, 'category_id': category, 'bbox': [x0, y0, x1 - x0, y1 - y0],
                'area': (x1 - x0) * (y1 - y0), 'iscrowd': 0, 'segmentation': segmentation, **more}  # fmt: skip

    boxes = [(10, 10, 30, 20), (50, 10, 60, 40), (10, 50, 20, 70), (60, 50, 90, 70)]
    images = [
        {'id': n, 'file_name': name, 'width': WIDTH, 'height': HEIGHT} for n, name in ((1, 'a.png'), (2, 'b.png'))
    ]
    content = {
        'images': images,
        'categories': [{'id': 1, 'name': 'log'}, {'id': 7, 'name': 'root <plate> & "crown"'}],
        'annotations': [
            part(1, 1, boxes[0], [[10, 10, 30, 10, 30, 20, 10, 20]], visible_fraction=0.6),
            part(2, 1, boxes[1], compressed(square(*boxes[1]))),
            part(3, 7, boxes[2], uncompressed(square(*boxes[2]))),
            part(4, 1, boxes[3], uncompressed(square(*boxes[3])), iscrowd=1),
        ],
    }

    def write(change=lambda content: None):
        change(content)
        path = tmp_path / 'photos/instances.json'
        path.write_text(json.dumps(content))
        return path

    write.boxes = boxes
    return write


@pytest.fixture
def show(data_prep, tmp_path):
    def run(*argv):
        out = tmp_path / 'gallery/view'
        code, stdout, stderr = data_prep('show', *argv, '--out', out)
        assert (code, stderr) == (0, ''), stderr
        assert stdout.count('\n') == 1
        return out

    return run


def test_every_kind_of_mask_is_drawn_where_it_lies_and_nowhere_else(show, coco):
    out = show(coco(), '--max-side', WIDTH, '--tiles', 'a')
    image, masks, _ = panels(out / 'tiles/0001_a.png')
    assert (image == GREY).all()
    covered = np.zeros((HEIGHT, WIDTH), bool)
    for (x0, y0, x1, y1), crowd in zip(coco.boxes, (False, False, False, True), strict=True):
        covered[y0:y1, x0:x1] = True
        inside = masks[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1].reshape(-1, 3)
        edge = masks[y0, x0]
        assert (masks[y0, x0:x1] == edge).all() and (masks[y0:y1, x1 - 1] == edge).all()
        if crowd:
            assert (edge == CROWD).all()
            changed = (inside != GREY).any(axis=1)
            assert 0.3 < changed.mean() < 0.7  # hatched
        else:
            assert edge.tolist() in PALETTE.tolist()
            assert (np.abs(inside - (0.55 * GREY + 0.45 * edge)) <= 0.5).all()
    assert (masks[~covered] == GREY).all()


def test_small_tiles_are_magnified_with_sharp_masks(show, coco):
    out = show(coco(), '--max-side', 2 * WIDTH, '--tiles', 'a.png')
    _, masks, _ = panels(out / 'tiles/0001_a.png', 2 * WIDTH)
    changed = (masks != GREY).any(axis=2)
    assert changed[20:40, 20:60].all() and not changed[19, :].any() and not changed[20:40, 18:20].any()
    assert changed[20:80, 100:120].all() and not changed[82:98].any()


def test_large_images_are_shrunk(show, coco):
    out = show(coco(), '--max-side', 64, '--tiles', 'a.png')
    image, masks, _ = panels(out / 'tiles/0001_a.png', 64)
    assert image.shape[:2] == (51, 64) and (image == GREY).all()
    assert (masks[10, 35] != GREY).any() and (masks[10, 45] == GREY).all()


class Page(HTMLParser):
    """Links, pictures and what each figure says of itself."""

    def __init__(self, text):
        super().__init__()
        self.figures, self.pictures, self.links, self.text = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == 'figure':
            self.figures.append((attrs['data-split'], json.loads(attrs['data-classes'])))
        self.pictures += [attrs['src']] if 'src' in attrs else []
        self.links += [attrs['href']] if 'href' in attrs else []

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_lists_each_tile_once_and_reaches_nothing_outside(show, coco):
    out = show(coco())
    text = (out / 'index.html').read_text()
    page = Page(text)
    assert page.pictures == ['tiles/0001_a.png', 'tiles/0002_b.png'] and page.links == ['contact_sheet_01.png']
    assert all((out / name).is_file() for name in page.pictures + page.links)
    assert page.figures == [('instances', ['log', 'root <plate> & "crown"']), ('instances', [])]
    assert '<plate>' not in text and not re.search(r'https?:|//[a-z]|@import|url\(', text)
    assert 'ArrowRight' in text and 'no object' in ''.join(page.text)
    assert sorted(os.listdir(out)) == ['TRACKING.json', 'contact_sheet_01.png', 'index.html', 'tiles']
    assert sorted(os.listdir(out.parent)) == ['view']


def test_a_data_set_shows_every_split_and_its_pixels(show, data_prep, scenes, tmp_path):
    trees = tmp_path / 'trees'
    assert data_prep('tile', scenes, '--out', trees, '--tile-size', 64)[0] == 0
    out = show(trees, '--n', 100, '--columns', 3, '--max-side', 64)
    names = []
    for split in ('train', 'val', 'test'):
        content = json.loads((trees / f'annotations/instances_{split}.json').read_text())
        names += [(split, entry['file_name']) for entry in sorted(content['images'], key=lambda e: e['file_name'])]
    page = Page((out / 'index.html').read_text())
    assert [split for split, _ in page.figures] == [split for split, _ in names]
    for picture, (split, name) in zip(page.pictures, names, strict=True):
        original = read_png(trees / 'images' / split / name)
        image = panels(out / picture, 64)[0]
        assert (image == original).all()
    assert len(page.links) == -(-len(names) // 12)


def test_without_image_files_tiles_are_read_from_their_scene(data_prep, scenes, tmp_path):
    trees, seen = tmp_path / 'trees', []
    assert data_prep('tile', scenes, '--out', trees, '--tile-size', 64)[0] == 0
    for name in ('files', 'windows'):
        assert data_prep('show', trees, '--out', tmp_path / name, '--n', 5)[0] == 0
        seen.append([(path.name, path.read_bytes()) for path in sorted((tmp_path / name / 'tiles').iterdir())])
        if (trees / 'images').is_dir():
            (trees / 'images').rename(tmp_path / 'elsewhere')
    assert seen[0] == seen[1] and len(seen[0]) == 5


def test_the_seed_chooses_and_repeats(data_prep, scenes, tmp_path):
    trees = tmp_path / 'trees'
    assert data_prep('tile', scenes, '--out', trees, '--tile-size', 64)[0] == 0

    splits = read_splits([trees])

    def chosen(count, seed=0, **asked):
        return [f'{item.split.name}/{item.entry["file_name"]}' for item in choose(splits, count, seed, **asked)]

    first = chosen(4)
    assert len(first) == 4 and first == chosen(4) and first != chosen(4, seed=1)
    assert set(first) < set(chosen(5)) and set(chosen(99, classes=['tree'])) < set(chosen(99))
    assert chosen(1, tiles=[first[1].split('/')[1]]) == [first[1]]
    view = tmp_path / 'view'
    assert data_prep('show', trees, '--out', view, '--split', 'val', '--n', 3, '--max-side', 64)[0] == 0
    names = json.loads((view / 'TRACKING.json').read_text())['tiles']
    assert len(names) == 3 and all(name.startswith('val/') for name in names)


@pytest.mark.parametrize('dtype', ['uint16', 'float32'])
def test_images_of_more_than_8_bits_are_stretched(show, coco, write_raster, dtype):
    path = coco(lambda content: content['images'][0].update(file_name='deep.tif'))
    ramp = np.tile(np.linspace(1000, 3000, WIDTH), (1, HEIGHT, 1)).astype(dtype)
    write_raster(path.parent / 'deep.tif', pixels=ramp)
    image = panels(show(path, '--max-side', WIDTH, '--tiles', 'deep') / 'tiles/0001_deep.png')[0]
    assert image[0, 0].tolist() == [0, 0, 0] and image[0, -1].tolist() == [255, 255, 255]
    assert (np.diff(image[0, :, 0].astype(int)) >= 0).all()


def test_drawing_takes_plain_arrays():
    image = np.full((60, 90, 3), GREY, np.uint8)
    masks = np.zeros((2, 60, 90), bool)
    masks[0, 20:30, 10:40], masks[1, 35:50, 50:80] = True, True
    picture = draw_panels(image, masks, [1, 0], ['a', 'b'], notes=['0.91', ''])
    assert picture.shape == (60, 3 * 90 + 2 * GAP_PX, 3)
    drawn = (picture[:, 96:186] != GREY).any(axis=2)
    assert (drawn == masks.any(axis=0)).all()
    assert (image == GREY).all()
    texts = (picture[:, 192:] != GREY).any(axis=2)
    assert texts[35, 50:80].all() and texts[:20, 10:40].any()  # the box, and the caption above the other
    empty = draw_panels(image, np.zeros((0, 60, 90), bool), [], ['a'])
    assert (empty[:, :90] == empty[:, 96:186]).all() and (empty[:, :90] == empty[:, 192:]).all()


def test_boxes_are_drawn_on_their_outermost_pixels():
    image = np.full((60, 90, 3), GREY, np.uint8)
    panel = box_panel(image, np.array([[10, 20, 40, 30], [-5, 50, 20, 99]]), PALETTE[:2], ['', ''])
    expected = np.zeros((60, 90), bool)
    expected[20:30, [10, 39]], expected[[20, 29], 10:40] = True, True
    expected[50:60, [0, 19]], expected[[50, 59], 0:20] = True, True
    assert ((panel != GREY).any(axis=2) == expected).all()
    assert (panel[20, 10:40] == PALETTE[0]).all() and (panel[50, :20] == PALETTE[1]).all()


def test_neighbours_have_different_colours():
    boxes = np.array([[x, y, x + 9, y + 9] for y in (0, 10) for x in (0, 10, 20)], float)
    colours = instance_colours(boxes, np.zeros(6, bool))
    assert len({tuple(colour) for colour in colours.tolist()}) == 6
    order = [
        0,
        100,
        200,
        300,
        400,
        500,
        600,
        10,
    ]  # the eighth, whose turn is the first colour again, is beside the first
    turns = instance_colours(np.array([[x, 0, x + 9, 9] for x in order], float), np.zeros(8, bool))
    assert len({tuple(colour) for colour in turns[:7].tolist()}) == 7 and (turns[7] != turns[0]).any()
    apart = instance_colours(np.array([[n * 100.0, 0, n * 100 + 9, 9] for n in range(14)]), np.zeros(14, bool))
    assert (apart[:7] == apart[7:]).all()


def test_outlines_are_one_pixel_and_open_at_the_border():
    mask = np.zeros((6, 8), bool)
    mask[2:6, 2:7] = True
    edge = outline(mask)
    assert edge.sum() == 5 + 3 + 3 and not edge[3:6, 3:6].any()


def test_run_lengths_and_polygons_of_the_same_square_draw_alike():
    mask = square(20, 30, 50, 60)
    flat = [[20, 30, 50, 30, 50, 60, 20, 60]]
    for size in ((WIDTH, HEIGHT), (2 * WIDTH, 2 * HEIGHT), (50, 40)):
        drawn = [draw_mask(kind, (WIDTH, HEIGHT), size) for kind in (flat, compressed(mask), uncompressed(mask))]
        assert drawn[0].sum() == 900 * size[0] ** 2 // WIDTH**2
        assert all((drawn[0] == other).all() for other in drawn)


def test_resizing_averages_and_repeats():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10
    assert resize(image, (4, 2)) is image
    assert (resize(image, (8, 4))[::2, ::2] == image).all()
    shrunk = resize(image, (2, 1))
    assert shrunk[0, 0, 0] == np.rint(np.mean([image[y, x, 0] for y in (0, 1) for x in (0, 1)]))
    assert view_size({'width': 100, 'height': 50}, 640) == (400, 200)
    assert view_size({'width': 6400, 'height': 10}, 640) == (640, 1)


def bad_rle(content):
    content['annotations'][1]['segmentation']['counts'] = 'zzzz'


def other_size(content):
    content['annotations'][2]['segmentation']['size'] = [10, 10]


BROKEN = {
    'two points': (lambda c: c['annotations'][0].update(segmentation=[[1, 2, 3, 4]]), 'annotation 1 .*3 finite points'),
    'NaN': (
        lambda c: c['annotations'][0].update(segmentation=[[1, 2, 3, float('nan'), 5, 6]]),
        'annotation 1 .*finite',
    ),
    'words': (lambda c: c['annotations'][0].update(segmentation=[['a', 'b']]), 'annotation 1 .*flat rings'),
    'run lengths': (bad_rle, 'annotation 2 .*RLE'),
    'RLE of another size': (other_size, r'annotation 3 .*\[80, 100\]; got \[10, 10\]'),
    'box': (lambda c: c['annotations'][0].update(bbox=[1, 2, None, 4]), 'annotation 1: bbox'),
    'category': (lambda c: c['annotations'][0].update(category_id=5), 'annotation 1 .*category 5'),
    'image of the annotation': (lambda c: c['annotations'][0].update(image_id=5), 'annotation 1 .*image 5'),
    'image twice': (lambda c: c['images'][1].update(id=1), "'images', entry 2"),
    'no size': (lambda c: c['images'][1].pop('width'), 'image 2 must have a width'),
    'image size': (lambda c: c['images'][1].update(width=99), 'b.png has 100 x 80 px; .*says 99 x 80'),
    'image missing': (lambda c: c['images'][1].update(file_name='c.png'), 'c.png is not in .*--images'),
    'path out': (lambda c: c['images'][1].update(file_name='../images/b.png'), 'must stay inside'),
    'absolute path': (lambda c: c['images'][1].update(file_name='/etc/passwd'), 'must stay inside'),
    'no list': (lambda c: c.update(annotations={}), "'annotations' must be a list"),
}


@pytest.mark.parametrize('name', BROKEN)
def test_broken_files_are_one_line_and_nothing_is_made(data_prep, coco, tmp_path, name):
    change, told = BROKEN[name]
    code, stdout, stderr = data_prep('show', coco(change), '--out', tmp_path / 'made/view')
    assert code == 2 and stdout == '' and stderr.count('\n') == 1
    assert re.search(told, stderr), stderr
    assert not (tmp_path / 'made').exists()


@pytest.mark.parametrize(
    ('argv', 'told'),
    [
        (['--split', 'val'], '--split val is not there; splits are instances'),
        (['--tiles', 'zzz'], '--tiles zzz is no file_name here'),
        (['--classes', 'oak'], '--classes oak is no class here; classes are log'),
        (['--images', 'nowhere'], '--images nowhere is not a folder'),
        (['--n', '0'], '--n: must be int from 1'),
    ],
)
def test_wrong_options_are_one_line(data_prep, coco, tmp_path, argv, told):
    code, stdout, stderr = data_prep('show', coco(), '--out', tmp_path / 'view', *argv)
    assert code == 2 and stdout == '' and stderr.count('\n') == 1 and told in stderr
    assert not (tmp_path / 'view').exists()


def test_a_folder_without_coco_is_told(data_prep, tmp_path):
    code, _, stderr = data_prep('show', tmp_path, '--out', tmp_path / 'view')
    assert code == 2 and 'annotations/instances_*.json' in stderr and stderr.count('\n') == 1


def test_overwrite_replaces_only_what_show_made(data_prep, scenes, tmp_path):
    trees, other, view = tmp_path / 'trees', tmp_path / 'other', tmp_path / 'view'
    for out in (trees, other):
        assert data_prep('tile', scenes, '--out', out, '--tile-size', 64)[0] == 0
    assert data_prep('show', trees, '--out', view, '--n', 2)[0] == 0
    assert data_prep('show', trees, '--out', view, '--n', 1)[0] == 2
    assert data_prep('show', trees, '--out', view, '--n', 1, '--overwrite')[0] == 0
    assert len(os.listdir(view / 'tiles')) == 1
    for folder in (trees, other):
        code, _, stderr = data_prep('show', trees, '--out', folder, '--overwrite')
        assert code == 2 and stderr.count('\n') == 1
        assert (folder / 'annotations/instances_train.json').is_file()


def test_without_matplotlib_it_says_what_to_install(coco, tmp_path):
    program = ("import sys; sys.modules['matplotlib'] = None; from data_prep.__main__ import main; "
               'sys.exit(main(sys.argv[1:]))')  # fmt: skip
    command = [sys.executable, '-c', program, 'show', coco(), '--out', tmp_path / 'view']
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 3 and done.stderr.count('\n') == 1 and 'requirements/report.txt' in done.stderr


def test_real_photos_with_crowds(show, real_data, data_prep):
    out = show(real_data / 'coco_permissive33/instances.json', '--tiles', '000000000257', '--max-side', 320)
    page = Page((out / 'index.html').read_text())
    image, masks, _ = panels(out / page.pictures[0], 320)
    assert (masks != image).any(axis=2).mean() > 0.05
    assert 'person' in page.figures[0][1]

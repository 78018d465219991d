"""Labels that lie beside their objects are found, in any direction; labels that fit are not talked of."""

import json
import math
import shutil

import cv2
import numpy as np
import pytest

pytest.importorskip('mmdet')
from mmengine.config import Config  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from pycocotools import mask as pycoco  # noqa: E402

import fallen_trees  # noqa: E402, F401
from data_prep.__main__ import main  # noqa: E402
from fallen_trees.checks.data.edges import colour_edges, is_grey  # noqa: E402
from fallen_trees.checks.data.label_shift import check_label_shift  # noqa: E402
from fallen_trees.checks.data.offsets import score_map  # noqa: E402
from fallen_trees.checks.data.tiles import mask_of  # noqa: E402
from fallen_trees.checks.finding import Verdict  # noqa: E402
from fallen_trees.checks.subject import Subject  # noqa: E402
from fallen_trees.derive.config import REPOSITORY, derive  # noqa: E402

DIRECTIONS = [(math.cos(math.radians(angle)), math.sin(math.radians(angle))) for angle in range(0, 360, 45)]
NAMES = ['right', 'right down', 'down', 'left down', 'left', 'left up', 'up', 'right up']


def cut(sources, out, *options):
    assert main(['tile', str(sources), '--out', str(out), '--tile-size', '256', *options]) in (0, 1)
    return out


@pytest.fixture(scope='module')
def worlds(tmp_path_factory):
    """Drawn scenes in tiles, by difficulty."""
    made = {}
    for difficulty in ('default', 'easy'):
        folder = tmp_path_factory.mktemp(difficulty)
        options = ['--size', '768', '--trees', '18-20', '--difficulty', difficulty, '--scenes', '2', '--seed', '0']
        assert main(['synth', '--out', f'{folder}/scenes', *options]) == 0
        made[difficulty] = cut(folder / 'scenes', folder / 'data', '--split', '1,0,0', '--min-visible', '0.3')
    return made


@pytest.fixture(scope='module')
def finland(real_data, tmp_path_factory):
    options = ('--split', '0.7,0.3,0')
    return cut(real_data / 'finland_deadwood', tmp_path_factory.mktemp('finland') / 'data', *options)


@pytest.fixture(scope='module')
def denmark(real_data, tmp_path_factory):
    folder = real_data / 'denmark_tree_crowns'
    options = ('--labels', str(folder / 'scene0_crowns.gpkg'))
    return cut(folder / 'scene0_rgb.tif', tmp_path_factory.mktemp('denmark') / 'data', *options)


def shift(path, by_xy, scene=None):
    """Move the labels of a file, or of one scene in it."""
    coco = json.loads(path.read_text())
    entries = {entry['id']: entry for entry in coco['images']}
    for annotation in coco['annotations']:
        entry, drawn = entries[annotation['image_id']], annotation['segmentation']
        if scene not in (None, entry['scene']):
            continue
        if isinstance(drawn, list):
            annotation['segmentation'] = [(np.reshape(ring, (-1, 2)) + by_xy).ravel().tolist() for ring in drawn]
        else:
            matrix = np.float32([[1, 0, round(by_xy[0])], [0, 1, round(by_xy[1])]])
            size_wh = entry['width'], entry['height']
            rle = pycoco.encode(np.asfortranarray(cv2.warpAffine(mask_of(annotation, size_wh), matrix, size_wh)))
            annotation['segmentation'] = {'size': rle['size'], 'counts': rle['counts'].decode()}
    path.write_text(json.dumps(coco))


def findings(data, folder, by_xy=(0, 0), scene=None):
    """What the check says of a data set whose labels are moved."""
    (folder / 'images').symlink_to(data / 'images')
    shutil.copytree(data / 'annotations', folder / 'annotations')
    for path in (folder / 'annotations').glob('instances_*.json'):
        shift(path, by_xy, scene)
    return list(check_label_shift(subject_of(folder)))


def subject_of(folder):
    init_default_scope('mmdet')
    cfg = Config.fromfile(REPOSITORY / 'configs/m2f_trees_demo.py')
    cfg.data_root = str(folder)
    val = (folder / 'annotations/instances_val.json').read_text()
    derive(cfg, ('train', 'val') if json.loads(val)['images'] else ('train',))
    return Subject(cfg)


def assert_found(found, by_xy, within_px=1.3):
    first = found[0]
    assert first.check == 'label-shift' and first.verdict is Verdict.WARNING, first.message
    back = np.array([first.figures['dx_px'], first.figures['dy_px']])
    assert np.hypot(*(back + by_xy)) < within_px, first.message


@pytest.mark.parametrize('difficulty', ['default', 'easy'])
def test_drawn_labels_fit(worlds, tmp_path, difficulty):
    (finding,) = findings(worlds[difficulty], tmp_path)
    assert finding.verdict is Verdict.OK and 'fit best within' in finding.message


@pytest.mark.parametrize('direction', DIRECTIONS, ids=NAMES)
@pytest.mark.parametrize('difficulty', ['default', 'easy'])
def test_three_pixels_are_found_in_drawn_scenes(worlds, tmp_path, difficulty, direction):
    by_xy = np.multiply(direction, 3)
    assert_found(findings(worlds[difficulty], tmp_path, by_xy), by_xy)


def test_real_trunks_fit(finland, tmp_path):
    assert [finding.verdict for finding in findings(finland, tmp_path)] == [Verdict.OK]


@pytest.mark.parametrize('direction', DIRECTIONS, ids=NAMES)
def test_three_pixels_are_found_among_real_trunks(finland, tmp_path, direction):
    by_xy = np.multiply(direction, 3)
    assert_found(findings(finland, tmp_path, by_xy), by_xy)


def test_real_crowns_fit(denmark, tmp_path):
    assert [finding.verdict for finding in findings(denmark, tmp_path)] == [Verdict.OK]


@pytest.mark.parametrize('direction', DIRECTIONS[::3], ids=NAMES[::3])
def test_three_pixels_are_found_among_real_crowns(denmark, tmp_path, direction):
    by_xy = np.multiply(direction, 3)
    assert_found(findings(denmark, tmp_path, by_xy), by_xy)


def test_one_scene_of_several_is_named(worlds, tmp_path):
    found = findings(worlds['easy'], tmp_path, (2.5, -2.5), scene='synth_01')
    said = [finding for finding in found if finding.verdict]
    assert said and any('in synth_01' in finding.message for finding in said)
    assert not any('in synth_00' in finding.message for finding in said)


def rewrite_images(data, folder, change):
    for path in data.glob('images/*/*.png'):
        target = folder / path.relative_to(data)
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), change(cv2.imread(str(path))))
    shutil.copytree(data / 'annotations', folder / 'annotations')
    return folder


def test_grey_images_are_looked_at_by_their_brightness(worlds, tmp_path):
    def grey(image):
        return np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)

    data = rewrite_images(worlds['easy'], tmp_path / 'grey', grey)
    (tmp_path / 'fit').mkdir()
    assert [finding.verdict for finding in findings(data, tmp_path / 'fit')] == [Verdict.OK]
    (tmp_path / 'moved').mkdir()
    assert_found(findings(data, tmp_path / 'moved', (4, 0)), (4, 0))


def test_pixels_that_show_nothing_decide_nothing(worlds, tmp_path):
    rng = np.random.default_rng(0)
    data = rewrite_images(worlds['easy'], tmp_path, lambda image: rng.integers(0, 256, image.shape, np.uint8))
    (finding,) = check_label_shift(subject_of(data))
    assert finding.verdict is Verdict.OK and 'undecided' in finding.message


def test_few_objects_decide_nothing(worlds, tmp_path):
    (tmp_path / 'images').symlink_to(worlds['easy'] / 'images')
    shutil.copytree(worlds['easy'] / 'annotations', tmp_path / 'annotations')
    path = tmp_path / 'annotations/instances_train.json'
    coco = json.loads(path.read_text())
    coco['annotations'] = coco['annotations'][:3]
    path.write_text(json.dumps(coco))
    (finding,) = check_label_shift(subject_of(tmp_path))
    assert finding.verdict is Verdict.OK and 'too few' in finding.message


def energy(image, rows, columns):
    """Squared gradients inside a window."""
    return float((colour_edges(image)[:, :, rows, columns] ** 2).sum())


def test_shadows_make_no_edge_but_colours_do():
    image = np.full((96, 96, 3), (60.0, 120.0, 90.0)) + np.random.default_rng(0).normal(0, 2, (96, 96, 3))
    image[20:40, 20:80] *= 0.6  # a shadow
    image[60:64, 20:80] = (120, 140, 150)  # a trunk
    image = np.clip(image, 0, 255).astype(np.uint8)
    assert not is_grey(image)
    assert energy(image, slice(36, 44), slice(30, 70)) < 0.1 * energy(image, slice(58, 66), slice(30, 70))


def test_grey_shadows_are_cut_off():
    image = np.full((96, 96, 1), 120, np.uint8)
    image[30:34, 20:80], image[60:64, 20:80] = 80, 160
    assert is_grey(image)
    assert energy(image, slice(28, 36), slice(30, 70)) < 0.1 * energy(image, slice(58, 66), slice(30, 70))


def test_outlines_along_the_border_are_not_used():
    edges, mask = np.ones((2, 2, 96, 96), np.float32), np.zeros((96, 96), np.uint8)
    mask[0:5, 10:80] = 1
    assert score_map(edges, mask) is None
    mask[0:40, 10:80] = 1
    assert score_map(edges, mask).shape == (17, 17)

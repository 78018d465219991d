"""Folders of photos to folders of masks: names, going on, and what is refused. Networks: tests/test_workflows."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from pycocotools import mask as pycoco
from pycocotools.coco import COCO

from fallen_trees.errors import ConfigError
from fallen_trees.photo_masks import find_photos, predict_photos
from fallen_trees.predictor import Prediction

CLASSES = ('dog', 'traffic light/red')
MADE_WITH = dict(checkpoint='abc', score_thr=0.5, classes=CLASSES)


def find_bright(path):
    """Stands in for a network: what is brighter than 200 is a dog, and its left half the other class."""
    image = cv2.imread(str(path))
    if image is None:
        raise ConfigError(f'{path} cannot be read as an image.')
    mask = (image[..., 0] > 200).astype(np.uint8)
    half = mask.copy()
    half[:, image.shape[1] // 2 :] = 0
    rles = [pycoco.encode(np.asfortranarray(part)) for part in (mask, half)]
    boxes = np.array([pycoco.toBbox(rle) for rle in rles], np.float32)
    boxes[:, 2:] += boxes[:, :2]
    scores, labels = np.array([0.871, 0.6], np.float32), np.array([0, 1])
    return Prediction(image, boxes, scores, labels, CLASSES, rles, [(255, 0, 0), (0, 255, 0)])


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    for number, name in enumerate(('a.jpg', 'b.png', 'b.jpg', 'sub/a.png', 'c.png', 'c/d.png')):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image = np.zeros((20, 30, 3), np.uint8)
        image[4 : 10 + number, 5:25] = 255
        cv2.imwrite(str(folder / name), image)
    (folder / 'notes.txt').write_text('no photo')
    return folder


def test_each_photo_has_a_folder_of_masks_named_by_class(photos, tmp_path):
    outcome = predict_photos(find_bright, [photos], tmp_path / 'out', MADE_WITH)
    assert (outcome.photos, outcome.kept, outcome.instances, outcome.unreadable) == (6, 0, 12, [])
    folders = {path.parent.relative_to(tmp_path / 'out').as_posix() for path in (tmp_path / 'out').rglob('overlay.jpg')}
    assert folders == {'a', 'b.png', 'b.jpg', 'sub/a', 'c.png', 'c/d'}
    made = tmp_path / 'out/sub/a'
    names = {path.name for path in made.iterdir()}
    assert names == {'01_dog_0.87.png', '02_traffic_light_red_0.60.png', 'overlay.jpg', 'instances.json'}
    mask = cv2.imread(str(made / '01_dog_0.87.png'), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (20, 30) and np.unique(mask).tolist() == [0, 255]
    assert (mask > 0).sum() == 20 * (10 + 3 - 4) and mask[4, 5] == 255
    assert cv2.imread(str(made / 'overlay.jpg')).shape == (20, 30, 3)


def test_all_are_in_one_coco_file(photos, tmp_path):
    predict_photos(find_bright, [photos], tmp_path / 'out', MADE_WITH)
    coco = COCO(str(tmp_path / 'out/predictions.json'))
    assert [image['file_name'] for image in coco.imgs.values()] == sorted(
        path.relative_to(photos).as_posix() for path in photos.rglob('*') if path.suffix in ('.png', '.jpg')
    )
    assert {entry['name'] for entry in coco.cats.values()} == set(CLASSES)
    (of_a,) = [image['id'] for image in coco.imgs.values() if image['file_name'] == 'a.jpg']
    first, second = coco.imgToAnns[of_a]
    mask = cv2.imread(str(tmp_path / 'out/a/01_dog_0.87.png'), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(coco.annToMask(first), mask // 255)
    assert first['score'] == pytest.approx(0.871) and first['bbox'][2:] == [20, (mask > 0).any(1).sum()]
    assert second['category_id'] == 2
    found = json.loads((tmp_path / 'out/predictions.json').read_text())['annotations']
    assert len(coco.loadRes(found).anns) == 12  # results, too


def test_a_run_goes_on_with_what_is_done_and_does_changed_photos_again(photos, tmp_path):
    looked = []

    def predict(path):
        looked.append(path.relative_to(photos).as_posix())
        if len(looked) == 4:
            raise KeyboardInterrupt
        return find_bright(path)

    out = tmp_path / 'out'
    with pytest.raises(KeyboardInterrupt):
        predict_photos(predict, [photos], out, MADE_WITH)
    assert len(list(out.rglob('instances.json'))) == 3
    outcome = predict_photos(predict, [photos], out, MADE_WITH)
    assert outcome.kept == 3 and looked[4:] == looked[3:4] + looked[5:]  # the one that was cut off, and the others
    predict_photos(find_bright, [photos], tmp_path / 'at once', MADE_WITH)
    assert (out / 'predictions.json').read_bytes() == (tmp_path / 'at once/predictions.json').read_bytes()
    cv2.imwrite(str(photos / 'a.jpg'), np.full((20, 30, 3), 255, np.uint8))
    (out / '.a.partial').mkdir()  # left by a kill
    assert predict_photos(find_bright, [photos], out, MADE_WITH).kept == 5
    assert cv2.imread(str(out / 'a/01_dog_0.87.png')).all() and not list(out.rglob('.*'))


def test_what_is_no_image_is_listed_and_the_others_are_done(photos, tmp_path):
    (photos / 'broken.jpg').write_bytes(b'\xff\xd8 no more')
    outcome = predict_photos(find_bright, [photos], tmp_path / 'out', MADE_WITH)
    assert outcome.photos == 6 and len(outcome.unreadable) == 1 and 'broken.jpg' in outcome.unreadable[0]
    assert not (tmp_path / 'out/broken').exists()


def test_other_settings_do_not_mix_in_one_folder(photos, tmp_path):
    predict_photos(find_bright, [photos], tmp_path / 'out', MADE_WITH)
    with pytest.raises(ConfigError, match='made with another score_thr; choose'):
        predict_photos(find_bright, [photos], tmp_path / 'out', dict(MADE_WITH, score_thr=0.3))


BAD = [
    pytest.param(lambda p, o: shutil.rmtree(p), 'photos does not exist', id='no folder'),
    pytest.param(lambda p, o: [f.unlink() for f in p.rglob('*.*')], 'holds no image', id='no photo'),
    pytest.param(lambda p, o: (o.mkdir(), (o / 'mine').touch()), 'new or empty folder', id='other folder'),
    pytest.param(lambda p, o: os.symlink(p, o), 'must not lie in the folder of the photos', id='among the photos'),
]


@pytest.mark.parametrize(('spoil', 'said'), BAD)
def test_what_cannot_work_is_one_line(photos, tmp_path, spoil, said):
    spoil(photos, tmp_path / 'out')
    with pytest.raises(ConfigError, match=said) as refused:
        predict_photos(find_bright, [photos], tmp_path / 'out', MADE_WITH)
    assert '\n' not in str(refused.value)


def test_two_files_of_one_name_are_refused(photos, tmp_path):
    with pytest.raises(ConfigError, match='have one name'):
        find_photos([photos / 'sub/a.png', shutil.copytree(photos / 'sub', tmp_path / 'more')], tmp_path / 'out')

"""COCO's layout end to end at toy size: pack, look, train, stop, resume, metrics, a folder of photos to masks."""

import json
import re
import shutil
import signal

import cv2
import drawn_shapes as shapes
import numpy as np
import pytest

HEADING, CONFIG = 'COCO at 480 px', 'configs/coco/m2f_r50_480.py'
COUNTS = {'train2017': 48, 'val2017': 12}
EPOCHS = 20  # of six iterations
IN_EPOCHS = f"""
epochs, validation_epochs, checkpoint_epochs = {EPOCHS}, {EPOCHS}, 10
train_cfg = dict(max_iters=None, val_interval=None)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=None))
"""


@pytest.fixture(scope='module')
def workflow(place, section):
    """The documented commands on a data set laid out as COCO is, the training one stopped on its way."""
    here = place(config=CONFIG)
    file = here.folder / CONFIG
    text = re.sub(r'(?m)^(train_cfg = dict\(max_iters|default_hooks).*\n', '', file.read_text())
    file.write_text(text + IN_EPOCHS)
    categories = [dict(id=n, name=name, supercategory='shape') for n, name in enumerate(shapes.CLASSES, 1)]
    ids, first, data = {entry['name']: entry['id'] for entry in categories}, 0, here.folder / 'data/coco'
    for kind, count in COUNTS.items():
        shapes.write_coco(data / f'annotations/instances_{kind}.json', data / kind, first, count, categories, ids)
        first += count
    (here.folder / 'photos').mkdir()
    for number in range(1, 7):
        cv2.imwrite(str(here.folder / f'photos/photo_{number:02d}.png'), shapes.draw(900 + number)[0])
    here.lines = section(HEADING)[0].replace('\\\n', ' ').strip().splitlines()
    pack, look, train, test, predict = here.lines
    here.packed, here.looked = here.run(f'{pack} --shards 3'), here.run(look)
    here.code, here.said = here.stop(train, signal.SIGTERM)
    here.resumed = here.run(f'{train} --resume')
    assert here.resumed.returncode == 0, here.resumed.stderr[-3000:]
    here.tested, here.predicted = here.run(test), here.run(predict)
    return here


def test_images_are_packed_and_read_from_the_pack(workflow):
    assert workflow.packed.returncode == 0, workflow.packed.stderr
    assert '60 images in 6 shards' in workflow.packed.stdout
    assert 'Layout of data/coco_packed: COCO' in workflow.said
    assert 'Images of data/coco_packed/train2017 are read from 3 shards' in workflow.said


def test_samples_are_seen_as_they_are_fed(workflow):
    assert workflow.looked.returncode == 0, workflow.looked.stderr
    assert '48 samples of train' in workflow.looked.stdout  # all there are
    names = {path.name for path in (workflow.folder / 'look').iterdir()}
    assert {'contact_sheet.png', 'index.html', '0048.png'} <= names


def test_a_stopped_run_goes_on_to_its_end(workflow):
    assert workflow.code == 143, workflow.said[-3000:]
    stopped = int(re.search(r'after iteration (\d+)', workflow.said)[1])
    log = workflow.resumed.stdout + workflow.resumed.stderr
    assert 20 <= stopped < 6 * EPOCHS and f'iter: {stopped}' in log
    assert f'Iter(train) [{6 * EPOCHS}/{6 * EPOCHS}]' in log


def test_checkpoints_come_every_so_many_epochs(workflow):
    assert 'An epoch of 48 images is 6 iterations (batch 8); the run is 120.' in workflow.said
    names = {path.name for path in (workflow.folder / 'work_dirs/coco').glob('iter_*.pth')}
    assert {'iter_60.pth', 'iter_120.pth'} <= names


def test_it_has_learnt(workflow, untrained):
    assert workflow.tested.returncode == 0, workflow.tested.stderr[-3000:]
    learnt = json.loads((workflow.folder / 'work_dirs/coco/metrics.json').read_text())
    nothing = untrained(workflow, 'data/coco', CONFIG)  # loose, while the network that learnt was fed from the pack
    assert learnt['coco/segm_mAP_50'] >= 0.3
    assert learnt['coco/segm_mAP_50'] >= 3 * max(0, nothing['coco/segm_mAP_50'])
    assert learnt['coco/score_threshold'] == 0.5
    by_class = [learnt[f'coco/{name}_precision'] for name in shapes.CLASSES]
    assert np.mean(by_class) == pytest.approx(learnt['coco/segm_mAP'], abs=1e-3)  # AP of each class
    pictures = {path.name for path in (workflow.folder / 'work_dirs/coco/pictures').iterdir()}
    assert pictures == {path.name for path in (workflow.folder / 'data/coco/val2017').iterdir()}


def test_a_folder_of_photos_becomes_masks_with_class_names(workflow):
    assert workflow.predicted.returncode == 0, workflow.predicted.stderr
    hits = truths = 0
    for number in range(1, 7):
        folder = workflow.folder / f'masks/photo_{number:02d}'
        assert cv2.imread(str(folder / 'overlay.jpg')).shape == (64, 64, 3)
        found = [(path.name.split('_')[1], cv2.imread(str(path), 0) > 0) for path in sorted(folder.glob('*_*_*.png'))]
        assert all(float(path.stem.split('_')[2]) >= 0.5 for path in folder.glob('*_*_*.png'))
        for label, points in shapes.draw(900 + number)[1]:
            mask = np.zeros((64, 64), np.uint8)
            cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
            truths += 1
            hits += any(
                name == label and (seen & (mask > 0)).sum() >= 0.5 * (seen | (mask > 0)).sum() for name, seen in found
            )
    assert hits >= 0.5 * truths
    coco = json.loads((workflow.folder / 'masks/predictions.json').read_text())
    assert len(coco['images']) == 6 and [entry['name'] for entry in coco['categories']] == list(shapes.CLASSES)


def test_photos_that_are_done_stay_and_what_is_no_image_is_listed(workflow):
    predict = workflow.lines[-1]
    broken = workflow.folder / 'photos/broken.png'
    broken.write_bytes(b'\x89PNG no more')
    try:
        before = {path: path.stat().st_mtime_ns for path in (workflow.folder / 'masks').rglob('*_*_*.png')}
        again = workflow.run(predict)
        assert again.returncode == 1 and '(6 of an earlier run)' in again.stdout
        assert 'warning: photos/broken.png cannot be read as an image' in again.stderr
        assert before == {path: path.stat().st_mtime_ns for path in (workflow.folder / 'masks').rglob('*_*_*.png')}
        other = workflow.run(f'{predict} --score-thr 0.9')
        assert other.returncode == 2 and 'made with another score_thr' in other.stderr.splitlines()[-1]
    finally:
        broken.unlink()


def test_a_missing_shard_is_one_line(workflow, tmp_path):
    root = shutil.copytree(workflow.folder / 'data/coco_packed', tmp_path / 'packed')
    (root / 'train2017/shard-00001-of-00003.tar').unlink()
    train = workflow.lines[2].replace('work_dirs/coco', str(tmp_path)).replace('data/coco_packed', str(root))
    done = workflow.run(train)
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith('error: ') and 'shard-00001-of-00003.tar is missing' in last

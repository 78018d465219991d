"""A small LabelMe set, end to end at toy size: folder, data set, training with a stop, pictures; three commands."""

import json
import signal

import cv2
import drawn_shapes as shapes
import pytest


@pytest.fixture(scope='module')
def workflow(place, section):
    here = place(iterations=160)
    shapes.labelme(here.folder / 'photos', 40)
    text = section('A small LabelMe set')[0].replace('train_cfg.max_iters=4000', 'train_cfg.max_iters=160')
    convert, train, test = text.replace('\\\n', ' ').strip().splitlines()
    made = here.run(convert)
    assert made.returncode == 0, made.stderr
    code, said = here.stop(train, signal.SIGTERM)
    assert code == 143, said[-3000:]
    for line in (f'{train} --resume', test):
        done = here.run(line)
        assert done.returncode == 0, done.stderr[-3000:]
    here.said = said
    return here


def test_folder_to_pictures_in_three_commands(workflow, untrained):
    metrics = json.loads((workflow.folder / 'work_dirs/photos/metrics.json').read_text())
    assert metrics['coco/segm_mAP_50'] >= 0.3
    assert metrics['coco/segm_mAP_50'] >= 3 * max(0, untrained(workflow, 'data/photos')['coco/segm_mAP_50'])
    pictures = sorted((workflow.folder / 'work_dirs/photos/pictures').iterdir())
    assert [path.name for path in pictures] == sorted(
        p.name for p in (workflow.folder / 'data/photos/valid').glob('*.png')
    )
    assert cv2.imread(str(pictures[0])) is not None


def test_gradients_are_accumulated_and_the_test_is_on_valid(workflow):
    config = next((workflow.folder / 'work_dirs/photos').glob('m2f_r50_custom.py')).read_text()
    assert 'accumulative_counts=4' in config.replace(' ', '')
    assert 'data/photos has no test split (test/_annotations.coco.json): the test is on valid/' in workflow.said


def test_every_photo_is_in_one_split(workflow):
    parts = {
        path.name: {photo.name for photo in path.glob('*.png')} for path in (workflow.folder / 'data/photos').iterdir()
    }
    assert set(parts) == {'train', 'valid'}
    assert not parts['train'] & parts['valid']
    assert parts['train'] | parts['valid'] == {path.name for path in (workflow.folder / 'photos').glob('*.png')}

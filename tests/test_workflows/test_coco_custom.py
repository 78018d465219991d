"""Any COCO set, end to end at toy size: train, stop, resume, metrics, pictures; and the same from Python."""

import dataclasses
import json
import re
import shutil
import signal

import cv2
import drawn_shapes as shapes
import numpy as np
import pytest

COMMANDS, PYTHON = 'Any COCO set', 'python'


@pytest.fixture(scope='module')
def workflow(place, section):
    """The documented commands on a data set laid out as Roboflow does, the training one stopped half-way."""
    here = place()
    shapes.roboflow(here.folder / 'data')
    train, test = [line for line in commands(section(COMMANDS)[0]) if 'doctor' not in line]
    code, said = here.stop(train, signal.SIGINT)
    resumed = here.run(train, '--resume')
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    tested = here.run(test)
    assert tested.returncode == 0, tested.stderr[-3000:]
    here.stopped, here.said, here.resumed = code, said, resumed.stdout + resumed.stderr
    return here


def commands(block):
    return [line for line in block.replace('\\\n', ' ').splitlines() if line.strip()]


def test_a_stopped_run_goes_on_to_its_end(workflow):
    assert workflow.stopped == 130, workflow.said[-3000:]
    stopped = int(re.search(r'after iteration (\d+)', workflow.said)[1])
    assert 20 <= stopped < 110
    assert f'iter: {stopped}' in workflow.resumed
    assert 'Iter(train) [110/110]' in workflow.resumed


def test_layout_and_classes_are_read_and_said(workflow):
    assert 'Layout of data: Roboflow (train/_annotations.coco.json)' in workflow.said
    assert "the root category 0 ('shapes') has no annotation and is left out" in workflow.said
    assert 'Classes, from data/train/_annotations.coco.json: disc, block.' in workflow.said


def test_all_outputs_are_in_one_folder(workflow):
    folder = workflow.folder / 'work_dirs/photos'
    assert (folder / 'last_checkpoint').read_text().endswith('iter_110.pth')
    for pattern in ('best_coco_segm_mAP_iter_110.pth', 'metrics.json', 'MODEL_CARD.md', 'm2f_r50_custom.py'):
        assert len(list(folder.glob(pattern))) == 1, pattern
    assert list(folder.glob('*/vis_data/events.out.tfevents.*'))
    assert 'max_iters=110' in (folder / 'm2f_r50_custom.py').read_text()  # that of the training, not of the test


def test_it_has_learnt(workflow, untrained):
    learnt = json.loads((workflow.folder / 'work_dirs/photos/metrics.json').read_text())['coco/segm_mAP_50']
    assert learnt >= 0.3
    assert learnt >= 3 * max(0, untrained(workflow, 'data')['coco/segm_mAP_50'])


def test_there_is_a_picture_of_each_test_photo(workflow):
    pictures = workflow.folder / 'work_dirs/photos/pictures'
    names = {path.name for path in (workflow.folder / 'data/test').glob('*.png')}
    assert {path.name for path in pictures.iterdir()} == names
    assert cv2.imread(str(pictures / min(names))).shape == (540, 1544, 3)  # image, truth, prediction and captions


def test_the_documented_lines_of_python_train_and_predict(workflow, section):
    """The block as it stands, on the same data, with a run of 12 iterations: that it runs, not what it learns."""
    (code,) = section(COMMANDS, PYTHON)
    assert len([line for line in code.splitlines() if line.strip()]) == 5
    short = workflow.folder / 'configs/coco/m2f_r50_custom.py'
    text = short.read_text()
    folder = workflow.folder / 'work_dirs/photos'
    shutil.move(folder, folder.with_name('kept'))
    try:
        short.write_text(text.replace('=110', '=12'))
        (workflow.folder / 'five.py').write_text(code)
        done = workflow.run('python five.py')
        assert done.returncode == 0, done.stderr[-3000:]
        metrics = json.loads((folder / 'metrics.json').read_text())
        assert str(metrics['coco/segm_mAP_50']) in done.stdout.splitlines()[-1]
        assert (folder / 'iter_12.pth').is_file()
        assert cv2.imread(str(workflow.folder / 'found.jpg')).shape == (64, 64, 3)
    finally:
        short.write_text(text)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(folder.with_name('kept'), folder)


@pytest.fixture(scope='module')
def predictor(workflow):
    from fallen_trees.predictor import Predictor

    folder = workflow.folder / 'work_dirs/photos'
    return Predictor(folder / 'm2f_r50_custom.py', next(folder.glob('best_*.pth')), device='cpu')


def test_a_prediction_finds_the_shapes_where_they_are(workflow, predictor, tmp_path):
    hits = truths = 0
    for seed in range(40, 48):
        found = predictor(workflow.folder / f'data/test/photo_{seed:03d}.png')
        assert found.masks.shape == (len(found), 64, 64) and found.boxes_xyxy.shape == (len(found), 4)
        assert (np.diff(found.scores) <= 0).all() and (found.scores >= predictor.score_thr).all()
        for label, points in shapes.draw(seed)[1]:
            mask = np.zeros((64, 64), np.uint8)
            cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
            truths += 1
            hits += any(
                name == label and (seen & (mask > 0)).sum() >= 0.5 * (seen | (mask > 0)).sum()
                for name, seen in zip(found.class_names, found.masks, strict=True)
            )
    assert hits >= 0.5 * truths
    drawn = cv2.imread(str(found.draw(tmp_path / 'new/found.png')))
    assert drawn.shape == (64, 64, 3) and (drawn != found.image).any()


def test_a_prediction_of_pixels_is_that_of_the_file(workflow, predictor):
    path = workflow.folder / 'data/test/photo_041.png'
    one, other = predictor(path), predictor(cv2.imread(str(path)))
    assert len(one) and (one.scores == other.scores).all() and (one.masks == other.masks).all()


def test_a_picture_without_objects_is_empty_and_can_be_drawn(predictor, tmp_path):
    found = predictor(np.full((48, 80, 3), 120, np.uint8))
    assert found.masks.shape == (len(found), 48, 80)
    none = dataclasses.replace(found, boxes_xyxy=found.boxes_xyxy[:0], scores=found.scores[:0],
                               labels=found.labels[:0], rles=[])  # fmt: skip
    assert (none.masks.shape, none.class_names) == ((0, 48, 80), [])
    assert (cv2.imread(str(none.draw(tmp_path / 'x.png'))) == 120).all()


def test_what_cannot_be_predicted_or_drawn_is_refused(workflow, predictor, tmp_path):
    from fallen_trees.errors import ConfigError

    (tmp_path / 'text.png').write_text('no image')
    grey = np.zeros((4, 4), np.uint8)
    bad = [(tmp_path / 'none.png', 'does not exist'), (tmp_path / 'text.png', 'as an image'), (grey, r'\(4, 4\)')]
    for image, said in bad:
        with pytest.raises(ConfigError, match=said):
            predictor(image)
    with pytest.raises(ConfigError, match='.jpg or .png'):
        predictor(workflow.folder / 'data/test/photo_041.png').draw(tmp_path / 'found.txt')


def rename_class(folder):
    for file in folder.glob('*/_annotations.coco.json'):
        file.write_text(file.read_text().replace('"block"', '"brick"'))


BAD = [
    pytest.param('train', lambda data: shutil.rmtree(data), 'does not exist', id='no data'),
    pytest.param(
        'train', lambda data: [f.unlink() for f in data.glob('*/*.json')], 'looked for train/_annot', id='layout'
    ),
    pytest.param(
        'train', lambda data: shutil.rmtree(data / 'valid'), 'valid/_annotations.coco.json is mis', id='no valid'
    ),
    pytest.param('train', lambda data: (data / 'train/photo_003.png').unlink(), '1 of 32 images', id='no photo'),
    pytest.param('test', rename_class, "checkpoint does not fit the data: the class 'block' is no", id='other classes'),
    pytest.param('test', lambda data: shutil.rmtree(data), 'does not exist', id='no data to test on'),
]


@pytest.mark.parametrize(('tool', 'spoil', 'said'), BAD)
def test_bad_input_is_one_line(workflow, tmp_path, tool, spoil, said):
    data = shapes.roboflow(tmp_path / 'data', counts=(32, 2, 2))
    spoil(data)
    checkpoint = 'work_dirs/photos/best_*.pth' if tool == 'test' else ''
    done = workflow.run(
        f'python tools/{tool}.py configs/coco/m2f_r50_custom.py {checkpoint} --work-dir {tmp_path}/run',
        *('--cfg-options', f'data_root={data}'),
    )
    assert done.returncode == 2, done.stderr
    assert 'Traceback' not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith('error: ') and said in last, last


def test_real_photos_of_coco_pass_the_doctor_and_train(real_data, place):
    here = place(iterations=2)
    source = real_data / 'coco_permissive33'
    made = here.run(
        f'python -m data_prep convert {source}/instances.json --images {source}/images --to roboflow '
        '--split 0.7,0.3,0 --out data'
    )
    assert made.returncode in (0, 1), made.stderr
    config = 'configs/coco/m2f_r50_custom.py'
    options = ['--cfg-options', 'data_root=data', 'image_size=128,128']
    seen = here.run(f'python tools/doctor.py {config} --work-dir work_dirs/doctor --samples 8 --json', *options)
    errors = [row for row in json.loads(seen.stdout)['findings'] if row['verdict'] == 'error']
    assert errors == []
    done = here.run(f'python tools/train.py {config} --work-dir work_dirs/real', *options)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (here.folder / 'work_dirs/real/iter_2.pth').is_file()

"""Traffic scenes, end to end at toy size: list, select, train with a stop, test, pictures; and panoptic, when asked."""

import json
import re
import shutil
import signal

import cv2
import drawn_panoptic
import drawn_streets as streets
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from fallen_trees.derive.config import REPOSITORY, derive

SECTION, FROZEN = 'Traffic scenes', 'configs/traffic/m2f_swin-t_idd_frozen.py'
PANOPTIC = 'configs/traffic/m2f_swin-t_coco_panoptic.py'
TINY = "backbone=dict(_delete_=True, type='ResNet', out_indices=(0, 1, 2, 3), "
FAST = """
image_size = (96, 64)
optim_wrapper.update(optimizer=dict(lr=2e-3), accumulative_counts=1)
"""
ITERATIONS = 50
# Each run writes its config eight times; making it beautiful takes a second each time and half of a short run.
PLAIN = """
import runpy, sys
import yapf.yapflib.yapf_api
yapf.yapflib.yapf_api.FormatCode = lambda text, **style: (text, True)
sys.path[0] = {tools!r}
runpy.run_path({tools!r} + '/{name}.py', run_name='__main__')
"""


def small(here, config):
    """The toy config with half a ResNet-18 in place of the Swin, which it does not merge with."""
    file = here.folder / config
    text = file.read_text().replace('backbone=dict(', TINY, 1)
    file.write_text(text.replace('norm_cfg=dict(requires', "norm_cfg=dict(type='BN', requires", 1) + FAST)
    (here.folder / 'tools').mkdir()
    for name in ('train', 'test'):
        (here.folder / f'tools/{name}.py').write_text(PLAIN.format(tools=str(REPOSITORY / 'tools'), name=name))
    return here


def plain(here, line):
    """A command line with this folder's tools, which `run` takes by itself."""
    return line.replace('tools/', f'{here.folder}/tools/')


def lines(block):
    return [line for line in block.replace('\\\n', ' ').splitlines() if line.strip()]


@pytest.fixture(scope='module')
def workflow(place, section):
    """The documented commands, with 40 images for 1500; the training one is stopped half-way."""
    here = small(place(ITERATIONS, FROZEN), FROZEN)
    streets.idd(here.folder / 'data/idd')
    listed, select, train, test = lines(section(SECTION)[0])
    here.printed = [here.run(line.replace('--n 1500', '--n 40')) for line in (listed, select)]
    assert [done.returncode for done in here.printed] == [0, 0], here.printed[-1].stderr
    here.stopped, here.said = here.stop(plain(here, train), signal.SIGTERM)
    resumed = here.run(train, '--resume')
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    tested = here.run(test)
    assert tested.returncode == 0, tested.stderr[-3000:]
    here.resumed, here.tested = resumed.stdout + resumed.stderr, tested.stdout + tested.stderr
    return here


def figures(here, name):
    return json.loads((here.folder / f'work_dirs/{name}/metrics.json').read_text())


def untrained(here, config, data_root):
    """Figures of a network that has learnt nothing, on the same test images."""
    init_default_scope('mmdet')
    cfg = Config.fromfile(here.folder / config)
    cfg.data_root = str(here.folder / data_root)
    derive(cfg, ('test',))
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    folder = here.folder / 'work_dirs/none'
    folder.mkdir()
    meta = dict(dataset_meta=dict(classes=tuple(cfg.metainfo.classes)))
    torch.save(dict(meta=meta, state_dict=model.state_dict()), folder / 'none.pth')
    test = f'python tools/test.py {config} work_dirs/none/none.pth --work-dir work_dirs/none --cfg-options'
    done = here.run(test, f'data_root={data_root}')
    assert done.returncode == 0, done.stderr
    return figures(here, 'none')


def test_the_best_images_are_chosen_and_shared_out(workflow):
    listed, chosen = (done.stdout for done in workflow.printed)
    assert 'IDD, level 3, 26 classes' in listed and '48 label maps drawn from polygons' in listed
    assert 'best_train.json 34, best_val.json 2, best_test.json 4 images' in chosen
    whole = json.loads((workflow.folder / 'data/idd/annotations/semantic_train.json').read_text())
    best = json.loads((workflow.folder / 'data/idd/annotations/best.json').read_text())
    seen = {side: np.mean([sum(a['image_id'] == i['id'] for a in side_['annotations']) for i in side_['images']])
            for side, side_ in (('all', whole), ('best', best))}  # fmt: skip
    assert seen['best'] > seen['all']  # they show more classes


def test_a_stopped_run_goes_on_to_its_end(workflow):
    assert workflow.stopped == 143, workflow.said[-3000:]
    stopped = int(re.search(r'after iteration (\d+)', workflow.said)[1])
    assert 20 <= stopped < ITERATIONS
    assert f'iter: {stopped}' in workflow.resumed
    assert f'Iter(train) [{ITERATIONS}/{ITERATIONS}]' in re.sub(r'\[ +', '[', workflow.resumed)


def test_what_is_trained_is_said_at_the_start(workflow):
    said = re.search(r'([\d,]+) of ([\d,]+) parameters are trained; frozen: (.*)\.', workflow.said)
    trained, total = (int(said[n].replace(',', '')) for n in (1, 2))
    assert (trained, said[3]) == (218_011, 'backbone, panoptic_head.pixel_decoder') and total > 3_000_000


def test_it_has_learnt(workflow):
    learnt, nothing = figures(workflow, 'idd'), untrained(workflow, FROZEN, 'data/idd')
    assert learnt['semantic/mIoU'] >= 0.3
    assert learnt['semantic/mIoU'] >= 3 * nothing['semantic/mIoU']
    assert learnt['semantic/IoU/sky'] > 0.5


def test_each_class_is_in_the_log(workflow):
    assert re.search(r'\| sky +\| +\d+\.\d+ +\| +\d+\.\d+ +\|', workflow.tested)
    assert re.search(r'\| tram|\| bridge +\| +\| +\|', workflow.tested)  # nowhere: no figure


def test_there_is_a_picture_of_each_test_image(workflow):
    pictures = workflow.folder / 'work_dirs/idd/pictures'
    images = json.loads((workflow.folder / 'data/idd/annotations/best_test.json').read_text())['images']
    names = {'_'.join(image['file_name'].split('/')[-2:]) for image in images}
    assert {path.name for path in pictures.iterdir()} == names and len(names) == 4
    picture = cv2.imread(str(pictures / min(names)))
    zoom = round(512 / 96)
    panel = 64 * zoom + 28
    assert picture.shape[1] == 3 * 96 * zoom + 8 and picture.shape[0] in (panel + 22, panel + 44)
    truth = picture[28:panel, 96 * zoom + 4 : 2 * 96 * zoom + 4]
    sky = truth[10, 100].astype(int)  # the drawn sky under IDD's colour for it
    assert np.abs(sky - (0.65 * np.array([180, 130, 70]) + 0.35 * np.array(streets.COLOURS['sky']))).max() < 25


def break_ids(data):
    path = next(data.glob('gtFine/train/*/*Ids.png'))
    cv2.imwrite(str(path), np.full((64, 96), 99, np.uint8))


def no_images(data):
    for path in data.glob('leftImg8bit/*/*/*.png'):
        path.unlink()


@pytest.mark.parametrize(
    ('tool', 'spoil', 'said'),
    [
        ('semantic', lambda data: (data / 'leftImg8bit').rename(data / 'images'), 'must be laid out as IDD is'),
        ('semantic', lambda data: next(data.glob('gtFine/val/*/*polygons.json')).unlink(), '1 of 8 have none'),
        ('semantic', break_ids, 'must hold class ids from 0 to 25 and 255 for void; it holds 99'),
        ('train', lambda data: shutil.rmtree(data / 'gtFine'), 'maps of'),
        ('train', no_images, '34 of 34 images of'),
    ],
)
def test_bad_input_is_one_line(workflow, tmp_path, tool, spoil, said):
    data = shutil.copytree(workflow.folder / 'data/idd', tmp_path / 'data')
    for path in data.glob('gtFine/val/*/*Ids.png'):
        path.unlink()
    spoil(data)
    if tool == 'train':
        command = f'python tools/train.py {FROZEN} --work-dir {tmp_path}/run --cfg-options data_root={data}'
    else:
        command = f'python -m data_prep semantic {data}'
    done = workflow.run(command)
    assert done.returncode == 2, done.stderr
    assert 'Traceback' not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith('error: ') and said in last, last


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_panoptic_end_to_end(place, tmp_path):
    """About two minutes of one core."""
    here = small(place(250, PANOPTIC), PANOPTIC)
    drawn_panoptic.write(here.folder / 'data')
    options = ['--cfg-options', 'data_root=data']
    train = f'python tools/train.py {PANOPTIC} --work-dir work_dirs/pan {" ".join(options)}'
    code, said = here.stop(plain(here, train), signal.SIGTERM)
    assert code == 143, said[-3000:]
    resumed = here.run(train, '--resume')
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    test = (
        f'python tools/test.py {PANOPTIC} work_dirs/pan/best_*.pth --work-dir work_dirs/pan --show-dir {tmp_path}/seen'
    )
    tested = here.run(test, *options)
    assert tested.returncode == 0, tested.stderr[-3000:]
    learnt, nothing = figures(here, 'pan'), untrained(here, PANOPTIC, 'data')
    print({key: round(value, 3) for key, value in learnt.items()}, nothing)
    assert learnt['panoptic/PQ'] >= max(0.3, 3 * nothing.get('panoptic/PQ', 0))
    assert learnt['panoptic/PQ_things'] > 0.1
    assert len(list((tmp_path / 'seen').glob('*.png'))) == 6

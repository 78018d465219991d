"""The stages of `configs/cityscapes/stages.py` end to end at toy size: killed between and inside stages, they go on."""

import json
import re
from types import SimpleNamespace

import cv2
import pytest
import torch

from fallen_trees.start_weights import read_checkpoint

pytestmark = pytest.mark.timeout(900)  # of a busy machine: 70 CPU-seconds make the chain
MASK_RCNN = ['stage0', 'mask_rcnn_stage1', 'mask_rcnn_stage2', 'mask_rcnn_stage3']
MASK2FORMER = ['mask2former_stage1', 'mask2former_stage2', 'mask2former_stage3']


@pytest.fixture(scope='module')
def chain(place, made_once):
    """The chain of Mask R-CNN, killed after Stage 0 and, once it has a checkpoint, inside Stage 1."""
    here, found = made_once('mask_rcnn', lambda: killed_twice(place))
    return SimpleNamespace(place=here, results=here.results, **found)


def killed_twice(place):
    here = place(epochs=(8, 6, 8, 2), trials=2)
    said = []
    first = here.start('--only', *MASK_RCNN)
    for line in first.stdout:
        said.append(line)
        if 'stage0: test done' in line:
            break
    here.kill('run_stages.py')
    said.append(first.communicate()[0])
    stage1 = here.results / 'mask_rcnn_stage1'
    second = here.start('--only', *MASK_RCNN)
    here.wait_for(lambda: (stage1 / 'last_checkpoint').is_file() or second.poll() is not None)
    here.kill('train.py', 'mask_rcnn_stage1')
    stopped = second.communicate()[0]
    third = here.run('--only', *MASK_RCNN)
    assert third.code == 0, third.said[-3000:]
    return here, dict(codes=(first.returncode, second.returncode), said=(''.join(said), stopped, third.said))


def facts(chain, stage):
    content = json.loads((chain.results / 'results.json').read_text())
    return next(item for item in content['stages'] if item['stage'] == stage)


def state(path):
    return read_checkpoint(path)['state_dict']


def handed_on(chain, stage):
    return chain.results / stage / facts(chain, stage)['trained']['checkpoint']


def test_a_chain_killed_between_stages_goes_on_with_the_next(chain):
    assert chain.codes[0] == 137
    assert 'stage0: train ...' in chain.said[0] and 'stage0: done; starts' in chain.said[1]
    assert 'stage0: train ...' not in chain.said[1] + chain.said[2]


def test_a_run_killed_inside_a_stage_goes_on_from_its_checkpoint(chain):
    assert chain.codes[1] == 1
    assert 'mask_rcnn_stage1: train failed' in chain.said[1] and 'exit code 137' in chain.said[1]
    log = (chain.results / 'mask_rcnn_stage1/unit.log').read_text()
    resumed = re.findall(r'resumed epoch: \d+, iter: (\d+)', log)
    assert len(resumed) == 1 and int(resumed[0]) > 0
    assert log.count('Handed over: 120 of 120 tensors') == 1  # at the start, not where it goes on


def test_the_backbone_of_stage_0_arrives_and_stays(chain):
    first = {name: tensor for name, tensor in state(handed_on(chain, 'stage0')).items() if name.startswith('backbone.')}
    assert len(first) == 120
    for stage in ('mask_rcnn_stage1', 'mask_rcnn_stage2'):
        for path in (chain.results / stage).glob('*.pth'):
            later = state(path)
            assert all(torch.equal(tensor, later[name]) for name, tensor in first.items()), path
        assert f'{stage}: 120 tensors of backbone are to the bit as they were handed over.' in chain.said[2]
    last = state(handed_on(chain, 'mask_rcnn_stage3'))
    assert not torch.equal(first['backbone.layer4.0.conv1.weight'], last['backbone.layer4.0.conv1.weight'])


def test_each_stage_begins_with_all_weights_of_the_one_before(chain):
    for before, stage in (('mask_rcnn_stage1', 'mask_rcnn_stage2'), ('mask_rcnn_stage2', 'mask_rcnn_stage3')):
        one, other = state(handed_on(chain, before)), state(chain.results / stage / 'start.pth')
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
        assert f'{len(one)} of {len(one)} tensors' in (chain.results / stage / 'unit.log').read_text()
    heads = [state(handed_on(chain, stage))['roi_head.bbox_head.fc_cls.weight'] for stage in MASK_RCNN[1:]]
    assert not torch.equal(heads[0], heads[1]) and not torch.equal(heads[1], heads[2])


def test_what_the_search_found_is_trained_with_and_handed_on(chain):
    found = facts(chain, 'mask_rcnn_stage2')['found']
    anchors = found['model.rpn_head.anchor_generator']
    assert anchors['type'] == 'YOLOAnchorGenerator'
    assert {key.rsplit('.', 1)[1] for key in found} == {
        'anchor_generator', 'pos_iou_thr', 'neg_iou_thr', 'min_pos_iou', 'lr_mult'
    }  # fmt: skip
    assert 'trial 1' in (chain.results / 'mask_rcnn_stage2/search/best.py').read_text() or (
        'trial 0' in (chain.results / 'mask_rcnn_stage2/search/best.py').read_text()
    )
    from mmengine.config import Config

    for stage in MASK_RCNN[2:]:
        cfg = Config.fromfile(chain.results / f'{stage}.py')
        model = cfg.model
        sizes = [list(size) for level in model.rpn_head.anchor_generator.base_sizes for size in level]
        assert sizes == [list(size) for level in anchors['base_sizes'] for size in level]
        assert model.train_cfg.rcnn.assigner.pos_iou_thr == found['model.train_cfg.rcnn.assigner.pos_iou_thr']
        assert model.train_cfg.rpn.assigner.neg_iou_thr == found['model.train_cfg.rpn.assigner.neg_iou_thr']
    assert cfg.train_dataloader.dataset.ann_file == 'annotations/trainval.json'


def test_one_table_has_losses_and_scores_of_each_stage(chain):
    for stage in MASK_RCNN:
        item = facts(chain, stage)
        curve = item['trained']['curve']
        assert len(curve) >= 2
        assert all({'iter', 'train_loss', 'val_loss', 'score'} <= set(row) for row in curve), curve
        assert item['test'][item['metrics'][0]] >= 0
    table = (chain.results / 'results.md').read_text()
    rows = [line for line in table.splitlines() if line.startswith('| ')]
    assert [row.split(' | ')[0].strip('| ') for row in rows[2:6]] == MASK_RCNN
    assert facts(chain, 'mask_rcnn_stage2')['seen'] == dict(val=[0, 8], test=[0, 6])
    assert facts(chain, 'mask_rcnn_stage3')['seen'] == dict(val=[8, 8], test=[0, 6])
    assert 'val 8 of 8' in rows[5]


def test_there_are_pictures_of_each_stage(chain):
    for stage in MASK_RCNN:
        pictures = sorted((chain.results / stage / 'pictures').iterdir())
        assert len(pictures) == 6
        assert cv2.imread(str(pictures[0])).shape[1] == 3 * 480 + 8  # image, truth, prediction


def test_it_has_learnt(chain):
    untrained = chain.results / 'untrained'
    config = chain.results / 'mask_rcnn_stage1.py'
    nothing = ['load_from=None', 'train_cfg.max_iters=1', 'train_cfg.val_interval=1', 'optim_wrapper.optimizer.lr=0',
               'val_cfg=None', 'val_dataloader=None', 'val_evaluator=None', 'default_hooks.checkpoint.interval=1',
               'custom_hooks=[]']  # fmt: skip
    chain.place.tool('train.py', config, '--work-dir', untrained, '--cfg-options', *nothing)
    chain.place.tool('test.py', config, untrained / 'iter_1.pth', '--work-dir', untrained)
    before = json.loads((untrained / 'metrics.json').read_text())['coco/segm_mAP_50']
    learnt = facts(chain, 'mask_rcnn_stage3')['test']['coco/segm_mAP_50']
    assert learnt >= 0.3 and learnt >= 3 * max(0, before)


def test_the_rate_of_stage_0_falls_on_a_plateau_and_stays_there_when_resumed(chain):
    """A threshold that no score can pass: the first validation is the best, and each later one lowers the rate."""
    folder = chain.results / 'plateau'
    options = ['train_cfg.max_iters=4', 'train_cfg.val_interval=1', 'default_hooks.checkpoint.interval=1',
               'default_hooks.logger.interval=1', 'param_scheduler.0.patience=0', 'param_scheduler.0.threshold=9',
               'param_scheduler.0.threshold_rule=abs']  # fmt: skip
    command = ['train.py', 'configs/cityscapes/semantic_r50_stage0.py', '--work-dir', folder, '--resume']
    chain.place.tool(*command, '--cfg-options', *options)
    (folder / 'iter_4.pth').unlink()
    chain.place.tool(*command, '--cfg-options', *options)
    logs = [[json.loads(line) for line in path.read_text().splitlines()]
            for path in sorted(folder.glob('*/vis_data/scalars.json'))]  # fmt: skip
    rates = [{row['iter']: row['lr'] for row in log if 'lr' in row} for log in logs]
    assert rates[0] == pytest.approx({1: 3e-3, 2: 3e-3, 3: 3e-4, 4: 3e-5})
    assert rates[1] == pytest.approx({4: 3e-5})


def test_nothing_is_left_to_do_and_a_changed_setting_is_noticed(chain):
    again = chain.place.run('--only', *MASK_RCNN, '--dry-run')
    assert again.code == 0
    assert all(f'{stage}: done' in again.said for stage in MASK_RCNN)
    options = ['--cfg-options', 'optim_wrapper.optimizer.lr=0.123']
    changed = chain.place.run('--dry-run', '--only', *MASK_RCNN, *options)
    assert changed.code == 2
    assert 'stage0 was begun with other settings: optim_wrapper.optimizer.lr: 0.003 -> 0.123' in changed.said


@pytest.mark.slow
def test_the_chain_of_mask2former(place):
    here = place(epochs=(10, 20, 20, 10), trials=2)
    done = here.run('--only', 'stage0', *MASK2FORMER)
    assert done.code == 0, done.said[-3000:]
    chain = SimpleNamespace(results=here.results)
    first = {name: tensor for name, tensor in state(handed_on(chain, 'stage0')).items() if name.startswith('backbone.')}
    for stage in MASK2FORMER[:2]:
        later = state(handed_on(chain, stage))
        assert all(torch.equal(tensor, later[name]) for name, tensor in first.items())
    assert len(facts(chain, MASK2FORMER[1])['found']) == 4
    rate = facts(chain, MASK2FORMER[1])['found']['optim_wrapper.optimizer.lr']
    assert facts(chain, MASK2FORMER[2])['found']['optim_wrapper.optimizer.lr'] == pytest.approx(rate / 10)
    assert facts(chain, MASK2FORMER[2])['test']['coco/segm_mAP_50'] >= 0.3

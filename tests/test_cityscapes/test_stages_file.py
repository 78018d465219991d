"""What a file of stages may say, and what is refused in one line; weights that are handed over."""

from dataclasses import replace

import pytest
import torch

from fallen_trees.ablation.record import write_record
from fallen_trees.errors import ConfigError
from fallen_trees.resume.checkpoint_file import sha256
from fallen_trees.stages.arrival import arrived, hand_over, moved
from fallen_trees.stages.chain import require_unchanged, stages_of
from fallen_trees.stages.found import scaled
from fallen_trees.stages.stages_file import read_stages
from fallen_trees.start_weights import read_checkpoint
from fallen_trees.weights.backbones import read_backbone

GOOD = "stages = dict(one=dict(config='a.py'), two=dict(config='b.py', start='one', parts=['backbone']))\n"


def test_a_file_is_read(tmp_path):
    (tmp_path / 'stages.py').write_text(GOOD + "options = {'data_root': 'data'}\n_own = 1\n")
    said = read_stages(str(tmp_path / 'stages.py'))
    assert said.name == tmp_path.name
    assert [entry.name for entry in said.stages] == ['one', 'two']
    assert (said.stages[1].start, said.stages[1].parts, said.stages[1].checkpoint) == (('one',), ('backbone',), 'best')
    assert said.tools['train'] == 'tools/train.py' and said.options == {'data_root': 'data'}


BAD = [
    ('stages = {}', 'stages must be given'),
    ("stages = dict(one=dict(config='a.py')); stage = 1", "nothing reads the key 'stage'; is 'stages' meant?"),
    ("stages = {'../x': dict(config='a.py')}", 'will name a folder'),
    ('stages = dict(one=dict())', "stage one: config must be given, as config='configs/x.py'; got None"),
    ("stages = dict(one=dict(config='a.py', froze=['backbone']))", "nothing reads the key 'froze'; is 'frozen' meant?"),
    ("stages = dict(one=dict(config='a.py', start='two'))", "no stage before it is called 'two'; there are none"),
    ("stages = dict(one=dict(config='a.py', checkpoint='first'))", "checkpoint must be 'best' or 'last'"),
    ("stages = dict(one=dict(config='a.py', frozen='backbone'))", 'must be a list'),
    ("stages = dict(one=dict(config='a.py', options=3))", 'must be a dict'),
    ("stages = dict(one=dict(config='a.py'))\ntools = dict(trian='x.py')", "is 'train' meant?"),
    ("stages = {'one': dict(config='a.py'), 'one': dict(config='b.py')}", "'one' stands twice"),
    ("stages = dict(one=dict(config='a.py')\n", 'line 1'),
]


@pytest.mark.parametrize(('text', 'said'), BAD)
def test_what_cannot_be_meant_is_refused(tmp_path, text, said):
    (tmp_path / 'stages.py').write_text(text)
    with pytest.raises(ConfigError) as error:
        read_stages(str(tmp_path / 'stages.py'))
    assert said in str(error.value) and '\n' not in str(error.value)


COMMANDS = [
    (['--only', 'stage9'], "there is no stage 'stage9'"),
    (['--cfg-options', 'data_root=nowhere'], 'nowhere/annotations/semantic_coarse.json does not exist'),
    (['--cfg-options', 'optim_wraper.x=1'], "there is no 'optim_wraper' in the config; is 'optim_wrapper' meant?"),
    (['--only', 'mask_rcnn_stage2'], 'mask_rcnn_stage2 starts from mask_rcnn_stage1, which is not trained yet'),
]


@pytest.fixture(scope='module')
def untouched(place):
    return place()


@pytest.mark.parametrize(('args', 'said'), COMMANDS)
def test_what_cannot_run_is_one_line_before_anything_starts(untouched, args, said):
    done = untouched.run(*args)
    assert done.code == 2, done.said
    last = done.said.strip().splitlines()[-1]
    assert last.startswith('error: ') and said in last, done.said
    assert not untouched.results.exists() or not list(untouched.results.glob('*/unit.log'))


def tensors():
    return {'backbone.conv1.weight': torch.ones(2, 3), 'neck.a': torch.zeros(4), 'head.queries': torch.ones(5, 2)}


def test_a_tensor_that_did_not_arrive_is_named():
    model = tensors()
    assert '3 of 3 tensors of x.pth arrived to the bit.' in arrived(model, tensors(), ['backbone'], 'x.pth')
    model['neck.a'] = torch.ones(4)
    with pytest.raises(ConfigError, match=r'1 tensors did not arrive as they were handed over: neck\.a'):
        arrived(model, tensors(), ['backbone'], 'x.pth')


def test_a_tensor_that_was_made_to_fit_is_said_unless_its_part_must_be_whole():
    model = tensors() | {'head.queries': torch.ones(7, 2)}
    assert 'made to fit: head.queries' in arrived(model, tensors(), ['backbone'], 'x.pth')
    with pytest.raises(ConfigError, match='head.queries'):
        arrived(model, tensors(), ['head'], 'x.pth')
    with pytest.raises(ConfigError, match=r'backbone\.bn1\.weight'):  # one that nobody handed over
        arrived(tensors() | {'backbone.bn1.weight': torch.ones(2)}, tensors(), ['backbone'], 'x.pth')


def checkpoint(path, state):
    torch.save(dict(state_dict=state, meta=dict(dataset_meta=dict(classes=('car',)))), path)
    return path


def test_parts_are_handed_over_and_what_moves_is_seen(tmp_path):
    source = checkpoint(tmp_path / 'a.pth', tensors())
    hand_over(source, ['backbone'], tmp_path / 'new/start.pth')
    assert list(read_checkpoint(tmp_path / 'new/start.pth')['state_dict']) == ['backbone.conv1.weight']
    hand_over(source, [], tmp_path / 'all.pth')
    assert read_checkpoint(tmp_path / 'all.pth')['state_dict'].keys() == tensors().keys()
    assert read_checkpoint(tmp_path / 'all.pth')['meta']['dataset_meta']['classes'] == ('car',)
    with pytest.raises(ConfigError, match='must hold the weights of decoder'):
        hand_over(source, ['decoder'], tmp_path / 'b.pth')
    later = tensors()
    later['backbone.conv1.weight'][0, 0] += 1e-6
    after = checkpoint(tmp_path / 'later.pth', later)
    assert moved(source, after, ['backbone']) == (1, ['backbone.conv1.weight'])
    assert moved(source, after, ['neck']) == (1, [])


def test_backbones_of_other_frameworks_have_our_names(tmp_path):
    resnet = {'conv1.weight': torch.ones(1), 'bn1.running_mean': torch.ones(2), 'layer4.2.conv3.weight': torch.ones(3)}
    deeplab = {f'backbone.{name}': tensor for name, tensor in resnet.items()} | {'classifier.4.weight': torch.ones(4)}
    named = [f'backbone.{name}' for name in resnet]
    for content in (resnet | {'fc.weight': torch.ones(9)}, deeplab | {'aux_classifier.0.weight': torch.ones(1)},
                    {'state_dict': {f'module.{name}': tensor for name, tensor in deeplab.items()}}):  # fmt: skip
        torch.save(content, tmp_path / 'x.pth')
        assert list(read_backbone(tmp_path / 'x.pth')) == named
    for content, said in (
        ({'backbone.stem.0.weight': torch.ones(1)}, 'ResNetV1c or V1d'),
        ({'encoder.weight': torch.ones(1)}, 'holds no backbone'),
    ):
        torch.save(content, tmp_path / 'x.pth')
        with pytest.raises(ConfigError, match=said):
            read_backbone(tmp_path / 'x.pth')


def test_torchvisions_names_fill_mmdetections_resnet(tmp_path):
    """Its DeepLabv3 has the names of its ResNet behind `backbone.`; those of MMDetection's are the same."""
    from mmdet.models.backbones import ResNet

    state = ResNet(50).state_dict()
    torch.save({f'backbone.{name}': tensor for name, tensor in state.items()}, tmp_path / 'deeplab.pth')
    hand_over(tmp_path / 'deeplab.pth', ['backbone'], tmp_path / 'start.pth')
    handed = read_checkpoint(tmp_path / 'start.pth')['state_dict']
    assert {name.removeprefix('backbone.') for name in handed} == set(state)
    for name in ('conv1.weight', 'layer1.0.downsample.0.weight', 'layer4.2.bn3.running_var'):  # as torchvision has them
        assert f'backbone.{name}' in handed


def test_found_values_are_handed_on_times_a_factor():
    assert scaled({'lr': 2.0, 'queries': 50}, {'lr': 0.1}) == pytest.approx({'lr': 0.2, 'queries': 50})


@pytest.fixture
def stages(untouched, monkeypatch, tmp_path):
    """Stages of the file with a record of the first two, as if they had been trained; options are of the first."""
    monkeypatch.chdir(untouched.folder)
    said = read_stages('configs/cityscapes/stages.py')

    def make(**options):
        first = replace(said.stages[0], options=options)
        return stages_of(replace(said, stages=(first, *said.stages[1:])), tmp_path, None)[:3]

    for stage in make()[:2]:
        stage.folder.mkdir()
        name = checkpoint(stage.folder / 'best.pth', tensors()).name
        start = dict(file='stage0', sha256=sha256(tmp_path / 'stage0/best.pth')) if stage.before else None
        done = dict(train=dict(checkpoint=name), test=dict(hash='', figures={}))
        record = dict(settings=stage.settings(), start=start or dict(file=None, sha256=None), done=done)
        write_record(stage.folder, record)
    return make


def test_a_stage_that_has_changed_is_refused_or_runs_again_with_all_that_started_from_it(stages):
    assert require_unchanged(stages(), rerun=False) == []
    changed = {'optim_wrapper.optimizer.weight_decay': 0.5}
    with pytest.raises(ConfigError, match='stage0 was begun with other settings: optim_wrapper.optimizer.weight_decay'):
        require_unchanged(stages(**changed), rerun=False)
    lines = require_unchanged(stages(**changed), rerun=True)
    assert [line.split(':')[0] for line in lines] == ['stage0', 'mask_rcnn_stage1']
    for stage in stages()[:2]:
        assert not stage.folder.exists() and stage.folder.with_name(f'{stage}.replaced_1').is_dir()


def test_weights_that_were_exchanged_are_noticed(stages):
    first = stages()[0]
    checkpoint(first.checkpoint, tensors() | {'neck.b': torch.ones(1)})
    with pytest.raises(ConfigError, match='mask_rcnn_stage1 was begun with other settings: start: stage0'):
        require_unchanged(stages(), rerun=False)


def test_a_search_with_failed_trials_is_done_where_others_came_to_a_figure(stages):
    stage = stages()[2]
    (stage.folder / 'search').mkdir(parents=True)
    write_record(stage.folder, dict(running=dict(stage='search', at=0)))
    stage.fail('search', 1.0, '1 trial failed (exit code 1; unit.log)')
    assert stage.record['failed']['stage'] == 'search'  # nothing came to a figure
    found = {'rcnn': dict(assigner=dict(pos_iou_thr=0.4, neg_iou_thr=0.4, min_pos_iou=0.4)),
             'rpn': dict(assigner=dict(pos_iou_thr=0.6, neg_iou_thr=0.2))}  # fmt: skip
    rates = dict(paramwise_cfg=dict(custom_keys=dict(neck=dict(lr_mult=0.3))))
    (stage.folder / 'search/best.py').write_text(f'model = dict(train_cfg={found})\noptim_wrapper = {rates}\n')
    write_record(stage.folder, dict(running=dict(stage='search', at=0)))
    stage.fail('search', 1.0, '1 trial failed (exit code 1; unit.log)')
    assert 'failed' not in stage.record
    assert stage.found()['optim_wrapper.paramwise_cfg.custom_keys.neck.lr_mult'] == 0.3
    assert stage.found()['model.train_cfg.rcnn.assigner.pos_iou_thr'] == 0.4


def test_the_first_start_that_is_there_is_taken(stages, tmp_path, monkeypatch):
    first = stages()[0]
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    assert first.source() is None
    (tmp_path / 'torch/hub/checkpoints').mkdir(parents=True)
    there = tmp_path / 'torch/hub/checkpoints/deeplabv3_resnet50_coco-cd0a2569.pth'
    there.write_bytes(b'')
    assert first.source() == there

"""What must hold for the configs of the stages, besides what a chain of them shows."""

import ast
from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from fallen_trees.checks.data.boxes import check_outlines
from fallen_trees.checks.data.fed_masks import check_lost_objects
from fallen_trees.checks.finding import Verdict
from fallen_trees.checks.recipe.class_counts import instances_out
from fallen_trees.checks.recipe.memory import memory
from fallen_trees.checks.recipe.schedule import lr_schedule
from fallen_trees.checks.subject import MAPS, Subject
from fallen_trees.config_keys import check_keys
from fallen_trees.derive.config import derive
from fallen_trees.stages.stages_file import read_stages

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
LEAVES = sorted(file for file in (CONFIGS / 'cityscapes').glob('*.py') if file.stem != 'stages')


def load(file, data):
    init_default_scope('mmdet')
    cfg = Config.fromfile(file)
    cfg.data_root = str(data)
    derive(cfg, ('train', 'val', 'test'))
    return cfg


@pytest.mark.parametrize('file', LEAVES, ids=lambda file: file.stem)
def test_a_leaf_reads_as_an_experiment_and_builds(file, street_data):
    text = file.read_text()
    assert 'python tools/' in ast.get_docstring(ast.parse(text)) and len(text.splitlines()) <= 60
    cfg = load(file, street_data)
    check_keys(cfg)
    if file.stem[-1] in '01':  # the others have these models
        MODELS.build(cfg.model)
    frozen = {'1': 4, '2': 4}.get(file.stem[-1], -1)
    assert cfg.model.backbone.frozen_stages == frozen
    # 26 images (24 coarse ones; 34 with the validation's), whole updates of 8
    updates = {'0': 12 * 3, '1': 4 * 4, '2': 6 * 4, '3': 4 * 5}[file.stem[-1]]
    accumulated = cfg.optim_wrapper.accumulative_counts
    assert cfg.train_cfg.max_iters == updates * accumulated
    assert cfg.train_dataloader.batch_size * accumulated == 8
    assert cfg.default_hooks.checkpoint.save_best == ('semantic/mIoU' if 'stage0' in file.stem else 'coco/segm_mAP')


def test_the_first_stage_is_what_was_asked_for(street_data):
    cfg = load(CONFIGS / 'cityscapes/semantic_r50_stage0.py', street_data)
    assert (cfg.epochs, cfg.optim_wrapper.optimizer.type) == (12, 'Adam')
    assert cfg.param_scheduler[0].type == 'ReduceOnPlateauLR'
    assert cfg.param_scheduler[0].monitor == cfg.default_hooks.checkpoint.save_best
    head = cfg.model.semantic_head
    assert head.loss_seg.type == 'CrossEntropyLoss' and head.loss_seg.ignore_index == 255
    assert len(cfg.metainfo.classes) == head.num_classes == 19
    assert MODELS.build(head).conv_logits.out_channels == 19
    assert cfg.metainfo.palette[0] == (128, 64, 128)


def test_the_doctor_has_no_false_alarm_of_the_first_stage(street_data):
    cfg = load(CONFIGS / 'cityscapes/semantic_r50_stage0.py', street_data)
    cfg.train_dataloader.num_workers = 0
    subject = Subject(cfg)
    for check in (check_outlines, check_lost_objects, instances_out, memory):
        assert [(found.verdict, found.message) for found in check(subject)] == [(Verdict.OK, MAPS)]
    assert {found.verdict for found in lr_schedule(subject) if found.check == 'lr-schedule'} == {Verdict.OK}


def test_the_last_stage_has_a_tenth_of_the_rate(street_data):
    for model in ('mask_rcnn', 'mask2former'):
        rates = [load(CONFIGS / f'cityscapes/{model}_r50_stage{n}.py', street_data).optim_wrapper.optimizer.lr
                 for n in (1, 2, 3)]  # fmt: skip
        assert rates == pytest.approx([rates[0], rates[0], rates[0] / 10])


def test_the_file_of_stages_names_files_that_are_there():
    said = read_stages(str(CONFIGS / 'cityscapes/stages.py'))
    assert len(said.stages) == 7
    for entry in said.stages:
        assert (CONFIGS.parent / entry.config).is_file()
        assert not entry.search or (CONFIGS.parent / entry.search).is_file()
        assert entry.frozen == (('backbone',) if entry.name[-1] in '12' else ())

import json
import shutil

import pytest
from mmengine.config import Config, ConfigDict

from fallen_trees.derive.config import derive
from fallen_trees.errors import ConfigError

SPLITS = ('train', 'val', 'test')


def test_classes_reach_everything_that_counts_them(demo_config, tiles):
    notes = derive(demo_config, SPLITS)
    names = [c['name'] for c in json.loads((tiles / 'annotations/instances_train.json').read_text())['categories']]
    assert demo_config.metainfo.classes == tuple(names) == ('fallen_tree',)
    assert len(demo_config.metainfo.palette) == 1
    assert demo_config.model.panoptic_head.num_things_classes == 1
    assert demo_config.model.panoptic_fusion_head.num_things_classes == 1
    assert demo_config.model.panoptic_head.loss_cls.class_weight == [1.0, 0.1]
    assert demo_config.val_dataloader.dataset.metainfo.classes == ('fallen_tree',)
    assert any('fallen_tree' in note for note in notes)


@pytest.mark.parametrize('part', ['panoptic_head', 'panoptic_fusion_head'])
def test_a_head_of_another_number_of_classes_is_refused(demo_config, part):
    demo_config.model[part].num_things_classes = 80
    with pytest.raises(ConfigError, match=rf'^model\.{part}\.num_things_classes is 80, the number of classes is 1; '):
        derive(demo_config, SPLITS)


def test_windows_without_files_are_told_their_loader(demo_config, tiles):
    path = tiles / 'annotations/instances_train.json'
    coco = json.loads(path.read_text())
    for image in coco['images']:
        image['file_name'] += '.window'
    other = path.with_name('windows.json')
    other.write_text(json.dumps(coco))
    demo_config.train_dataloader.dataset.ann_file = f'annotations/{other.name}'
    try:
        with pytest.raises(ConfigError, match='begin the pipelines with LoadImageFromScene'):
            derive(demo_config, SPLITS)
    finally:
        other.unlink()


def test_evaluators_score_against_the_file_of_their_loader(demo_config, tiles):
    derive(demo_config, SPLITS)
    for split in ('val', 'test'):
        assert demo_config[f'{split}_evaluator'].ann_file == str(tiles / f'annotations/instances_{split}.json')


def test_image_size_reaches_every_pipeline(demo_config):
    demo_config.image_size = (96, 64)
    derive(demo_config, SPLITS)
    pipeline = {t.type: t for t in demo_config.train_dataloader.dataset.pipeline}
    assert pipeline['RandomResize'].scale == pipeline['RandomCrop'].crop_size == (96, 64)
    for split in ('val', 'test'):
        resize = next(t for t in demo_config[f'{split}_dataloader'].dataset.pipeline if t.type == 'Resize')
        assert resize.scale == (96, 64)


@pytest.mark.parametrize('max_iters', [10, 1000, 48000])
def test_schedule_keeps_its_shape_in_runs_of_any_length(demo_config, max_iters):
    demo_config.train_cfg.max_iters = max_iters
    derive(demo_config, SPLITS)
    warmup, steps = demo_config.param_scheduler
    assert steps.end == max_iters
    assert steps.milestones == [max_iters * 7 // 10, max_iters * 9 // 10]
    assert 2 <= warmup.end <= max(2, max_iters / 10)
    assert warmup.end < steps.milestones[0]


def test_stated_values_stay(demo_config):
    demo_config.param_scheduler[1].milestones = [3]
    demo_config.model.panoptic_head.loss_cls.class_weight = [2.0, 0.5]
    derive(demo_config, SPLITS)
    assert demo_config.param_scheduler[1].milestones == [3]
    assert demo_config.model.panoptic_head.loss_cls.class_weight == [2.0, 0.5]


def test_detections_per_image_follow_the_queries(demo_config):
    demo_config.model.panoptic_head.num_queries = 33
    derive(demo_config, SPLITS)
    assert demo_config.model.test_cfg.max_per_image == 33


def test_more_detections_than_queries_can_give_are_refused(demo_config):
    demo_config.model.test_cfg.max_per_image = 26
    with pytest.raises(ConfigError, match='25 queries x 1 classes'):
        derive(demo_config, SPLITS)


def test_only_the_files_of_the_loaders_that_run_are_read(demo_config, tiles, tmp_path):
    shutil.copytree(tiles, tmp_path / 'data')
    shutil.rmtree(tmp_path / 'data/images/train')
    demo_config.data_root = str(tmp_path / 'data')
    derive(demo_config, ('test',))
    with pytest.raises(ConfigError, match='images'):
        derive(demo_config, ('train',))


def test_classes_of_a_checkpoint_are_held_against_the_data(demo_config):
    with pytest.raises(ConfigError, match="'log' is no category"):
        derive(demo_config, ('test',), classes=('log',))


def test_classes_in_the_config_are_taken(demo_config):
    demo_config.metainfo.classes = ('fallen_treee',)
    with pytest.raises(ConfigError, match="'fallen_tree' meant"):
        derive(demo_config, SPLITS)


def test_the_derived_config_survives_being_dumped(demo_config, tmp_path):
    derive(demo_config, SPLITS)
    demo_config.dump(tmp_path / 'dumped.py')
    again = Config.fromfile(tmp_path / 'dumped.py')
    assert again.model == demo_config.model
    assert again.train_dataloader == demo_config.train_dataloader


def test_a_short_run_still_reaches_its_learning_rate(demo_config):
    """MMEngine's LinearLR with end=1 stays at its first factor for ever."""
    demo_config.train_cfg.max_iters = 5
    derive(demo_config, ('train',))
    assert demo_config.param_scheduler[0].end == 2


def test_no_workers_means_none_that_persist(demo_config):
    demo_config.train_dataloader.num_workers = 0
    derive(demo_config, ('train', 'val'))
    assert demo_config.train_dataloader.persistent_workers is False
    assert demo_config.val_dataloader.persistent_workers is True


def test_a_schedule_that_follows_from_iterations_wants_iterations(demo_config):
    demo_config.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
    with pytest.raises(ConfigError, match='LinearLR and MultiStepLR follows from train_cfg.max_iters'):
        derive(demo_config, ('train',))


def test_checkpoints_will_know_how_tiles_were_cut(demo_config, tiles):
    derive(demo_config, SPLITS)
    facts = demo_config.train_dataloader.dataset.metainfo.tiles
    assert facts.to_dict() == dict(
        size_px=[128, 128], gsd_m=0.05, scale=1, bands=[1, 2, 3], overlap=0.25, stretch='auto'
    )
    assert 'tiles' not in demo_config.metainfo and 'tiles' not in demo_config.val_dataloader.dataset.metainfo


def test_facts_of_tiles_do_not_count_as_a_changed_run(demo_config):
    from fallen_trees.resume.config_diff import fingerprint

    derive(demo_config, SPLITS)
    after = fingerprint(demo_config, {})
    del demo_config.train_dataloader.dataset.metainfo['tiles']
    assert fingerprint(demo_config, {}) == after


def other_model(cfg, **head):
    """Put the heads of another detector into a config."""
    cfg.model = ConfigDict(
        type='MaskRCNN',
        rpn_head=dict(type='RPNHead', in_channels=8),
        roi_head=dict(bbox_head=dict(type='Shared2FCBBoxHead', **head), mask_head=dict(num_classes=None)),
        test_cfg=dict(rpn=dict(max_per_img=50), rcnn=dict(max_per_img=None)),
    )
    return cfg


def test_other_detectors_are_filled_in_too(demo_config):
    cfg = other_model(demo_config, num_classes=None, loss_cls=dict(type='CrossEntropyLoss', class_weight=None))
    derive(cfg, SPLITS)
    assert cfg.model.roi_head.bbox_head.num_classes == cfg.model.roi_head.mask_head.num_classes == 1
    assert cfg.model.test_cfg == dict(rpn=dict(max_per_img=50), rcnn=dict(max_per_img=100))
    # It tells classes from ground by other means than a class of its own.
    assert cfg.model.roi_head.bbox_head.loss_cls.class_weight is None
    assert 'num_classes' not in cfg.model.rpn_head


def test_a_head_that_would_count_cocos_classes_is_refused(demo_config):
    with pytest.raises(ConfigError, match=r'roi_head.bbox_head \(Shared2FCBBoxHead\).* would count 80; write num_cl'):
        derive(other_model(demo_config), SPLITS)


def test_a_schedule_of_another_kind_ends_with_the_run(demo_config):
    demo_config.param_scheduler[1] = ConfigDict(type='PolyLR', by_epoch=False, begin=0, end=None)
    derive(demo_config, ('train',))
    assert demo_config.param_scheduler[1].end == demo_config.train_cfg.max_iters

"""Where a data set's splits lie is recognised from its folder, and said; what is missing is one clear line."""

import json

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from fallen_trees.derive.config import REPOSITORY, derive
from fallen_trees.derive.layouts import recognise
from fallen_trees.errors import ConfigError

SPLITS = ('train', 'val', 'test')
LOG = [dict(id=1, name='log')]


def write(root, ann_file, images, *, categories=LOG, category_id=1):
    """One photo with one object."""
    (root / images).mkdir(parents=True, exist_ok=True)
    (root / images / 'a.jpg').touch()
    (root / ann_file).parent.mkdir(parents=True, exist_ok=True)
    box = dict(bbox=[1, 1, 4, 4], area=16, iscrowd=0, segmentation=[[1, 1, 5, 1, 5, 5, 1, 5]])
    content = dict(
        images=[dict(id=1, file_name='a.jpg', width=8, height=8)],
        annotations=[dict(id=1, image_id=1, category_id=category_id, **box)],
        categories=categories,
    )
    (root / ann_file).write_text(json.dumps(content))


def roboflow(root, *splits, **changes):
    for split in splits:
        write(root, f'{split}/_annotations.coco.json', split, **changes)
    return root


@pytest.fixture
def config(tmp_path):
    init_default_scope('mmdet')
    cfg = Config.fromfile(REPOSITORY / 'configs/coco/m2f_r50_custom.py')
    cfg.data_root = str(tmp_path)
    return cfg


def places(cfg):
    loaders = (cfg[f'{split}_dataloader'].dataset for split in SPLITS)
    return [(dataset.ann_file, dataset.data_prefix.img) for dataset in loaders]


def test_roboflow(config, tmp_path):
    roboflow(tmp_path, 'train', 'valid', 'test')
    notes = derive(config, SPLITS)
    assert places(config) == [(f'{s}/_annotations.coco.json', f'{s}/') for s in ('train', 'valid', 'test')]
    assert notes[0] == f'Layout of {tmp_path}: Roboflow (train/_annotations.coco.json).'
    assert config.val_evaluator.ann_file == str(tmp_path / 'valid/_annotations.coco.json')


@pytest.mark.parametrize('images', ['', 'images/'])
def test_coco_is_tested_on_its_validation_images(config, tmp_path, images):
    for split in ('train2017', 'val2017'):
        write(tmp_path, f'annotations/instances_{split}.json', f'{images}{split}')
    notes = derive(config, SPLITS)
    expected = [(f'annotations/instances_{s}2017.json', f'{images}{s}2017/') for s in ('train', 'val', 'val')]
    assert places(config) == expected
    assert any('no test split' in note and 'instances_val2017.json' in note for note in notes)


def test_data_prep(config, tmp_path):
    for split in SPLITS:
        write(tmp_path, f'annotations/instances_{split}.json', f'images/{split}')
    derive(config, SPLITS)
    assert places(config) == [(f'annotations/instances_{s}.json', f'images/{s}/') for s in SPLITS]


def test_what_is_stated_stays(config, tmp_path):
    roboflow(tmp_path, 'train', 'valid')
    write(tmp_path, 'hundred.json', 'train')
    config.train_dataloader.dataset.ann_file = 'hundred.json'
    derive(config, ('train', 'val'))
    assert places(config)[0] == ('hundred.json', 'train/')


def test_splits_that_do_not_run_may_be_missing(config, tmp_path):
    roboflow(tmp_path, 'test')
    derive(config, ('test',))
    assert places(config)[2] == ('test/_annotations.coco.json', 'test/')


def test_nothing_is_looked_for_where_nothing_is_read(config, tmp_path):
    config.data_root = str(tmp_path / 'nowhere')
    derive(config, (), ('log',))
    assert places(config)[0] == (None, None)


@pytest.mark.parametrize(
    ('splits', 'said'),
    [
        (('valid', 'test'), 'laid out as Roboflow has it, but the file train/_annotations.coco.json is missing'),
        (('train',), 'the file valid/_annotations.coco.json is missing'),
    ],
)
def test_a_missing_split_is_named(config, tmp_path, splits, said):
    roboflow(tmp_path, *splits)
    with pytest.raises(ConfigError, match=said):
        derive(config, ('train', 'val'))


def test_a_missing_folder_of_images_is_named(config, tmp_path):
    for split in ('train', 'val'):
        write(tmp_path, f'annotations/instances_{split}.json', f'images/{split}')
    (tmp_path / 'images/train/a.jpg').unlink()
    (tmp_path / 'images/train').rmdir()
    with pytest.raises(ConfigError, match='the folder of images images/train/ is missing'):
        derive(config, ('train', 'val'))


def test_an_unknown_layout_says_what_was_looked_for_and_what_is_there(tmp_path):
    (tmp_path / 'labels.csv').touch()
    with pytest.raises(ConfigError) as caught:
        recognise(tmp_path)
    message = str(caught.value)
    assert '\n' not in message
    for part in ('train/_annotations.coco.json (Roboflow)', 'instances_train2017.json (COCO)',
                 'instances_train.json (data_prep)', 'there is labels.csv'):  # fmt: skip
        assert part in message
    with pytest.raises(ConfigError, match='nowhere does not exist'):
        recognise(tmp_path / 'nowhere')


TWIN = [dict(id=0, name='log', supercategory='none'), dict(id=1, name='log', supercategory='log')]


def test_a_root_with_the_name_of_the_class_is_no_second_class(config, tmp_path):
    """Roboflow calls the root like the project; MMDetection would number the one class 0 and 1."""
    from mmdet.registry import DATASETS, METRICS

    roboflow(tmp_path, 'train', 'valid', categories=TWIN)
    derive(config, ('train', 'val'))
    assert config.metainfo.classes == ('log',)
    loader = config.val_dataloader.dataset
    loader.pipeline, loader.serialize_data = [], False
    dataset = DATASETS.build(loader)
    assert (dataset.cat_ids, dataset.cat2label) == ([1], {1: 0})
    assert [found['bbox_label'] for found in dataset.data_list[0]['instances']] == [0]
    metric = METRICS.build(config.val_evaluator)
    assert metric._coco_api.get_cat_ids(cat_names=('log',)) == [1]


def test_two_classes_of_one_name_stay_an_error(config, tmp_path):
    roboflow(tmp_path, 'train', 'valid', categories=TWIN, category_id=0)
    with pytest.raises(ConfigError, match='share a name'):
        derive(config, ('train', 'val'))


def test_a_config_and_a_checkpoint_of_other_classes_are_refused(config, tmp_path):
    roboflow(tmp_path, 'test')
    config.metainfo.classes = ('log',)
    with pytest.raises(ConfigError, match=r"trained for the classes \['tree'\], the config states \['log'\]"):
        derive(config, ('test',), ('tree',))

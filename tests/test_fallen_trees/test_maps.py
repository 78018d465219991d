"""Maps become the objects that MMDetection would make of them, and configs learn from the files what is what."""

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.models.utils.panoptic_gt_processing import preprocess_panoptic_gt
from mmdet.registry import DATASETS
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import init_default_scope

from data_prep.__main__ import main
from fallen_trees.checks.data.boxes import check_outlines
from fallen_trees.checks.finding import Verdict
from fallen_trees.checks.recipe.class_counts import class_counts, instances_out
from fallen_trees.checks.subject import MAPS, Subject
from fallen_trees.derive.config import REPOSITORY, derive
from fallen_trees.errors import ConfigError
from fallen_trees.loading.load_maps import LoadLabelMap, LoadPanopticMap
from fallen_trees.loading.segment_masks import SegmentMasks

sys.path.append(str(REPOSITORY / 'tests/test_workflows'))
import drawn_panoptic  # noqa: E402
import drawn_streets  # noqa: E402

TRAFFIC = REPOSITORY / 'configs/traffic'
NOISELESS = ('ContiguousRandomFlip', 'RandomResize', 'RandomCrop', 'BytePhotoMetricDistortion')


@pytest.fixture(scope='module')
def idd(tmp_path_factory):
    folder = drawn_streets.idd(tmp_path_factory.mktemp('idd'), train=6, val=2, sequences=2)
    assert main(['semantic', str(folder)]) == 0
    return folder


@pytest.fixture(scope='module')
def coco(tmp_path_factory):
    return drawn_panoptic.write(tmp_path_factory.mktemp('coco'), counts=(4, 2))


def config(name, data_root):
    init_default_scope('mmdet')
    cfg = Config.fromfile(TRAFFIC / name)
    cfg.data_root = str(data_root)
    cfg.image_size = (96, 64)
    return cfg


def derived(name, data_root):
    cfg = config(name, data_root)
    derive(cfg, ('train', 'val', 'test'))
    return cfg


def fed(cfg, drop=()):
    """The training set's samples, without some of their steps."""
    node = cfg.train_dataloader.dataset
    node.pipeline = [step for step in node.pipeline if step.type not in drop]
    return DATASETS.build(node)


def segment_masks(seed=0, numbers=7):
    rng = np.random.default_rng(seed)
    ids = np.kron(rng.integers(-1, numbers, (5, 8)), np.ones((6, 4), int)).astype(np.int16)
    segments = np.array([4, 0, 2])
    return SegmentMasks(ids, segments), BitmapMasks((ids == segments[:, None, None]).astype(np.uint8), *ids.shape)


@pytest.mark.parametrize(
    'change',
    [
        lambda masks: masks,
        lambda masks: masks[[2, 0]],
        lambda masks: masks[:0],
        lambda masks: masks.pad((37, 40)),
        lambda masks: masks.pad((37, 40), pad_val=1),
        lambda masks: masks.flip(),
        lambda masks: masks.resize((60, 20)),
        lambda masks: masks.crop(np.array([3, 2, 20, 11])),
    ],
)
def test_segment_masks_are_bitmap_masks(change):
    one, other = map(change, segment_masks())
    assert len(one) == len(other) and isinstance(one, BitmapMasks)
    assert (one.to_ndarray() == other.to_ndarray()).all() and (one.areas == other.areas).all()
    assert (one.height, one.width) == (other.height, other.width)
    for dtype in (torch.bool, torch.long):
        assert torch.equal(one.to_tensor(dtype, 'cpu'), other.to_tensor(dtype, 'cpu'))


def as_set(labels, masks):
    return sorted((int(label), mask.numpy().tobytes()) for label, mask in zip(labels, masks, strict=True))


def test_objects_of_a_label_map_are_those_that_mmdetection_makes_of_it(idd):
    cfg = derived('m2f_swin-t_idd_semantic.py', idd)
    dataset = fed(cfg, drop=NOISELESS)
    info = json.loads((idd / 'annotations/semantic_train.json').read_text())['images']
    for index in range(len(dataset)):
        found = dataset[index]['data_samples'].gt_instances
        values = cv2.imread(str(idd / info[index]['seg_file']), cv2.IMREAD_UNCHANGED)
        empty = BitmapMasks(np.zeros((0, *values.shape), np.uint8), *values.shape)
        upstream = preprocess_panoptic_gt(
            torch.zeros(0, dtype=torch.long), empty, torch.from_numpy(values.astype(np.int64))[None], 0, 26
        )
        assert as_set(found.labels, found.masks.to_tensor(torch.long, 'cpu')) == as_set(*upstream)
        assert len(found) >= 6


def test_pixels_stay_with_their_classes_through_flips_resizes_and_crops(idd):
    """The colour of a drawn class says which it is, wherever it went."""
    np.random.seed(0)  # which MMDetection's transforms draw from
    cfg = derived('m2f_swin-t_idd_semantic.py', idd)
    dataset, sizes = fed(cfg, drop=('BytePhotoMetricDistortion',)), set()
    names = cfg.metainfo.classes
    for index in range(len(dataset)):
        packed = dataset[index]
        found, photo = packed['data_samples'].gt_instances, packed['inputs'].numpy()
        masks = found.masks.to_ndarray()
        sizes.add(photo.shape[1:])
        assert masks.shape[1:] == photo.shape[1:] and masks.sum(0).max() == 1
        for label, mask in zip(found.labels.tolist(), masks, strict=True):
            inside = cv2.erode(mask, np.ones((5, 5), np.uint8)) > 0
            if names[label] in drawn_streets.COLOURS and inside.sum() > 30:
                seen = photo[:, inside].mean(1)
                assert np.abs(seen - drawn_streets.COLOURS[names[label]]).max() < 25, (index, names[label])
    assert len(sizes) > 2


def test_objects_of_a_panoptic_map_are_its_segments(coco):
    dataset = fed(derived('m2f_swin-t_coco_panoptic.py', coco), drop=NOISELESS)
    for seed in range(4):
        found = dataset[seed]['data_samples'].gt_instances
        ids, info = drawn_panoptic.segments(seed)
        expected = [(drawn_panoptic.IDS[label] - 1, torch.from_numpy(ids == code)) for code, label in info]
        assert as_set(found.labels, found.masks.to_tensor(torch.bool, 'cpu')) == as_set(*zip(*expected, strict=True))


def test_a_crowd_is_no_object(coco, tmp_path):
    content = json.loads((coco / 'annotations/panoptic_train2017.json').read_text())
    segment = next(s for s in content['annotations'][0]['segments_info'] if s['category_id'] == 1)
    segment['iscrowd'] = 1
    cfg = derived('m2f_swin-t_coco_panoptic.py', coco)
    cfg.train_dataloader.dataset.ann_file = str(tmp_path / 'crowd.json')
    (tmp_path / 'crowd.json').write_text(json.dumps(content))
    found = fed(cfg, drop=NOISELESS)[0]['data_samples'].gt_instances
    assert len(found) == len(content['annotations'][0]['segments_info']) - 1


def test_classes_kinds_and_colours_come_from_the_files(idd, coco):
    cfg = derived('m2f_swin-t_idd_semantic.py', idd)
    head = cfg.model.panoptic_head
    assert (head.num_things_classes, head.num_stuff_classes, len(head.loss_cls.class_weight)) == (26, 0, 27)
    assert cfg.metainfo.classes[9] == 'car' and cfg.metainfo.palette[9] == (0, 0, 142)
    cfg = derived('m2f_swin-t_coco_panoptic.py', coco)
    for part in (cfg.model.panoptic_head, cfg.model.panoptic_fusion_head):
        assert (part.num_things_classes, part.num_stuff_classes) == (2, 5)
    assert len(cfg.model.panoptic_head.loss_cls.class_weight) == 8
    assert cfg.metainfo.thing_classes == drawn_panoptic.THINGS
    assert cfg.metainfo.palette[0] == drawn_streets.COLOURS['car'][::-1]


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def no_map(root):
    next(root.glob('gtFine/train/*/*Ids.png')).unlink()


def no_list(root):
    (root / 'annotations/semantic_val.json').unlink()


def no_seg_file(root):
    edit(root / 'annotations/semantic_train.json', lambda content: content['images'][1].pop('seg_file'))


def stuff_first(root):
    for file in root.glob('annotations/*.json'):
        edit(file, lambda content: content['categories'].reverse())


def no_kind(root):
    for file in root.glob('annotations/*.json'):
        edit(file, lambda content: content['categories'][1].pop('isthing'))


@pytest.mark.parametrize(
    ('name', 'spoil', 'said'),
    [
        ('m2f_swin-t_idd_semantic.py', no_map, '1 of 6 maps of .*semantic_train.json are not in .*: gtFine/train'),
        ('m2f_swin-t_idd_semantic.py', no_seg_file, "has no 'seg_file'"),
        ('m2f_swin-t_idd_semantic.py', no_list, 'semantic_val.json does not exist'),
        ('m2f_swin-t_coco_panoptic.py', lambda root: next(root.glob('annotations/*train2017/*')).unlink(),
         '1 of 4 maps of .*panoptic_train2017.json are not in .*: 0000'),
        ('m2f_swin-t_coco_panoptic.py', stuff_first, 'must list all things before stuff'),
        ('m2f_swin-t_coco_panoptic.py', no_kind, "must have 'isthing'; 'person' has none"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_before_anything_is_built(name, spoil, said, idd, coco, tmp_path):
    root = Path(shutil.copytree(idd if 'idd' in name else coco, tmp_path / 'data'))
    spoil(root)
    with pytest.raises(ConfigError, match=said) as raised:
        derive(config(name, root), ('train', 'val', 'test'))
    assert len(str(raised.value).splitlines()) == 1


def test_maps_that_cannot_be_read_are_said(tmp_path):
    table = np.full(256, -1, np.int16)
    table[[0, 255]] = 0, 255
    path, missing = tmp_path / 'map.png', tmp_path / 'none.png'
    cv2.imwrite(str(path), np.full((4, 4), 7, np.uint8))
    results = dict(seg_map_path=str(path), map_table=table, num_map_classes=1, segments_info=[])
    with pytest.raises(ConfigError, match=r'map.png holds \[7\], ids of no class'):
        LoadLabelMap().transform(results)
    with pytest.raises(ConfigError, match='none.png does not exist'):
        LoadPanopticMap().transform(results | dict(seg_map_path=str(missing)))
    missing.write_text('text')
    with pytest.raises(ConfigError, match='cannot be read as a picture'):
        LoadPanopticMap().transform(results | dict(seg_map_path=str(missing)))


@pytest.mark.parametrize('config', ['m2f_swin-t_idd_semantic.py', 'm2f_swin-t_coco_panoptic.py'])
def test_the_doctor_asks_maps_for_neither_outlines_nor_instances(config, idd, coco):
    cfg = derived(config, idd if 'idd' in config else coco)
    for check in (check_outlines, instances_out):
        assert [(found.verdict, found.message) for found in check(Subject(cfg))] == [(Verdict.OK, MAPS)]
    assert [finding.verdict for finding in class_counts(Subject(cfg))] == [Verdict.OK]

"""Steps that keep bytes and outlines give the samples that MMDetection's steps give, from the same random numbers."""

import copy
import pickle
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import PackDetInputs, PhotoMetricDistortion, RandomFlip
from mmdet.registry import DATASETS, MODELS
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from data_prep.imagery.encode import encode_zstd
from fallen_trees.checks.guard.validation_loss import with_truth_first
from fallen_trees.derive.config import REPOSITORY, derive
from fallen_trees.loading.contiguous import ContiguousPackDetInputs, ContiguousRandomFlip
from fallen_trees.loading.load_window import LoadImageFromTiff
from fallen_trees.loading.outline_masks import OutlineMasks
from fallen_trees.loading.photometric import BytePhotoMetricDistortion

STOCK = dict(
    LoadOutlineAnnotations='LoadAnnotations', ContiguousRandomFlip='RandomFlip', ContiguousPackDetInputs='PackDetInputs'
)  # fmt: skip


def dataset_of(tiles, *, stock, ratio_range=(1.0, 1.0), split='train'):
    """The base's data set, or the same with MMDetection's own steps."""
    init_default_scope('mmdet')
    cfg = Config.fromfile(REPOSITORY / 'configs/m2f_r50_trees.py')
    cfg.update(data_root=str(tiles), image_size=(128, 128))
    derive(cfg, ('train', 'val'))
    dataset = copy.deepcopy(cfg[f'{split}_dataloader'].dataset)
    for step in dataset.pipeline:
        if 'ratio_range' in step:
            step.ratio_range = ratio_range
        if 'crop_size' in step:
            step.crop_size = (96, 80)
        if stock:
            step.type = STOCK.get(step.type, step.type)
            step.update(to_float32=True) if 'to_float32' in step else None
    return DATASETS.build(dataset)


def sample(dataset, number):
    """One of many augmentations of all tiles, and what the generators give next."""
    random.seed(number)
    np.random.seed(number)
    found = dataset[number % len(dataset)]
    return found['inputs'], found['data_samples'], (random.random(), np.random.random())


def test_samples_are_mmdetections_where_nothing_is_resized(tiles):
    ours, stock = (dataset_of(tiles, stock=stock) for stock in (False, True))
    objects = 0
    for index in range(6 * len(ours)):
        (image, one, draws), (other_image, other, other_draws) = sample(ours, index), sample(stock, index)
        assert image.dtype == torch.uint8 and image.is_contiguous() and torch.equal(image, other_image)
        assert draws == other_draws
        assert isinstance(one.gt_instances.masks, OutlineMasks) and one.metainfo == other.metainfo
        for kind in ('gt_instances', 'ignored_instances'):
            mine, theirs = one.get(kind), other.get(kind)
            assert np.array_equal(mine.masks.masks, theirs.masks.masks)
            assert torch.equal(mine.labels, theirs.labels) if 'labels' in mine else 'labels' not in theirs
            assert torch.equal(mine.bboxes.tensor, theirs.bboxes.tensor)
        objects += len(one.gt_instances)
    assert objects > 20


def test_resized_samples_are_mmdetections_but_for_rounding(tiles):
    ours, stock = (dataset_of(tiles, stock=stock, ratio_range=(0.6, 1.6)) for stock in (False, True))
    compared = 0
    for index in range(6 * len(ours)):
        (image, one, draws), (other_image, other, other_draws) = sample(ours, index), sample(stock, index)
        assert draws == other_draws and one.img_shape == other.img_shape
        assert (image.float() - other_image).abs().max() <= 1
        # Both filter by the area that they draw.
        if len(one.gt_instances) == len(other.gt_instances) > 0:
            compared += 1
            assert (one.gt_instances.bboxes.tensor - other.gt_instances.bboxes.tensor).abs().median() <= 1
    assert compared > len(ours)


def test_validation_has_the_truth_in_pixels_of_the_file(tiles):
    ours, stock = (dataset_of(tiles, stock=stock, split='val') for stock in (False, True))
    for index in range(len(ours)):
        one, other = sample(ours, index)[1].gt_instances, sample(stock, index)[1].gt_instances
        assert np.array_equal(one.masks.masks, other.masks.masks)
    steps = with_truth_first([dict(type='LoadImageFromFile'), dict(type='Resize'), dict(type='LoadOutlineAnnotations')])
    assert [step['type'] for step in steps] == ['LoadImageFromFile', 'LoadOutlineAnnotations', 'Resize']


def test_workers_send_drawn_masks_and_the_head_gets_its_booleans(tiles):
    loaders = [
        DataLoader(dataset_of(tiles, stock=stock), batch_size=2, num_workers=workers, collate_fn=pseudo_collate,
                   worker_init_fn=lambda _: (random.seed(0), np.random.seed(0)))
        for stock, workers in ((False, 1), (True, 1))
    ]  # fmt: skip
    preprocess = MODELS.build(dict(type='DetDataPreprocessor', mean=[120.0] * 3, std=[60.0] * 3, bgr_to_rgb=True,
                                   pad_size_divisor=32, pad_mask=True))  # fmt: skip
    for ours, stock in zip(*loaders, strict=True):
        assert all(found.gt_instances.masks._pieces is not None for found in ours['data_samples'])
        ours, stock = preprocess(ours, True), preprocess(stock, True)
        assert torch.allclose(ours['inputs'], stock['inputs'])
        for one, other in zip(ours['data_samples'], stock['data_samples'], strict=True):
            one, other = (found.gt_instances.masks.to_tensor(torch.bool, 'cpu') for found in (one, other))
            assert one.shape[1:] == ours['inputs'].shape[2:] and torch.equal(one, other)


def test_a_network_trains_on_them(demo_config, tmp_path):
    cfg = demo_config
    cfg.update(image_size=(64, 64), work_dir=str(tmp_path), log_level='WARNING', param_scheduler=None)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False, batch_size=2)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=10)
    for key in ('val', 'test'):
        cfg.update({f'{key}_cfg': None, f'{key}_dataloader': None, f'{key}_evaluator': None})
    cfg.vis_backends = cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.visualizer.name = cfg.experiment_name = tmp_path.name
    cfg.default_hooks.logger.interval = 1
    derive(cfg, ('train',))
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 2 and np.isfinite(runner.message_hub.get_scalar('train/loss').current())


@pytest.mark.parametrize('swap', [False, True])
def test_light_and_colour_change_as_in_mmdetection(swap):
    image = np.random.default_rng(0).integers(33, 256, (40, 50, 3), np.uint8)  # brightness takes none below black
    ours, stock = (step(swap_channels=swap) for step in (BytePhotoMetricDistortion, PhotoMetricDistortion))
    for seed in range(150):
        np.random.seed(seed)
        one, after = ours(dict(img=image.copy()))['img'], np.random.random()
        np.random.seed(seed)
        other, other_after = stock(dict(img=image.copy()))['img'], np.random.random()
        assert one.dtype == np.uint8 and after == other_after
        assert np.abs(one - other.clip(0, 255)).max() <= 0.51


def test_black_stays_black_when_it_is_made_darker():
    step = BytePhotoMetricDistortion(brightness_delta=0)
    step._random_flags = lambda: (0, 1, 0, 0, 0, 0, -30.0, 1.0, 1.0, 0.0, [0, 1, 2])
    image = np.array([[[9, 0, 4], [90, 40, 30]]], np.uint8)
    assert step(dict(img=image))['img'].tolist() == [[[0, 0, 0], [60, 10, 0]]]


@pytest.mark.parametrize('bands', [1, 3, 4, 6])
@pytest.mark.parametrize('direction', ['horizontal', 'vertical', 'diagonal'])
def test_flipped_and_packed_arrays_are_contiguous_and_the_same(bands, direction):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, bands), np.uint8)
    ours, stock = (step(prob=1.0, direction=direction)(dict(img=image)) for step in (ContiguousRandomFlip, RandomFlip))
    assert ours['img'].flags.c_contiguous and np.array_equal(ours['img'], stock['img'])
    assert np.array_equal(ours['homography_matrix'], stock['homography_matrix'])
    view = dict(img=image[3:18, 5:25], img_shape=(15, 20))
    one, other = (step(meta_keys=('img_shape',))(dict(view)) for step in (ContiguousPackDetInputs, PackDetInputs))
    assert one['inputs'].is_contiguous() and torch.equal(one['inputs'], other['inputs'])
    assert one['data_samples'].img_shape == (15, 20) and list(one) == list(other)


@pytest.mark.parametrize(('bands', 'dtype'), [(1, 'uint8'), (3, 'uint8'), (4, 'uint8'), (5, 'uint16'), (3, 'float64')])
def test_a_zstd_tile_is_read_as_opencv_would(tmp_path, bands, dtype):
    tile = np.random.default_rng(0).integers(0, 256, (bands, 24, 40)).astype(dtype)
    path = Path(tmp_path, 'tile.tif')
    path.write_bytes(encode_zstd(tile, 'EPSG:32633', (0.1, 0, 5e5, 0, -0.1, 5.5e6)))
    found = LoadImageFromTiff()(dict(img_path=str(path)))
    expected = np.moveaxis(tile[::-1] if bands == 3 else tile, 0, 2)
    assert np.array_equal(found['img'], expected) and found['ori_shape'] == found['img_shape'] == (24, 40)
    assert found['img'].dtype == ('uint8' if dtype == 'uint8' else 'float32')
    assert LoadImageFromTiff(to_float32=True)(dict(img_path=str(path)))['img'].dtype == np.float32
    if bands == 3 and dtype == 'uint8':
        assert cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) is None  # else this class is not needed


def test_a_pipeline_s_masks_can_be_sent_twice(tiles):
    found = dataset_of(tiles, stock=False)[0]
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(found))))
    assert isinstance(again['data_samples'].gt_instances.masks, BitmapMasks)

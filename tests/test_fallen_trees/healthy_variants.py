"""Healthy variants of data and recipe, of which no detector may speak; planted as faults are."""

from pathlib import Path

import mmdet
from mmengine.config import Config
from pycocotools import mask as pycoco

from .faults import SGD, WARM_UP, Plant, files, options, own_weights, tree_less, two_classes, weights


def fine_tuned(data, cfg):
    weights(data, cfg, own_weights(cfg))
    cfg.model.backbone.frozen_stages = 2


def as_rle(coco):
    sizes = {entry['id']: (entry['height'], entry['width']) for entry in coco['images']}
    for annotation in coco['annotations']:
        rle = pycoco.merge(pycoco.frPyObjects(annotation['segmentation'], *sizes[annotation['image_id']]))
        annotation['segmentation'] = dict(size=rle['size'], counts=rle['counts'].decode())
        annotation['area'] = int(pycoco.area(rle))
        annotation['bbox'] = pycoco.toBbox(rle).tolist()


def balanced(data, cfg):
    inner = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type='ClassBalancedDataset', oversample_thr=0.9, dataset=inner)


def by_epochs(data, cfg):
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=40, val_interval=10)
    cfg.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    decay = dict(type='MultiStepLR', by_epoch=True, begin=0, end=40, milestones=[28, 36], gamma=0.1)
    cfg.param_scheduler = [WARM_UP | dict(end=20), decay]
    cfg.default_hooks.checkpoint.update(by_epoch=True, interval=10)


def mask_rcnn(data, cfg):
    folder = Path(mmdet.__file__).parent / '.mim/configs/_base_/models'
    model = Config.fromfile(folder / 'mask-rcnn_r50_fpn.py').model
    norm = dict(type='BN', requires_grad=True)
    model.backbone.update(depth=18, base_channels=16, init_cfg=None, frozen_stages=-1, norm_cfg=norm, norm_eval=False)
    model.neck.update(in_channels=[16, 32, 64, 128], out_channels=32)
    model.rpn_head.update(in_channels=32, feat_channels=32)
    for extractor in (model.roi_head.bbox_roi_extractor, model.roi_head.mask_roi_extractor):
        extractor.out_channels = 32
    model.roi_head.bbox_head.update(in_channels=32, fc_out_channels=64, num_classes=1)
    model.roi_head.mask_head.update(in_channels=32, conv_out_channels=32, num_classes=1)
    cfg.model = model
    cfg.optim_wrapper.clip_grad = None
    cfg.optim_wrapper.optimizer.lr = 1e-4


def accumulated(data, cfg):
    cfg.train_dataloader.batch_size = 2
    cfg.optim_wrapper.accumulative_counts = 4
    cfg.train_cfg.update(max_iters=9200, val_interval=2300)
    cfg.default_hooks.checkpoint.interval = 2300


def cosine(data, cfg):
    cfg.param_scheduler = [WARM_UP, dict(type='CosineAnnealingLR', T_max=2260, by_epoch=False, begin=40, end=2300)]


def sgd(data, cfg):
    cfg.optim_wrapper.optimizer = SGD | dict(lr=0.02, weight_decay=1e-4)
    cfg.optim_wrapper.clip_grad = None


def root_category(coco):
    coco['categories'].insert(0, dict(id=0, name='objects', supercategory='none'))


HEALTHY: dict[str, Plant] = {
    'the demo as it is': options(),
    'AdamW at 1e-4': options(optim_wrapper__optimizer__lr=1e-4),
    'SGD at 0.02 without clipping': sgd,
    'cosine schedule': cosine,
    'batches of 2, four of them accumulated': accumulated,
    'epochs instead of iterations': by_epochs,
    'tiles enlarged 1.5 times': options(image_size=(192, 192)),
    'two classes': files(two_classes),
    'an unused root category 0 (Roboflow)': files(root_category),
    'masks as RLE': files(as_rle),
    'half of the tiles without a tree': tree_less(0.5),
    'tree-less tiles balanced by ClassBalancedDataset': balanced,
    'fine-tuned from its own weights, two stages frozen': fine_tuned,
    'fifty queries': options(model__panoptic_head__num_queries=50),
    'bfloat16': options(optim_wrapper__type='BFloat16OptimWrapper'),
    'Mask R-CNN instead of Mask2Former': mask_rcnn,
}

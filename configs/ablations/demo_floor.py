"""What the demo's recipe is worth: MMDetection's Mask2Former and Mask R-CNN on the same tiles for as many updates.

    bash tools/demo.sh
    python tools/ablate.py configs/ablations/demo_floor.py --jobs 2

The first arm is ours. "As published": with the rates, steps and augmentation of MMDetection's COCO configs (SGD for
half their batch); the other two have ours. Scored on the test scene, which none has seen, and on Finland's nine real
trunks: data/finland is made as docs/results.md says, data/finland_scene holds the orthophoto and its labels.
"""

_base_ = ['./demo_factors.py']

options = {
    'train_cfg.max_iters': 1150,
    'train_cfg.val_interval': 575,
    'default_hooks.checkpoint.interval': 575,
}

_flip = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.5),
]
_jitter = [
    dict(type='RandomResize', scale=None, ratio_range=(0.1, 2.0), resize_type='Resize', keep_ratio=True),
    dict(type='RandomCrop', crop_size=None, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-5, 1e-5), by_mask=True, keep_empty=False),
]
_pack = [dict(type='PackDetInputs')]
_pipeline = 'train_dataloader.dataset.pipeline'

arms = dict(
    _delete_=True,
    ours={},
    mask2former_as_published={
        'config': 'configs/m2f_stock_trees_demo.py',
        _pipeline: [*_flip, *_jitter, *_pack],
        'optim_wrapper.optimizer.lr': 1e-4,
        'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult': 0.1,
        'lr_milestones': (0.889, 0.963),
    },
    mask_rcnn_as_published={
        'config': 'configs/mask_rcnn_trees_demo.py',
        _pipeline: [*_flip, *_pack],
        'optim_wrapper.optimizer': dict(_delete_=True, type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
        'optim_wrapper.clip_grad': None,
        'lr_milestones': (0.667, 0.917),
    },
    mmdet_mask2former={'config': 'configs/m2f_stock_trees_demo.py'},
    mmdet_mask_rcnn={'config': 'configs/mask_rcnn_trees_demo.py'},
)

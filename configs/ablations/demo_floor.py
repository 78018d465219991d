"""What the demo's recipe is worth: MMDetection's Mask2Former and Mask R-CNN on the same tiles for as many updates.

    bash tools/demo.sh
    python tools/ablate.py configs/ablations/demo_floor.py --jobs 2

The first arm is ours. "As published": with the rates, steps and augmentation of MMDetection's COCO configs (SGD for
half their batch); the other two have ours. Scored on the test scene, which none has seen, and on Finland's nine real
trunks: data/finland is made as docs/results.md says, data/finland_scene holds the orthophoto and its labels.
"""

config = 'configs/m2f_trees_demo.py'
options = {
    'data_root': 'work_dirs/demo/data',
    'train_cfg.max_iters': 1150,
    'train_cfg.val_interval': 575,
}
seeds = [0, 1, 2]

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

_finland = [
    *('--scenes', 'data/finland_scene/R70C21.tif', '--truth', 'data/finland_scene/R70C21_labelme.json'),
    *('--label-map', 'Fallen=fallen_tree', '--skip-other-labels', '--replicates', '0'),
]

metrics = ['coco/segm_mAP', 'coco/segm_mAP_50']
tests = dict(
    drawn=dict(metrics=['coco/segm_mAP', 'coco/segm_mAP_50', 'coco/segm_F1_50']),
    finland=dict(options={'data_root': 'data/finland'}, metrics=['coco/segm_mAP_50', 'coco/segm_recall_50']),
    finland_trees=dict(
        tool='tools/test_scenes.py',
        args=_finland,
        metrics=['scene/recall', 'centreline/F1', 'length/total_error_percent'],
    ),
)
timeout_minutes = 120

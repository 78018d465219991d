"""Real crowns: what a network starts from, how much of it learns, a quarter of the data, and MMDetection's networks.

    python tools/train.py configs/m2f_mobilenetv2_crowns.py --work-dir work_dirs/drawn_start \
        --cfg-options data_root=work_dirs/demo/data
    python -m data_prep select data/crowns/annotations/instances_train.json --n TILES \
        --out data/crowns/annotations/instances_train_quarter.json
    python tools/ablate.py configs/ablations/crowns.py --jobs 2

data/crowns is made as docs/results.md says; TILES is a quarter of its training tiles. weights/mobilenet_v2_imagenet.pth
are ImageNet's; the network of the drawn world began with these, too. The first arm is ours, and the other networks have
its backbone, tiles and updates. The best checkpoint is scored on the held-out block.
"""

config = 'configs/m2f_mobilenetv2_crowns.py'
options = {
    'train_cfg.max_iters': 400,
    'train_cfg.val_interval': 200,
}
seeds = [0, 1, 2]

_drawn = 'work_dirs/drawn_start/best_coco_segm_mAP_iter_*.pth'
_quarter = {'train_dataloader.dataset.ann_file': 'annotations/instances_train_quarter.json'}
_all = {'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult': 1.0}

_load = dict(type='LoadImageFromFile', to_float32=True)
_truth = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
_stock_train = [
    _load,
    _truth,
    dict(type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='RandomResize', scale=None, ratio_range=(0.6, 1.6), resize_type='Resize', keep_ratio=True),
    dict(type='RandomCrop', crop_size=None, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), min_gt_mask_area=16, by_mask=True, keep_empty=False),
    dict(type='PackDetInputs'),
]
_stock_test = [
    _load,
    dict(type='Resize', scale=None, keep_ratio=True),
    _truth,
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

arms = dict(
    imagenet={},
    mmdet_mask2former={
        'train_dataloader.dataset.pipeline': _stock_train,
        'val_dataloader.dataset.pipeline': _stock_test,
        'test_dataloader.dataset.pipeline': _stock_test,
        'model.panoptic_head.type': 'Mask2FormerHead',
        'model.panoptic_head.pixel_decoder.type': 'MSDeformAttnPixelDecoder',
        'model.panoptic_fusion_head.type': 'MaskFormerFusionHead',
        'model.train_cfg.assigner.type': 'HungarianAssigner',
        'model.test_cfg': dict(
            _delete_=True,
            panoptic_on=False,
            semantic_on=False,
            instance_on=True,
            max_per_image=None,
            iou_thr=0.8,
            filter_low_score=True,
        ),
    },
    mmdet_mask_rcnn={'config': 'configs/mask_rcnn_mobilenetv2_crowns.py'},
    scratch={
        'model.backbone.init_cfg': None,
        'model.backbone.norm_cfg.requires_grad': True,
        'model.backbone.norm_eval': False,
        **_all,
    },
    drawn={'load_from': _drawn},
    frozen={'model.backbone.frozen_stages': 7},
    quarter=_quarter,
    quarter_drawn={**_quarter, 'load_from': _drawn},
    full_rate=_all,
    four_times={'train_cfg.max_iters': 1600, 'train_cfg.val_interval': 400},  # about the CPU time of mmdet_mask_rcnn
)

metrics = ['coco/segm_mAP', 'coco/segm_mAP_50']
tests = dict(held_out=dict(metrics=['coco/segm_mAP', 'coco/segm_mAP_50', 'coco/segm_F1_50']))
timeout_minutes = 120

"""MMDetection's own Mask2Former for crowns: no class of this project in model and pipeline.

    python tools/train.py configs/m2f_stock_mobilenetv2_crowns.py --cfg-options \
        model.backbone.init_cfg.checkpoint=FILE

Tiles, backbone, sizes, optimiser, hooks and metric are those of `m2f_mobilenetv2_crowns.py`; figures of both:
docs/results.md. MMDetection turns tiles by no quarter; its three flips are the nearest.
"""

_base_ = [
    './_base_/datasets/trees_crowns.py',
    './_base_/models/mask2former_r18_slim.py',
    './_base_/schedules/adamw_crowns.py',
    './_base_/default_runtime.py',
]

load = dict(type='LoadImageFromFile', to_float32=True)
truth = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
train_pipeline = [
    load,
    truth,
    dict(type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']),
    *_base_.train_pipeline[4:7],  # resize, crop, filter
    dict(type='PackDetInputs'),
]
test_pipeline = [load, _base_.test_pipeline[1], truth, {**_base_.test_pipeline[3], 'type': 'PackDetInputs'}]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        widen_factor=1.0,
        out_indices=(1, 2, 4, 6),
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='weights/mobilenet_v2_imagenet.pth'),
    ),
    panoptic_head=dict(
        type='Mask2FormerHead',
        in_channels=[24, 32, 96, 320],
        num_queries=80,
        pixel_decoder=dict(type='MSDeformAttnPixelDecoder'),
    ),
    panoptic_fusion_head=dict(type='MaskFormerFusionHead'),
    train_cfg=dict(assigner=dict(type='HungarianAssigner')),
    test_cfg=dict(
        _delete_=True,
        panoptic_on=False,
        semantic_on=False,
        instance_on=True,
        max_per_image=None,
        iou_thr=0.8,
        filter_low_score=True,
    ),
)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=200))

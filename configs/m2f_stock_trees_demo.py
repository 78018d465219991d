"""MMDetection's own Mask2Former at the demo's size: no class of this project in model and pipeline.

    python tools/train.py configs/m2f_stock_trees_demo.py --cfg-options data_root=work_dirs/demo/data \
        train_dataloader.batch_size=16

Tiles, sizes, optimiser, hooks and metric are those of `m2f_trees_demo.py`; figures of both:
docs/results.md. MMDetection turns tiles by no quarter; its three flips are the nearest.
"""

_base_ = [
    './_base_/datasets/trees_demo.py',
    './_base_/models/mask2former_r18_tiny.py',
    './_base_/schedules/adamw_demo.py',
    './_base_/default_runtime.py',
]

load = dict(type='LoadImageFromFile', to_float32=True)
truth = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
train_pipeline = [
    load,
    truth,
    dict(type='PhotoMetricDistortion', swap_channels=False),
    dict(type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']),
    *_base_.train_pipeline[5:8],  # resize, crop, filter
    dict(type='PackDetInputs'),
]
test_pipeline = [load, _base_.test_pipeline[1], truth, {**_base_.test_pipeline[3], 'type': 'PackDetInputs'}]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

model = dict(
    panoptic_head=dict(type='Mask2FormerHead', pixel_decoder=dict(type='MSDeformAttnPixelDecoder')),
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
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=575))

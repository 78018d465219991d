"""The flagship's run at a size that two CPU cores carry: ResNet-18 from nothing, 256 px tiles, minutes.

bash tools/demo.sh
"""

_base_ = [
    './_base_/datasets/trees_instance.py',
    './_base_/models/mask2former_r18_slim.py',
    './_base_/schedules/adamw_12k.py',
    './_base_/default_runtime.py',
]

data_root = 'data/demo/'
image_size = (256, 256)
# Four scenes have four casts of colour and light; the fifth has another.
train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PhotoMetricDistortion', swap_channels=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomRot90'),
    dict(type='RandomResize', scale=None, ratio_range=(0.6, 1.6), resize_type='Resize', keep_ratio=True),
    dict(type='RandomCrop', crop_size=None, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), min_gt_mask_area=16, by_mask=True, keep_empty=False),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))

train_cfg = dict(max_iters=900, val_interval=100)
lr_warmup_updates = 40
optim_wrapper = dict(
    accumulative_counts=1,
    optimizer=dict(lr=4e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))),  # nothing pretrained to be spared
)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=100))

"""The flagship's run at a size that two CPU cores carry: a tiny Mask2Former from nothing, 128 px tiles, minutes.

bash tools/demo.sh
"""

_base_ = [
    './_base_/datasets/trees_instance.py',
    './_base_/models/mask2former_r18_tiny.py',
    './_base_/schedules/adamw_12k.py',
    './_base_/default_runtime.py',
]

data_root = 'data/demo/'
# Small tiles, many of them: what counts in minutes is how many trunks are seen. At the same cost per step, 16 tiles of
# 128 px reached a segm AP50 of 0.22 in 400 steps where 4 of 256 px reached 0.09.
image_size = (128, 128)
# Four scenes have four casts of colour and light; the fifth has another.
train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=False),
    dict(type='LoadOutlineAnnotations', with_bbox=True, with_mask=True),
    dict(type='BytePhotoMetricDistortion', swap_channels=False),
    dict(type='ContiguousRandomFlip', prob=0.5),
    dict(type='RandomRot90'),
    dict(type='RandomResize', scale=None, ratio_range=(0.75, 1.33), resize_type='Resize', keep_ratio=True),
    dict(type='RandomCrop', crop_size=None, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), min_gt_mask_area=16, by_mask=True, keep_empty=False),
    dict(type='ContiguousPackDetInputs'),
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))  # of each of two processes

train_cfg = dict(max_iters=2300, val_interval=575)
lr_warmup_updates = 40
optim_wrapper = dict(
    accumulative_counts=1,
    optimizer=dict(lr=8e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))),  # nothing pretrained to be spared
)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=575))

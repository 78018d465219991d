"""The tiles of `bash tools/demo.sh`: 128 px, many of them, with the colours of four scenes where the fifth has another.

What counts in minutes is how many trunks are seen: at the same cost per step, 16 tiles of 128 px reached a segm AP50 of
0.22 in 400 steps where 4 of 256 px reached 0.09.
"""

_base_ = ['./trees_instance.py']

data_root = 'data/demo/'
image_size = (128, 128)
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

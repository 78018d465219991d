"""Objects of Cityscapes as `python -m data_prep cityscapes ROOT --out data/cityscapes` lists them.

Images stay where they were unpacked; `images/` is a link there. What follows from other values is None here and is
filled in by the tools (`fallen_trees.derive`).
"""

data_root = 'data/cityscapes/'
image_size = (2048, 1024)  # width, height in px: as they are
backend_args = None

# Cityscapes' own colours
palette = [
    (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
]  # fmt: skip
metainfo = dict(classes=None, palette=palette)

train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=False, backend_args=backend_args),
    dict(type='LoadOutlineAnnotations', with_bbox=True, with_mask=True),
    dict(type='ContiguousRandomFlip', prob=0.5),
    dict(type='RandomResize', scale=None, ratio_range=(0.8, 1.25), resize_type='Resize', keep_ratio=True),
    dict(type='RandomCrop', crop_size=None, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    # Crops keep objects by box and so leave masks without a pixel. keep_empty=False, against its name, keeps the image.
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), min_gt_mask_area=16, by_mask=True, keep_empty=False),
    dict(type='ContiguousPackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', to_float32=False, backend_args=backend_args),
    dict(type='Resize', scale=None, keep_ratio=True),
    # After the resize: truth stays in the pixels of the file, where it is scored and drawn.
    dict(type='LoadOutlineAnnotations', with_bbox=True, with_mask=True),
    dict(type='ContiguousPackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

found = dict(type='CocoDataset', data_prefix=dict(img='images/'), backend_args=backend_args)
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True, seed=0),
    batch_sampler=None,
    dataset=dict(
        ann_file='annotations/instances_train.json',
        pipeline=train_pipeline,
        filter_cfg=dict(filter_empty_gt=False),
        **found,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='annotations/instances_val.json', pipeline=test_pipeline, test_mode=True, **found),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='annotations/instances_test.json', pipeline=test_pipeline, test_mode=True, **found),
)

val_evaluator = dict(type='CocoF1Metric', ann_file=None, metric=['bbox', 'segm'], backend_args=backend_args)
test_evaluator = dict(type='CocoF1Metric', ann_file=None, metric=['bbox', 'segm'], backend_args=backend_args)

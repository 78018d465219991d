"""Photos of any classes in any of three layouts, recognised from `data_root` (`fallen_trees.derive.layouts`):

    train/_annotations.coco.json, valid/, test/        as Roboflow exports COCO, images beside each file
    annotations/instances_{train,val}2017.json         as COCO itself lies, with train2017/ and val2017/
    annotations/instances_{train,val,test}.json        as data_prep writes it, with images/{train,val,test}/

What follows from other values is None here and is filled in by the tools (`fallen_trees.derive`). A data set without a
test split is tested on its validation split, and the log says so.
"""

data_root = 'data/'
image_size = (1024, 1024)  # width, height in px: photos are fitted into it, as COCO's were for the start weights
backend_args = None

# Okabe and Ito's colours, told apart by colour-blind eyes too; taken in turn when there are more classes.
palette = [
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66),
    (0, 114, 178), (213, 94, 0), (204, 121, 167), (255, 255, 255),
]  # fmt: skip
metainfo = dict(classes=None, palette=palette)

# What is up in a photo is no accident: it is mirrored, never turned.
train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=False, backend_args=backend_args),
    dict(type='LoadOutlineAnnotations', with_bbox=True, with_mask=True),
    dict(type='ContiguousRandomFlip', prob=0.5),
    dict(type='RandomResize', scale=None, ratio_range=(0.5, 1.5), resize_type='Resize', keep_ratio=True),
    dict(type='RandomCrop', crop_size=None, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    # Crops keep objects by box and so leave masks without a pixel. keep_empty=False, against its name, keeps the photo.
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

found = dict(type='RootlessCocoDataset', ann_file=None, data_prefix=dict(img=None), backend_args=backend_args)
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True, seed=0),
    batch_sampler=None,
    dataset=dict(pipeline=train_pipeline, filter_cfg=dict(filter_empty_gt=False), **found),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=test_pipeline, test_mode=True, **found),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=test_pipeline, test_mode=True, **found),
)

val_evaluator = dict(type='CocoF1Metric', ann_file=None, metric=['bbox', 'segm'], backend_args=backend_args)
test_evaluator = dict(type='CocoF1Metric', ann_file=None, metric=['bbox', 'segm'], backend_args=backend_args)

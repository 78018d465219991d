"""Tiles as `python -m data_prep tile` writes them. Nothing here knows what is drawn on them.

What follows from other values is None here and is filled in by the tools (`fallen_trees.derive`): the classes from
the training annotations, sizes from `image_size`, folders from `data_root`, evaluators from their loader's file.
"""

data_root = 'data/trees/'
image_size = (1024, 1024)  # width, height in px at which the network sees a tile: 512 px tiles at twice their size
backend_args = None

# Okabe and Ito's colours, told apart by colour-blind eyes too; taken in turn when there are more classes.
palette = [
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66),
    (0, 114, 178), (213, 94, 0), (204, 121, 167), (255, 255, 255),
]  # fmt: skip
metainfo = dict(classes=None, palette=palette)

# Images stay bytes and objects outlines until the last step: 6 to 11 times as many samples a second and better masks of
# thin objects than MMDetection's pipeline, which is one word away in each step: to_float32=True, LoadAnnotations,
# RandomFlip, PackDetInputs. LoadImageFromFile reads PNG and JPEG; LoadImageFromTiff the tiles of `--pixels zstd`, at a
# third of PNG's time; LoadImageFromScene those of `--pixels none`.
train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=False, backend_args=backend_args),
    dict(type='LoadOutlineAnnotations', with_bbox=True, with_mask=True),
    dict(type='ContiguousRandomFlip', prob=0.5),
    dict(type='RandomRot90'),
    # Not below 0.6: with LoadAnnotations the nearest-neighbour resize of masks breaks trunks of 3-6 px into pieces from
    # about 0.35 down, and trunks of 3 px come near a single one however they are drawn.
    dict(type='RandomResize', scale=None, ratio_range=(0.6, 1.6), resize_type='Resize', keep_ratio=True),
    dict(type='RandomCrop', crop_size=None, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    # Crops keep objects by box and so leave masks without a pixel. keep_empty=False, against its name, keeps the tile.
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

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True, seed=0),
    batch_sampler=None,
    dataset=dict(
        type='CocoDataset',
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='images/train/'),
        # Tiles without a tree stay in: they are what most of a scene looks like.
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=train_pipeline,
        backend_args=backend_args,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='images/val/'),
        test_mode=True,
        pipeline=test_pipeline,
        backend_args=backend_args,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        ann_file='annotations/instances_test.json',
        data_prefix=dict(img='images/test/'),
        test_mode=True,
        pipeline=test_pipeline,
        backend_args=backend_args,
    ),
)

val_evaluator = dict(type='CocoF1Metric', ann_file=None, metric=['bbox', 'segm'], backend_args=backend_args)
test_evaluator = dict(type='CocoF1Metric', ann_file=None, metric=['bbox', 'segm'], backend_args=backend_args)

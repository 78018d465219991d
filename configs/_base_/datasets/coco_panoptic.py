"""Things and stuff in COCO's panoptic layout; of any classes, which are those of the training file.

    annotations/panoptic_{train,val}2017.json     categories with isthing, things first
    annotations/panoptic_{train,val}2017/         a PNG for each image, its ids as colours
    train2017/, val2017/                          images

The views are those of MMDetection's published recipe.
"""

data_root = 'data/coco/'
image_size = (1024, 1024)  # width, height in px
backend_args = None
metainfo = dict(classes=None, palette=None)

train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=False, backend_args=backend_args),
    dict(type='LoadPanopticMap', backend_args=backend_args),
    dict(type='ContiguousRandomFlip', prob=0.5),
    dict(type='RandomResize', scale=None, ratio_range=(0.1, 2.0), resize_type='Resize', keep_ratio=True),
    dict(type='RandomCrop', crop_size=None, crop_type='absolute', allow_negative_crop=True),
    dict(type='ObjectsFromMap', min_area=1),
    dict(type='ContiguousPackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', to_float32=False, backend_args=backend_args),
    dict(type='Resize', scale=None, keep_ratio=True),
    # After the resize: truth stays in the pixels of the file, where it is scored and drawn.
    dict(type='LoadPanopticMap', backend_args=backend_args),
    dict(
        type='ContiguousPackDetInputs',
        meta_keys=(
            *('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
            *('all_segment_labels', 'segment_crowds'),
        ),
    ),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True, seed=0),
    batch_sampler=None,
    dataset=dict(
        type='PanopticDataset',
        ann_file='annotations/panoptic_train2017.json',
        data_prefix=dict(img='train2017/', seg='annotations/panoptic_train2017/'),
        pipeline=train_pipeline,
        filter_cfg=dict(filter_empty_gt=False),
        backend_args=backend_args,
    ),
)
valid = dict(
    type='PanopticDataset',
    ann_file='annotations/panoptic_val2017.json',
    data_prefix=dict(img='val2017/', seg='annotations/panoptic_val2017/'),
    pipeline=test_pipeline,
    test_mode=True,
    backend_args=backend_args,
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=valid,
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**valid),
)

val_evaluator = dict(type='PanopticQualityMetric')
test_evaluator = dict(type='PanopticQualityMetric')

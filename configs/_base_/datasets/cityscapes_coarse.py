"""Classes of pixels in Cityscapes: coarse label maps to learn from, fine ones to be scored on, at half their size.

As `python -m data_prep cityscapes ROOT --out data/cityscapes` lists them. What follows from other values is None here
and is filled in by the tools (`fallen_trees.derive`).
"""

data_root = 'data/cityscapes/'
image_size = (1024, 512)  # width, height in px
backend_args = None

# The file's last category, `void`, is not named: its pixels are not learnt from and not scored.
classes = (
    'road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign', 'vegetation', 'terrain',
    'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle',
)  # fmt: skip
metainfo = dict(classes=classes, palette=None)

train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=False, backend_args=backend_args),
    dict(type='LoadLabelMap', backend_args=backend_args),
    dict(type='ContiguousRandomFlip', prob=0.5),
    dict(type='RandomResize', scale=None, ratio_range=(0.75, 2.0), resize_type='Resize', keep_ratio=True),
    dict(type='RandomCrop', crop_size=None, crop_type='absolute', allow_negative_crop=True),
    dict(type='ContiguousPackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', to_float32=False, backend_args=backend_args),
    dict(type='Resize', scale=None, keep_ratio=True),
    # After the resize: truth stays in the pixels of the file, where it is scored and drawn.
    dict(type='LoadLabelMap', backend_args=backend_args),
    dict(type='ContiguousPackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

found = dict(type='LabelMapDataset', data_prefix=dict(img='images/'), backend_args=backend_args)
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True, seed=0),
    batch_sampler=None,
    dataset=dict(
        ann_file='annotations/semantic_coarse.json',
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
    dataset=dict(ann_file='annotations/semantic_val.json', pipeline=test_pipeline, test_mode=True, **found),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='annotations/semantic_test.json', pipeline=test_pipeline, test_mode=True, **found),
)

val_evaluator = dict(type='SemanticIoUMetric')
test_evaluator = dict(type='SemanticIoUMetric')

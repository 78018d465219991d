"""Classes of pixels: images and label maps as an annotation file lists them (`LabelMapDataset`).

What follows from other values is None here and is filled in by the tools (`fallen_trees.derive`). A data set that
inherits this states its folder, its size in the network and what else is done to its images in training.
"""

backend_args = None
metainfo = dict(classes=None, palette=None)

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

listed = dict(type='LabelMapDataset', data_prefix=dict(img=''), backend_args=backend_args)
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True, seed=0),
    batch_sampler=None,
    dataset=dict(
        ann_file='annotations/semantic_train.json',
        pipeline=train_pipeline,
        filter_cfg=dict(filter_empty_gt=False),
        **listed,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='annotations/semantic_val.json', pipeline=test_pipeline, test_mode=True, **listed),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='annotations/semantic_test.json', pipeline=test_pipeline, test_mode=True, **listed),
)

val_evaluator = dict(type='SemanticIoUMetric')
test_evaluator = dict(type='SemanticIoUMetric')

"""MMDetection's own Mask2Former at the demo's size: no class of this project in model and pipeline.

    python tools/train.py configs/m2f_stock_trees_demo.py --cfg-options data_root=work_dirs/demo/data \
        train_dataloader.batch_size=16

Tiles, sizes, optimiser, hooks and metric are those of `m2f_trees_demo.py`; figures of both:
docs/results.md. MMDetection turns tiles by no quarter; its three flips are the nearest.
"""

_base_ = [
    './_base_/datasets/trees_demo.py',
    './_base_/models/mask2former_r18_tiny.py',
    './_base_/models/mmdet_mask2former.py',
    './_base_/schedules/adamw_demo.py',
    './_base_/default_runtime.py',
]

train_pipeline = [
    *_base_.mmdet_load,
    dict(type='PhotoMetricDistortion', swap_channels=False),
    _base_.mmdet_flip,
    *_base_.train_pipeline[5:8],  # resize, crop, filter
    _base_.mmdet_pack,
]
load, truth = _base_.mmdet_load
test_pipeline = [load, _base_.test_pipeline[1], truth, {**_base_.test_pipeline[3], **_base_.mmdet_pack}]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

model = _base_.mmdet_model
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=575))

"""MMDetection's own Mask2Former for crowns: no class of this project in model and pipeline.

    python tools/train.py configs/m2f_stock_mobilenetv2_crowns.py --cfg-options \
        model.backbone.init_cfg.checkpoint=FILE

Tiles, backbone, sizes, optimiser, hooks and metric are those of `m2f_mobilenetv2_crowns.py`; figures of both:
docs/results.md. MMDetection turns tiles by no quarter; its three flips are the nearest.
"""

_base_ = [
    './_base_/datasets/trees_crowns.py',
    './_base_/models/mask2former_r18_slim.py',
    './_base_/models/mmdet_mask2former.py',
    './_base_/models/mobilenet_v2.py',
    './_base_/schedules/adamw_crowns.py',
    './_base_/default_runtime.py',
]

train_pipeline = [
    *_base_.mmdet_load,
    _base_.mmdet_flip,
    *_base_.train_pipeline[4:7],  # resize, crop, filter
    _base_.mmdet_pack,
]
load, truth = _base_.mmdet_load
test_pipeline = [load, _base_.test_pipeline[1], truth, {**_base_.test_pipeline[3], **_base_.mmdet_pack}]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

model = dict(
    data_preprocessor=_base_.mobilenet_v2_pixels,
    backbone=dict(_delete_=True, **_base_.mobilenet_v2),
    panoptic_head=dict(in_channels=_base_.mobilenet_v2_channels, num_queries=80, **_base_.mmdet_model.panoptic_head),
    panoptic_fusion_head=_base_.mmdet_model.panoptic_fusion_head,
    train_cfg=_base_.mmdet_model.train_cfg,
    test_cfg=_base_.mmdet_model.test_cfg,
)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=200))

"""Light: a MobileNetV2 from ImageNet and a decoder of half the width and a third of the depth.

    python tools/train.py configs/m2f_mobilenetv2_trees.py --cfg-options model.backbone.init_cfg.checkpoint=FILE

Not measured yet on trees; `m2f_mobilenetv2_crowns.py` is the same network on crowns, with figures.
"""

_base_ = [
    './_base_/datasets/trees_instance.py',
    './_base_/models/mask2former_r18_slim.py',
    './_base_/models/mobilenet_v2.py',
    './_base_/schedules/adamw_12k.py',
    './_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=_base_.mobilenet_v2_pixels,
    backbone=dict(_delete_=True, **_base_.mobilenet_v2),
    panoptic_head=dict(in_channels=_base_.mobilenet_v2_channels, num_queries=100),
    train_cfg=dict(num_points=12544),
)

optim_wrapper = dict(optimizer=dict(lr=4e-4))  # the decoder starts from nothing, the backbone has a tenth of it

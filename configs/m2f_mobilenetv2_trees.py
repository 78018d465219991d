"""Light: a MobileNetV2 from ImageNet and a decoder of half the width and a third of the depth.

    python tools/train.py configs/m2f_mobilenetv2_trees.py --cfg-options model.backbone.init_cfg.checkpoint=FILE

Not measured yet on trees; `m2f_mobilenetv2_crowns.py` is the same network on crowns, with figures.
"""

_base_ = [
    './_base_/datasets/trees_instance.py',
    './_base_/models/mask2former_r18_slim.py',
    './_base_/schedules/adamw_12k.py',
    './_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        widen_factor=1.0,
        out_indices=(1, 2, 4, 6),
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='weights/mobilenet_v2_imagenet.pth'),
    ),
    panoptic_head=dict(in_channels=[24, 32, 96, 320], num_queries=100),
    train_cfg=dict(num_points=12544),
)

optim_wrapper = dict(optimizer=dict(lr=4e-4))  # the decoder starts from nothing, the backbone has a tenth of it

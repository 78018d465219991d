"""A MobileNetV2 from ImageNet, for configs that put it in place of their model's backbone:

model = dict(
    data_preprocessor=_base_.mobilenet_v2_pixels,
    backbone=dict(_delete_=True, **_base_.mobilenet_v2),
)
"""

mobilenet_v2 = dict(
    type='MobileNetV2',
    widen_factor=1.0,
    out_indices=(1, 2, 4, 6),
    norm_cfg=dict(type='BN', requires_grad=False),
    norm_eval=True,
    init_cfg=dict(type='Pretrained', checkpoint='weights/mobilenet_v2_imagenet.pth'),
)
mobilenet_v2_channels = [24, 32, 96, 320]
mobilenet_v2_pixels = dict(mean=[127.5] * 3, std=[127.5] * 3)

"""Tree crowns from four bands: the run of `m2f_mobilenetv2_crowns.py` with near infrared beside red, green and blue.

    python -m data_prep tile SCENE.tif --labels CROWNS.gpkg --out data/crowns_rgbn --tile-size 128 --overlap 0.5 \
        --split-by blocks --split 0.57,0.10,0.33 --pixels none --bands 1,2,3,4
    python tools/train.py configs/m2f_mobilenetv2_crowns_rgbn.py --cfg-options model.backbone.init_cfg.checkpoint=FILE

Tiles come from the raster while training. The filters of the fourth band start as the mean of ImageNet's three.
"""

_base_ = [
    './_base_/datasets/trees_crowns.py',
    './_base_/models/mask2former_r18_slim.py',
    './_base_/models/mobilenet_v2.py',
    './_base_/schedules/adamw_crowns.py',
    './_base_/default_runtime.py',
]

data_root = 'data/crowns_rgbn/'
load = dict(type='LoadImageFromScene', to_float32=False)
train_dataloader = dict(dataset=dict(pipeline=[load, *_base_.train_pipeline[1:]]))
val_dataloader = dict(dataset=dict(pipeline=[load, *_base_.test_pipeline[1:]]))
test_dataloader = dict(dataset=dict(pipeline=[load, *_base_.test_pipeline[1:]]))

model = dict(
    data_preprocessor=dict(type='BandsPreprocessor', mean=[127.5] * 4, std=[127.5] * 4, bgr_to_rgb=False),
    backbone={**_base_.mobilenet_v2, '_delete_': True, 'type': 'BandsMobileNetV2', 'in_channels': 4},
    panoptic_head=dict(
        type='PlacedMask2FormerHead',
        in_channels=_base_.mobilenet_v2_channels,
        num_queries=80,
    ),
    test_cfg=dict(matrix_nms_sigma=2.0),
)

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=200), visualization=dict(type='PictureHook'))

"""Tree crowns in one aerial scene, two cores: the same run on real pixels, MobileNetV2 from ImageNet, slim decoder.

    python -m data_prep tile SCENE.tif --labels CROWNS.gpkg --out data/crowns --tile-size 128 --overlap 0.5 \
        --split-by blocks --split 0.57,0.10,0.33
    python tools/train.py configs/m2f_mobilenetv2_crowns.py --cfg-options model.backbone.init_cfg.checkpoint=FILE

Measured on 33 % of the scene, never seen: segm AP50 0.565, AP 0.219 after 400 iterations, mean of three seeds
(untrained 0.000); twice as many gained nothing; see docs/results.md.
"""

_base_ = [
    './_base_/datasets/trees_crowns.py',
    './_base_/models/mask2former_r18_slim.py',
    './_base_/models/mobilenet_v2.py',
    './_base_/schedules/adamw_crowns.py',
    './_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=_base_.mobilenet_v2_pixels,
    backbone=dict(_delete_=True, **_base_.mobilenet_v2),
    panoptic_head=dict(
        type='PlacedMask2FormerHead',
        in_channels=_base_.mobilenet_v2_channels,
        num_queries=80,
    ),
    test_cfg=dict(matrix_nms_sigma=2.0),
)

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=200))

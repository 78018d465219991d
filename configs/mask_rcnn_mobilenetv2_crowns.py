"""The floor for crowns: MMDetection's Mask R-CNN with backbone, tiles and schedule of `m2f_mobilenetv2_crowns.py`.

    python tools/train.py configs/mask_rcnn_mobilenetv2_crowns.py --cfg-options \
        model.backbone.init_cfg.checkpoint=FILE
"""

_base_ = [
    './_base_/datasets/trees_crowns.py',
    './_base_/models/mask_rcnn_r50.py',
    './_base_/schedules/adamw_crowns.py',
    './_base_/default_runtime.py',
]

channels = 128  # as wide as the other network's decoder
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
    neck=dict(in_channels=[24, 32, 96, 320], out_channels=channels),
    rpn_head=dict(in_channels=channels, feat_channels=channels),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels),
        bbox_head=dict(in_channels=channels, fc_out_channels=4 * channels),
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(in_channels=channels, conv_out_channels=channels),
    ),
    # 256 px have a sixteenth of the anchors of 1024 px.
    train_cfg=dict(rpn_proposal=dict(nms_pre=500, max_per_img=200), rcnn=dict(sampler=dict(num=128))),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200)),
)

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=200))

"""The floor for crowns: MMDetection's Mask R-CNN with backbone, tiles and schedule of `m2f_mobilenetv2_crowns.py`.

    python tools/train.py configs/mask_rcnn_mobilenetv2_crowns.py --cfg-options \
        model.backbone.init_cfg.checkpoint=FILE
"""

_base_ = [
    './_base_/datasets/trees_crowns.py',
    './_base_/models/mask_rcnn_r50.py',
    './_base_/models/mobilenet_v2.py',
    './_base_/schedules/adamw_crowns.py',
    './_base_/default_runtime.py',
]

channels = 128  # as wide as the other network's decoder
model = dict(
    data_preprocessor=_base_.mobilenet_v2_pixels,
    backbone=dict(_delete_=True, **_base_.mobilenet_v2),
    neck=dict(in_channels=_base_.mobilenet_v2_channels, out_channels=channels),
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

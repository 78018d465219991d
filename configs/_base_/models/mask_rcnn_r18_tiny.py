"""Mask R-CNN with half a ResNet-18 and heads of a quarter of the width, for minutes on a CPU.

The same backbone as `mask2former_r18_tiny.py`, trained whole, as nothing pretrained is there to be kept.
"""

_base_ = ['./mask_rcnn_r50.py']

channels = 64
model = dict(
    backbone=dict(
        depth=18,
        base_channels=32,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=channels),
    rpn_head=dict(in_channels=channels, feat_channels=channels),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels),
        bbox_head=dict(in_channels=channels, fc_out_channels=4 * channels),
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(in_channels=channels, conv_out_channels=channels),
    ),
    # A tile of 128 px has a 64th of the anchors of one of 1024 px, and hardly ever more than five objects.
    train_cfg=dict(rpn_proposal=dict(nms_pre=500, max_per_img=100), rcnn=dict(sampler=dict(num=32))),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=100)),
)

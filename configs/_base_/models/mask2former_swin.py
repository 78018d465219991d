"""Mask2Former with a Swin-T, as MMDetection publishes it for instances; leaves turn it into a Swin-S or a Swin-B.

Goes with `schedules/adamw_12k_swin.py`, which spares norms and position tables the weight decay.
"""

_base_ = ['./mask2former_r50.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinTransformer',
        embed_dims=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        mlp_ratio=4,
        qkv_bias=True,
        qk_scale=None,
        drop_rate=0.0,
        attn_drop_rate=0.0,
        drop_path_rate=0.3,
        patch_norm=True,
        out_indices=(0, 1, 2, 3),
        with_cp=False,  # True: activations are computed again instead of kept
        convert_weights=True,
        frozen_stages=-1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
            'swin_tiny_patch4_window7_224.pth',
        ),
    ),
    panoptic_head=dict(in_channels=[96, 192, 384, 768]),
)

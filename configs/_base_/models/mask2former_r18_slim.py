"""Mask2Former with a ResNet-18 and a decoder of half the width and a third of the depth: 13.6 M parameters.

Batch norm is trained, as nothing pretrained is there to be kept.
"""

_base_ = ['./mask2former_r50.py']

channels = 128
model = dict(
    backbone=dict(depth=18, norm_cfg=dict(requires_grad=True), norm_eval=False, init_cfg=None),
    panoptic_head=dict(
        in_channels=[64, 128, 256, 512],
        feat_channels=channels,
        out_channels=channels,
        num_queries=50,
        pixel_decoder=dict(
            encoder=dict(
                num_layers=3,
                layer_cfg=dict(
                    self_attn_cfg=dict(embed_dims=channels),
                    ffn_cfg=dict(embed_dims=channels, feedforward_channels=4 * channels),
                ),
            ),
            positional_encoding=dict(num_feats=channels // 2),
        ),
        positional_encoding=dict(num_feats=channels // 2),
        transformer_decoder=dict(
            num_layers=3,
            layer_cfg=dict(
                self_attn_cfg=dict(embed_dims=channels),
                cross_attn_cfg=dict(embed_dims=channels),
                ffn_cfg=dict(embed_dims=channels, feedforward_channels=4 * channels),
            ),
        ),
    ),
    # 1024 px need 12,544 points for the mask losses; a quarter of the side needs a quarter of the detail.
    train_cfg=dict(num_points=3136),
)

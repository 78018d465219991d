"""`adamw_transfer.py` for Swin: its norms and position tables have no weight decay, as in MMDetection's recipe.

MMEngine takes the longest key that is a part of a parameter's name, and one that matches overrules `norm_decay_mult`.
"""

_base_ = ['./adamw_transfer.py']

spared = dict(lr_mult=0.1, decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'backbone.norm': spared,
            'backbone.patch_embed.norm': spared,
            '.downsample.norm': spared,
            '.norm1.weight': spared,
            '.norm1.bias': spared,
            '.norm2.weight': spared,
            '.norm2.bias': spared,
            'absolute_pos_embed': spared,
            'relative_position_bias_table': spared,
        }
    )
)

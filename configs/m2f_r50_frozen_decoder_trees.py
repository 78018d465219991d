"""The flagship with backbone and pixel decoder kept as COCO made them: a third of its weights learns.

    python tools/train.py configs/m2f_r50_frozen_decoder_trees.py

Not measured yet. The pixel decoder draws the finest features, which trunks of a few pixels need: a risk by itself.
"""

_base_ = ['./m2f_r50_trees.py']

stages = [dict(begin=0, frozen=['backbone', 'panoptic_head.pixel_decoder'])]
custom_hooks = [*_base_.custom_hooks, dict(type='StagedUnfreezeHook', stages=stages)]

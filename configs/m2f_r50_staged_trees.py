"""The flagship, let go in stages: first what starts random, then the pixel decoder, then the backbone.

    python tools/train.py configs/m2f_r50_staged_trees.py

Not measured yet.
"""

_base_ = ['./m2f_r50_trees.py']

stages = [
    dict(begin=0, frozen=['backbone', 'panoptic_head.pixel_decoder']),
    dict(begin=0.1, frozen=['backbone']),
    dict(begin=0.3, frozen=[]),
]
custom_hooks = [*_base_.custom_hooks, dict(type='StagedUnfreezeHook', stages=stages)]

"""The flagship with its backbone kept as COCO made it: for a few hundred tiles, and for less memory.

    python tools/train.py configs/m2f_r50_frozen_backbone_trees.py

Not measured yet.
"""

_base_ = ['./m2f_r50_trees.py']

model = dict(backbone=dict(frozen_stages=4))

"""Stage 1: FPN, RPN, RoIAlign and heads learn on the whole training set, the backbone of Stage 0 frozen, 4 epochs.

    python tools/run_stages.py configs/cityscapes/stages.py --only mask_rcnn_stage1
    python tools/train.py configs/cityscapes/mask_rcnn_r50_stage1.py      # by itself, from ImageNet

Not measured yet (needs Cityscapes and a GPU).
"""

_base_ = [
    '../_base_/datasets/cityscapes_instance.py',
    '../_base_/models/mask_rcnn_r50.py',
    '../_base_/schedules/sgd_epochs.py',
    '../_base_/default_runtime.py',
]

custom_imports = dict(imports=['fallen_trees', 'fallen_trees.stages'])
model = dict(backbone=dict(frozen_stages=4))  # filters, weights and statistics of norms: all of it
default_hooks = dict(checkpoint=dict(interval=None), visualization=dict(type='SpacedPictureHook'))

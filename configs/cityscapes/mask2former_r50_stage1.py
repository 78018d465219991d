"""Stage 1: both decoders learn on the whole training set, the backbone of Stage 0 frozen, 4 epochs.

    python tools/run_stages.py configs/cityscapes/stages.py --only mask2former_stage1
    python tools/train.py configs/cityscapes/mask2former_r50_stage1.py      # by itself, from ImageNet

Not measured yet (needs Cityscapes and a GPU).
"""

_base_ = [
    '../_base_/datasets/cityscapes_instance.py',
    '../_base_/models/mask2former_r50.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime.py',
]

custom_imports = dict(imports=['fallen_trees', 'fallen_trees.stages'])
model = dict(backbone=dict(frozen_stages=4))  # filters, weights and statistics of norms: all of it
default_hooks = dict(checkpoint=dict(interval=None), visualization=dict(type='SpacedPictureHook'))

epochs, validation_epochs = 4, 1
lr_warmup_updates = 500
optim_wrapper = dict(
    accumulative_counts=4,
    paramwise_cfg=dict(custom_keys=dict(pixel_decoder=dict(lr_mult=1.0))),  # 0: it stands still
)

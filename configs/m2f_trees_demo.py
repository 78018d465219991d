"""The flagship's run at a size that two CPU cores carry: ResNet-18 from nothing, 256 px tiles, minutes.

bash tools/demo.sh
"""

_base_ = [
    './_base_/datasets/trees_instance.py',
    './_base_/models/mask2former_r18_slim.py',
    './_base_/schedules/adamw_12k.py',
    './_base_/default_runtime.py',
]

data_root = 'data/demo/'
image_size = (256, 256)
train_dataloader = dict(batch_size=4)

train_cfg = dict(max_iters=700, val_interval=100)
lr_warmup_updates = 40
optim_wrapper = dict(
    accumulative_counts=1,
    optimizer=dict(lr=4e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))),  # nothing pretrained to be spared
)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=100))

"""`adamw_12k.py` at the length of a first run on two cores: 400 updates of 4 tiles from ImageNet's backbone."""

_base_ = ['./adamw_12k.py']

train_cfg = dict(max_iters=400, val_interval=200)
lr_warmup_updates = 50
optim_wrapper = dict(
    accumulative_counts=1,
    optimizer=dict(lr=1.2e-3),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.3))),
)

"""`adamw_12k.py` at the demo's length: 2,300 updates of 16 tiles, nothing pretrained to be spared."""

_base_ = ['./adamw_12k.py']

train_cfg = dict(max_iters=2300, val_interval=575)
lr_warmup_updates = 40
optim_wrapper = dict(
    accumulative_counts=1,
    optimizer=dict(lr=8e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))),
)

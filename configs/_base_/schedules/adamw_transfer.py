"""AdamW for a short run from a network that knows COCO: 2,000 iterations, steps down at 60 and 90 %.

1,000 are enough for a hundred photos, 3,000 for thousands: `--cfg-options train_cfg.max_iters=1000`; warm-up and steps
follow. From nothing: 2.5 times the rate, for all weights alike (`coco/m2f_r50_scratch_custom.py`).
"""

train_cfg = dict(type='IterBasedTrainLoop', max_iters=2000, val_interval=200)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

embedding = dict(lr_mult=1.0, decay_mult=0.0)
optim_wrapper = dict(
    type='OptimWrapper',
    accumulative_counts=1,
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05, eps=1e-8, betas=(0.9, 0.999), fused=True),
    paramwise_cfg=dict(
        custom_keys=dict(
            backbone=dict(lr_mult=0.1, decay_mult=1.0),
            query_embed=embedding,
            query_feat=embedding,
            level_embed=embedding,
        ),
        norm_decay_mult=0.0,
    ),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)

# Shares of train_cfg.max_iters, see adamw_12k.py.
lr_milestones = (0.6, 0.9)
lr_warmup_updates = 100
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=None),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=None, milestones=None, gamma=0.1),
]

# Off: AdamW does not want the linear rule. --auto-scale-lr turns it on.
auto_scale_lr = dict(enable=False, base_batch_size=4)

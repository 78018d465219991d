"""AdamW for 12,000 updates of 8 tiles (2 at a time, 4 times accumulated), two steps down at 70 and 90 %.

MMEngine counts every batch as an iteration, accumulated or not: 12,000 updates are 48,000 iterations.
"""

accumulative_counts = 4
max_iters = 12000 * accumulative_counts

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=500 * accumulative_counts)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

embedding = dict(lr_mult=1.0, decay_mult=0.0)
optim_wrapper = dict(
    type='OptimWrapper',
    accumulative_counts=accumulative_counts,
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

# Shares of train_cfg.max_iters. The tools turn them into iterations when they know how long the run is, so that a
# shorter or longer run keeps the shape of the curve instead of never reaching a milestone.
lr_milestones = (0.7, 0.9)
lr_warmup_updates = 500
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=None),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=None, milestones=None, gamma=0.1),
]

# Off: AdamW does not want the linear rule. --auto-scale-lr turns it on.
auto_scale_lr = dict(enable=False, base_batch_size=2)

"""AdamW for 50 epochs at 16 photos an update: Mask2Former's own length and steps on COCO, with a longer warm-up.

Loops count iterations; epochs become iterations when the data set and the number of processes are known
(`fallen_trees.derive.epochs`). A number that a config or an option states itself stays.
"""

epochs = 50
validation_epochs = 5
checkpoint_epochs = 1  # a checkpoint every so many epochs, and every 15 minutes

train_cfg = dict(type='IterBasedTrainLoop', max_iters=None, val_interval=None)
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

# Shares of the run, see adamw_12k.py. Warm-up: at most a tenth of it.
lr_milestones = (0.889, 0.963)
lr_warmup_updates = 10_000
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=None),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=None, milestones=None, gamma=0.1),
]

# Off: AdamW does not want the linear rule. --auto-scale-lr turns it on.
auto_scale_lr = dict(enable=False, base_batch_size=16)

"""Adam at 5e-5 for two passes through the training set, the same rate for all that is trained, no decay.

A warm-up of at most a tenth of the run comes before. Epochs become iterations when the data set is known
(`fallen_trees.derive.epochs`).
"""

epochs = 2
validation_epochs = 1
checkpoint_epochs = 1

train_cfg = dict(type='IterBasedTrainLoop', max_iters=None, val_interval=None)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    accumulative_counts=1,
    optimizer=dict(type='Adam', lr=5e-5, fused=True),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)

lr_warmup_updates = 20
param_scheduler = [dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=None)]

# Off: Adam does not want the linear rule. --auto-scale-lr turns it on.
auto_scale_lr = dict(enable=False, base_batch_size=8)

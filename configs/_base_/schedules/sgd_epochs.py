"""SGD at 0.01 for 8 images an update, MMDetection's for Cityscapes, with steps down at 7 and 9 of 10 parts."""

epochs = 4
validation_epochs = 1
checkpoint_epochs = 1

train_cfg = dict(type='IterBasedTrainLoop', max_iters=None, val_interval=None)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    accumulative_counts=4,
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0001),
    # The gradient of the heads goes into the pyramid times this; 0: it stands still.
    paramwise_cfg=dict(custom_keys=dict(neck=dict(lr_mult=1.0))),
)
lr_milestones = (0.7, 0.9)  # shares of the run, see adamw_12k.py
lr_warmup_updates = 200
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=None),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=None, milestones=None, gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)

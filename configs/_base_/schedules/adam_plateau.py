"""Adam at 1e-4 for 12 epochs; a tenth of it once the mean IoU of the validation has not risen for two validations."""

epochs = 12
validation_epochs = 1
checkpoint_epochs = 1

train_cfg = dict(type='IterBasedTrainLoop', max_iters=None, val_interval=None)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(type='OptimWrapper', accumulative_counts=1, optimizer=dict(type='Adam', lr=1e-4))
param_scheduler = [
    # by_epoch is all it knows; it counts validations
    dict(type='ReduceOnPlateauLR', monitor='semantic/mIoU', rule='greater', factor=0.1, patience=1, by_epoch=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)

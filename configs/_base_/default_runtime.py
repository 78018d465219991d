"""What changes no number in a table of results: logging, checkpoints, pictures, randomness."""

default_scope = 'mmdet'
custom_imports = dict(imports=['fallen_trees'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    # False, or TensorBoard would show all validations at step 0
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='SafeCheckpointHook',
        by_epoch=False,
        interval=2000,
        every_minutes=15,  # besides, for machines that vanish without a signal
        max_keep_ckpts=3,
        save_best='coco/segm_mAP',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='DetVisualizationHook'),
    model_card=dict(type='ModelCardHook'),
)
# Every step is seeded, so that a resumed run equals an unbroken one; SIGINT, SIGTERM and SIGUSR1 end a run with a
# checkpoint; the guard ends one that is dead, and says of what.
custom_hooks = [dict(type='IterationSeedHook'), dict(type='InterruptHook'), dict(type='GuardHook')]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)

vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='PanelVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=False)
log_level = 'INFO'

load_from = None
resume = False

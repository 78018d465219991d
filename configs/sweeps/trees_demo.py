"""Queries, learning rate and resolution of the demo, on two CPU cores.

bash tools/demo.sh
python tools/sweep.py configs/sweeps/trees_demo.py --workers 2
"""

_base_ = ['../m2f_trees_demo.py']

search_space = {
    'optim_wrapper.optimizer.lr': dict(type='float', low=1e-4, high=5e-3, log=True),
    'model.panoptic_head.num_queries': dict(type='int', low=10, high=60, step=5),
    'resolution': dict(type='choice', choices={f'{px} px': {'image_size': (px, px)} for px in (96, 128, 160)}),
}
sweep = dict(
    objective='coco/segm_mAP',
    max_trials=16,
    options={
        'data_root': 'work_dirs/demo/data',
        'train_cfg.max_iters': 600,
        'train_cfg.val_interval': 120,
        'default_hooks.checkpoint.interval': 120,
    },
    enqueue=[  # the demo as it is: what a winner has to beat
        {'optim_wrapper.optimizer.lr': 8e-4, 'model.panoptic_head.num_queries': 25, 'resolution': '128 px'},
    ],
)

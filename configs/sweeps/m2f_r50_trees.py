"""Queries, learning rate and resolution of the flagship, searched together.

    python tools/sweep.py configs/sweeps/m2f_r50_trees.py --trials 40 --study trees --workers 1

Scenes lie in data/scenes, data/trees is cut from them as `configs/m2f_r50_trees.py` says. Tiles of 256 px are cut when
a trial first asks for them. All trials are scored on the same tiles of 512 px, seen as large as the trial's own.
"""

_base_ = ['../m2f_r50_trees.py']


_tiles = ['tile', 'data/scenes', '--tile-size', '256', '--overlap', '0.25']


def _seen(px, zoom, **more):
    val = {'data_root': 'data/trees/', 'pipeline.1.scale': (512 * zoom, 512 * zoom)}
    return {'image_size': (px, px), **{f'val_dataloader.dataset.{key}': value for key, value in val.items()}, **more}


search_space = {
    'optim_wrapper.optimizer.lr': dict(type='float', low=3e-5, high=1e-3, log=True),
    'model.panoptic_head.num_queries': dict(type='int', low=50, high=300, step=50),
    'resolution': dict(
        type='choice',
        choices={
            '512 px as they are': _seen(512, 1),
            '512 px twice': _seen(1024, 2),
            '256 px four times': _seen(1024, 4, data=_tiles),
        },
    ),
}
sweep = dict(
    objective='coco/segm_mAP',
    max_trials=40,
    options={
        'train_cfg.max_iters': 24000,  # half the flagship's length; the best are trained in full afterwards
        'train_cfg.val_interval': 2000,
        'default_hooks.checkpoint.max_keep_ckpts': 1,
    },
    enqueue=[  # the flagship as it is: what a winner has to beat
        {
            'optim_wrapper.optimizer.lr': 1e-4,
            'model.panoptic_head.num_queries': 100,
            'resolution': '512 px twice',
        },
    ],
)

"""One change at a time to the demo's recipe, on the drawn world: augmentation, EMA, queries, resolution, tiles.

    bash tools/demo.sh
    python -m data_prep tile work_dirs/demo/scenes --out data/demo_all_empty --tile-size 128 --overlap 0.25 \
        --min-visible 0.1 --empty-share 1 --val synth_04 --test synth_05
    python tools/ablate.py configs/ablations/demo_factors.py --jobs 2

Besides, Finland's nine real trunks: data/finland is made as docs/results.md says, data/finland_scene holds the
orthophoto and its labels.
"""

config = 'configs/m2f_trees_demo.py'
options = {
    'data_root': 'work_dirs/demo/data',
    'train_cfg.max_iters': 600,
    'train_cfg.val_interval': 600,
    'default_hooks.checkpoint.interval': 600,
}
seeds = [0, 1, 2]

_load = [
    dict(type='LoadImageFromFile', to_float32=False),
    dict(type='LoadOutlineAnnotations', with_bbox=True, with_mask=True),
]
_paste = [dict(type='PasteObjects', donors=None, prob=0.5, parts=True)]  # tiles of 128 px show most trunks in part
_colour = [dict(type='BytePhotoMetricDistortion', swap_channels=False)]
_turn = [dict(type='ContiguousRandomFlip', prob=0.5), dict(type='RandomRot90')]
_scale = [dict(type='RandomResize', scale=None, ratio_range=(0.75, 1.33), resize_type='Resize', keep_ratio=True)]
_rest = [
    dict(type='RandomCrop', crop_size=None, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), min_gt_mask_area=16, by_mask=True, keep_empty=False),
    dict(type='ContiguousPackDetInputs'),
]
_pipeline = 'train_dataloader.dataset.pipeline'
_hooks = [dict(type='IterationSeedHook'), dict(type='InterruptHook'), dict(type='GuardHook')]
_ema = dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=None, gamma=None, priority=49)

arms = dict(
    demo={},
    no_colour={_pipeline: [*_load, *_turn, *_scale, *_rest]},
    no_turns={_pipeline: [*_load, *_colour, *_scale, *_rest]},
    no_scale={_pipeline: [*_load, *_colour, *_turn, *_rest]},
    no_augmentation={_pipeline: [*_load, *_rest]},
    copy_paste={_pipeline: [*_load, *_paste, *_colour, *_turn, *_scale, *_rest]},
    ema={'custom_hooks': [*_hooks, _ema]},
    queries_10={'model.panoptic_head.num_queries': 10},
    queries_50={'model.panoptic_head.num_queries': 50},
    px_96={'image_size': (96, 96)},
    px_192={'image_size': (192, 192)},
    no_empty_tiles={'train_dataloader.dataset.filter_cfg.filter_empty_gt': True},
    all_empty_tiles={'train_dataloader.dataset.data_root': 'data/demo_all_empty'},
)

_finland = [
    *('--scenes', 'data/finland_scene/R70C21.tif', '--truth', 'data/finland_scene/R70C21_labelme.json'),
    *('--label-map', 'Fallen=fallen_tree', '--skip-other-labels', '--replicates', '0'),
]

metrics = ['coco/segm_mAP', 'coco/segm_mAP_50']
tests = dict(
    drawn=dict(metrics=['coco/segm_mAP', 'coco/segm_mAP_50', 'coco/segm_F1_50']),
    finland=dict(options={'data_root': 'data/finland'}, metrics=['coco/segm_mAP_50', 'coco/segm_recall_50']),
    finland_trees=dict(
        tool='tools/test_scenes.py',
        args=_finland,
        metrics=['scene/recall', 'centreline/F1', 'length/total_error_percent'],
    ),
)
timeout_minutes = 120

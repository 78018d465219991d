"""Whether speed costs convergence: the demo with every speed-up of docs/performance.md, and with every one off.

bash tools/demo.sh
python tools/ablate.py configs/ablations/speedups.py --jobs 2
"""

config = 'configs/m2f_trees_demo.py'
options = {
    'data_root': 'work_dirs/demo/data',
    'train_cfg.max_iters': 1150,
    'train_cfg.val_interval': 1150,
    'default_hooks.checkpoint.interval': 1150,
}
seeds = [0, 1, 2]

_stock_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PhotoMetricDistortion', swap_channels=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomRot90'),
    dict(type='RandomResize', scale=None, ratio_range=(0.75, 1.33), resize_type='Resize', keep_ratio=True),
    dict(type='RandomCrop', crop_size=None, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), min_gt_mask_area=16, by_mask=True, keep_empty=False),
    dict(type='PackDetInputs'),
]
_stock_loading = {'train_dataloader.dataset.pipeline': _stock_pipeline}

arms = dict(
    all_on={},
    stock_loading=_stock_loading,
    all_off={
        **_stock_loading,
        'model.panoptic_head.type': 'Float32Mask2FormerHead',
        'model.panoptic_head.pixel_decoder.type': 'MSDeformAttnPixelDecoder',
        'optim_wrapper.optimizer.fused': False,
        'val_evaluator.backend': 'pycocotools',
    },
)

metrics = ['coco/segm_mAP', 'coco/segm_mAP_50']
tests = dict(drawn=dict(metrics=['coco/segm_mAP', 'coco/segm_mAP_50']))
timeout_minutes = 120

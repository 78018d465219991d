"""Stage 2 of Mask R-CNN on Cityscapes: which boxes count as objects, and how much the pyramid learns, on 372 images.

    python tools/run_stages.py configs/cityscapes/stages.py --only mask_rcnn_stage2

`neck.lr_mult` is the gradient flow into the FPN: with SGD and the backbone frozen, a pyramid that gets k times the
gradient of the heads is one with k times the learning rate.
"""

_base_ = ['../cityscapes/mask_rcnn_r50_stage2.py']


_rcnn, _rpn = 'model.train_cfg.rcnn.assigner', 'model.train_cfg.rpn.assigner'

search_space = {
    'foreground_iou': dict(
        type='choice',
        choices={
            f'{iou}': {f'{_rcnn}.{key}': iou for key in ('pos_iou_thr', 'neg_iou_thr', 'min_pos_iou')}
            for iou in (0.4, 0.45, 0.5, 0.55, 0.6)
        },
    ),
    f'{_rpn}.pos_iou_thr': dict(type='float', low=0.5, high=0.8, step=0.05),
    f'{_rpn}.neg_iou_thr': dict(type='float', low=0.2, high=0.4, step=0.05),
    'optim_wrapper.paramwise_cfg.custom_keys.neck.lr_mult': dict(type='choice', choices=[0.0, 0.1, 0.3, 1.0]),
}
sweep = dict(
    objective='coco/segm_mAP',
    options={
        'train_dataloader.dataset.ann_file': 'annotations/subset.json',
        'train_cfg.max_iters': 744,  # 4 epochs of 372 images, 2 at a time
        'train_cfg.val_interval': 372,
        'default_hooks.checkpoint.interval': 372,
        'default_hooks.checkpoint.max_keep_ckpts': 1,
    },
    max_trials=20,
    enqueue=[  # as Stage 1 was trained: what a winner has to beat
        {
            'foreground_iou': '0.5',
            f'{_rpn}.pos_iou_thr': 0.7,
            f'{_rpn}.neg_iou_thr': 0.3,
            'optim_wrapper.paramwise_cfg.custom_keys.neck.lr_mult': 1.0,
        },
    ],
)

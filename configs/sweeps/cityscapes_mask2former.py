"""Stage 2 of Mask2Former on Cityscapes: what stands for Mask R-CNN's IoUs and its pyramid here, on 372 images.

    python tools/run_stages.py configs/cityscapes/stages.py --only mask2former_stage2

Which predictions count as objects is settled by matching: queries and the weight of "no object" say how many there are
and how dear a miss is. `pixel_decoder.lr_mult` is the gradient flow into the pixel decoder.
"""

_base_ = ['../cityscapes/mask2former_r50_stage2.py']

_weights = 'model.panoptic_head.loss_cls.class_weight'

search_space = {
    'optim_wrapper.optimizer.lr': dict(type='float', low=3e-5, high=3e-4, log=True),
    'model.panoptic_head.num_queries': dict(type='int', low=50, high=200, step=50),
    'no_object': dict(type='choice', choices={f'{w}': {_weights: [1.0] * 8 + [w]} for w in (0.05, 0.1, 0.2)}),
    'optim_wrapper.paramwise_cfg.custom_keys.pixel_decoder.lr_mult': dict(type='choice', choices=[0.0, 0.1, 0.3, 1.0]),
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
            'optim_wrapper.optimizer.lr': 1e-4,
            'model.panoptic_head.num_queries': 100,
            'no_object': '0.1',
            'optim_wrapper.paramwise_cfg.custom_keys.pixel_decoder.lr_mult': 1.0,
        },
    ],
)

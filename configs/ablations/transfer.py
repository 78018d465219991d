"""What a start is worth: from nothing, from ImageNet and from a drawn world, with 100 and 1000 images to learn from.

    python -m data_prep synth --out work_dirs/target/scenes --scenes 26 --size 1024 --seed 7
    python -m data_prep tile work_dirs/target/scenes --out data/transfer --tile-size 128 --overlap 0.3 \
        --min-visible 0.1 --val synth_22,synth_23 --test synth_24,synth_25
    cd data/transfer/annotations && cp instances_train.json all.json
    python -m data_prep convert all.json --to coco --split 0.075,0.925,0 --out 100
    python -m data_prep convert all.json --to coco --split 0.748,0.252,0 --out 1000
    cd -
    python tools/ablate.py configs/ablations/transfer.py --jobs 2

The target is the drawn world at its usual difficulty, as no real set of 1000 labelled photos can be had here; the start
of arms `drawn`, made as `crowns.py` says, has seen the easy world of the demo alone. For photos of your own:
`data_root` in `options`, and 100 of them with `convert --split` as above, where 0.075 and 0.748 are of 1337 tiles. All
arms have one network and as many updates; the best checkpoint is scored on the test scenes. What COCO's weights are
worth, two more arms say, which need them and a GPU; without them their rows stay empty:

    coco_100={'config': 'configs/coco/m2f_r50_custom.py', **_100},
    coco_1000={'config': 'configs/coco/m2f_r50_custom.py', **_1000},
"""

config = 'configs/m2f_mobilenetv2_crowns.py'
options = {
    'data_root': 'data/transfer',
    'image_size': (192, 192),
    'train_cfg.max_iters': 400,
    'train_cfg.val_interval': 200,
    'optim_wrapper.optimizer.lr': 4e-4,
    'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult': 0.1,
    'train_dataloader.dataset.pipeline.4.ratio_range': (0.6, 1.6),
    'model.panoptic_head.type': 'BatchedMask2FormerHead',
    'model.test_cfg.matrix_nms_sigma': None,
}
seeds = [0, 1, 2]

_100 = {'train_dataloader.dataset.ann_file': 'annotations/100/instances_train.json'}
_1000 = {'train_dataloader.dataset.ann_file': 'annotations/1000/instances_train.json'}
_drawn = {'load_from': 'work_dirs/drawn_start/best_coco_segm_mAP_iter_*.pth'}
_scratch = {
    'model.backbone.init_cfg': None,
    'model.backbone.norm_cfg.requires_grad': True,
    'model.backbone.norm_eval': False,
    'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult': 1.0,
}

arms = dict(
    scratch_100={**_scratch, **_100},
    imagenet_100=_100,
    drawn_100={**_drawn, **_100},
    scratch_1000={**_scratch, **_1000},
    imagenet_1000=_1000,
    drawn_1000={**_drawn, **_1000},
)

metrics = ['coco/segm_mAP', 'coco/segm_mAP_50']
tests = dict(held_out=dict(metrics=['coco/segm_mAP', 'coco/segm_mAP_50', 'coco/segm_F1_50']))
timeout_minutes = 120
unit_minutes = 5  # of one free core

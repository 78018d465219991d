"""What real crowns are learnt from, and what of it is trained: nothing, ImageNet, the drawn world; frozen or not.

    python tools/train.py configs/m2f_mobilenetv2_crowns.py --work-dir work_dirs/drawn_start \
        --cfg-options data_root=work_dirs/demo/data
    python tools/ablate.py configs/ablations/crowns_start.py --jobs 2

data/crowns is made as docs/results.md says; weights/mobilenet_v2_imagenet.pth are ImageNet's. The drawn world's network
began with these, too. The best checkpoint is scored on the held-out block.
"""

config = 'configs/m2f_mobilenetv2_crowns.py'
options = {
    'train_cfg.max_iters': 400,
    'train_cfg.val_interval': 200,
}
seeds = [0, 1, 2]

_drawn = 'work_dirs/drawn_start/best_coco_segm_mAP_iter_*.pth'
_all = {'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult': 1.0}

arms = dict(
    imagenet={},
    imagenet_full_rate=_all,
    imagenet_frozen={'model.backbone.frozen_stages': 7},
    scratch={
        'model.backbone.init_cfg': None,
        'model.backbone.norm_cfg.requires_grad': True,
        'model.backbone.norm_eval': False,
        **_all,
    },
    drawn={'load_from': _drawn},
    drawn_frozen={'load_from': _drawn, 'model.backbone.frozen_stages': 7},
)

metrics = ['coco/segm_mAP', 'coco/segm_mAP_50']
tests = dict(held_out=dict(metrics=['coco/segm_mAP', 'coco/segm_mAP_50', 'coco/segm_F1_50']))
timeout_minutes = 60

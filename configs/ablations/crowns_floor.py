"""What the recipe for crowns is worth: MMDetection's Mask2Former and Mask R-CNN on the same tiles, for as many updates.

    python tools/ablate.py configs/ablations/crowns_floor.py --jobs 2

data/crowns is made as docs/results.md says, and weights/mobilenet_v2_imagenet.pth are ImageNet's. The first arm is
ours; all have its backbone, tiles, augmentation and schedule. A step of Mask R-CNN takes more than twice the CPU time
of ours, which therefore also runs twice as long. The best checkpoint is scored on the held-out block.
"""

config = 'configs/m2f_mobilenetv2_crowns.py'
seeds = [0, 1, 2]

_learnt = {'model.panoptic_head.type': 'BatchedMask2FormerHead'}
_twice = {'train_cfg.max_iters': 800, 'train_cfg.val_interval': 400}

arms = dict(
    ours={},
    learnt_queries=_learnt,
    learnt_queries_800={**_learnt, **_twice},
    duplicates_left={'model.test_cfg.matrix_nms_sigma': None},
    mmdet_mask2former={'config': 'configs/m2f_stock_mobilenetv2_crowns.py'},
    mmdet_mask_rcnn={'config': 'configs/mask_rcnn_mobilenetv2_crowns.py'},
    ours_800=_twice,
)

metrics = ['coco/segm_mAP', 'coco/segm_mAP_50']
tests = dict(held_out=dict(metrics=['coco/segm_mAP', 'coco/segm_mAP_50', 'coco/segm_F1_50']))
timeout_minutes = 120

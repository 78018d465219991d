"""The floor: MMDetection's Mask R-CNN R50 on the tiles of the flagship, with its pipeline, evaluator and hooks.

    python tools/train.py configs/mask_rcnn_r50_trees.py

Not measured yet. As many updates of as many tiles, from COCO too (mask AP 37.1 there). Its optimiser is the one it was
published with, SGD, so that nobody can say that it was held back by another's.
"""

_base_ = [
    './_base_/datasets/trees_instance.py',
    './_base_/models/mask_rcnn_r50.py',
    './_base_/schedules/sgd_12k.py',
    './_base_/default_runtime.py',
]

load_from = (
    'https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/mask_rcnn_r50_fpn_mstrain-poly_3x_coco/'
    'mask_rcnn_r50_fpn_mstrain-poly_3x_coco_20210524_201154-21b550bb.pth'
)

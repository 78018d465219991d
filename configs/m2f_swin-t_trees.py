"""The flagship with a Swin-T, from COCO instances (mask AP 44.7 there, R50 42.9).

    python tools/train.py configs/m2f_swin-t_trees.py

Not measured yet.
"""

_base_ = [
    './_base_/datasets/trees_instance.py',
    './_base_/models/mask2former_swin.py',
    './_base_/schedules/adamw_12k_swin.py',
    './_base_/default_runtime.py',
]

load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco/'
    'mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco_20220508_091649-01b0f990.pth'
)

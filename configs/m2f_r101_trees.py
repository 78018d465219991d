"""The flagship with a ResNet-101, from COCO instances (mask AP 44.0 there, R50 42.9).

    python tools/train.py configs/m2f_r101_trees.py

Not measured yet.
"""

_base_ = ['./m2f_r50_trees.py']

model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint='https://download.pytorch.org/models/resnet101-63fe2227.pth'))
)

load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/mask2former/mask2former_r101_8xb2-lsj-50e_coco/'
    'mask2former_r101_8xb2-lsj-50e_coco_20220426_100250-ecf181e2.pth'
)

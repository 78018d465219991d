"""`m2f_r50_custom.py` with a ResNet-101 (mask AP 44.0 on COCO, R50 42.9).

    python tools/train.py configs/coco/m2f_r101_custom.py --cfg-options data_root=DATA

Not measured yet.
"""

_base_ = ['./m2f_r50_custom.py']

model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint='https://download.pytorch.org/models/resnet101-63fe2227.pth'))
)

load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/mask2former/mask2former_r101_8xb2-lsj-50e_coco/'
    'mask2former_r101_8xb2-lsj-50e_coco_20220426_100250-ecf181e2.pth'
)

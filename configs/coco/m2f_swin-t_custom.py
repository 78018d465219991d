"""`m2f_r50_custom.py` with a Swin-T (mask AP 44.7 on COCO, R50 42.9).

    python tools/train.py configs/coco/m2f_swin-t_custom.py --cfg-options data_root=DATA

Not measured yet.
"""

_base_ = [
    '../_base_/datasets/coco_custom.py',
    '../_base_/models/mask2former_swin.py',
    '../_base_/schedules/adamw_transfer_swin.py',
    '../_base_/default_runtime.py',
]

default_hooks = dict(checkpoint=dict(interval=200))

load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco/'
    'mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco_20220508_091649-01b0f990.pth'
)

"""`m2f_r50_custom.py` with a Swin-S (mask AP 46.1 on COCO, R50 42.9).

    python tools/train.py configs/coco/m2f_swin-s_custom.py --cfg-options data_root=DATA

Not measured yet.
"""

_base_ = [
    '../_base_/datasets/coco_custom.py',
    '../_base_/models/mask2former_swin.py',
    '../_base_/schedules/adamw_transfer_swin.py',
    '../_base_/default_runtime.py',
]

default_hooks = dict(checkpoint=dict(interval=200))

release = 'https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
model = dict(
    backbone=dict(depths=[2, 2, 18, 2], init_cfg=dict(checkpoint=release + 'swin_small_patch4_window7_224.pth'))
)

load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/mask2former/mask2former_swin-s-p4-w7-224_8xb2-lsj-50e_coco/'
    'mask2former_swin-s-p4-w7-224_8xb2-lsj-50e_coco_20220504_001756-c9d0c4f2.pth'
)

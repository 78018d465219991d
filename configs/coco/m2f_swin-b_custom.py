"""`m2f_r50_custom.py` with a Swin-B from COCO *panoptic*, whose 53 kinds of ground are dropped when it is loaded.

    python tools/train.py configs/coco/m2f_swin-b_custom.py --cfg-options data_root=DATA train_dataloader.batch_size=2

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
    backbone=dict(
        pretrain_img_size=384,
        embed_dims=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        window_size=12,
        init_cfg=dict(checkpoint=release + 'swin_base_patch4_window12_384_22k.pth'),
    ),
    panoptic_head=dict(in_channels=[128, 256, 512, 1024]),
)

load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/mask2former/'
    'mask2former_swin-b-p4-w12-384-in21k_8xb2-lsj-50e_coco-panoptic/'
    'mask2former_swin-b-p4-w12-384-in21k_8xb2-lsj-50e_coco-panoptic_20220329_230021-05ec7315.pth'
)

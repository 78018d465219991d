"""Mask2Former Swin-T for the classes of IDD, pixel by pixel, all weights trained.

    python -m data_prep semantic data/idd
    python tools/train.py configs/traffic/m2f_swin-t_idd_semantic.py
    python tools/test.py configs/traffic/m2f_swin-t_idd_semantic.py work_dirs/m2f_swin-t_idd_semantic/best_*.pth \
        --show-dir work_dirs/m2f_swin-t_idd_semantic/pictures

Not measured yet. It starts from COCO panoptic, whose classifier knows ground as well as things.
"""

_base_ = [
    '../_base_/datasets/idd_semantic.py',
    '../_base_/models/mask2former_swin.py',
    '../_base_/schedules/adamw_12k_swin.py',
    '../_base_/default_runtime.py',
]

model = dict(
    type='SemanticMask2Former',
    panoptic_fusion_head=dict(type='SemanticFusionHead'),
    test_cfg=dict(semantic_on=True, instance_on=False),
)
default_hooks = dict(checkpoint=dict(save_best='semantic/mIoU'), visualization=dict(type='FramePictureHook'))
visualizer = dict(type='MapVisualizer')
custom_hooks = [
    dict(type='IterationSeedHook'),
    dict(type='InterruptHook'),
    dict(type='GuardHook', val_batches=0),  # mIoU says what a loss on validation images would
]

load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco-panoptic/'
    'mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco-panoptic_20220326_224553-3ec9e0ae.pth'
)

"""Mask2Former Swin-T for things and stuff together, in COCO's panoptic layout.

    python tools/train.py configs/traffic/m2f_swin-t_coco_panoptic.py --cfg-options data_root=DATA
    python tools/test.py configs/traffic/m2f_swin-t_coco_panoptic.py work_dirs/m2f_swin-t_coco_panoptic/best_*.pth \
        --show-dir work_dirs/m2f_swin-t_coco_panoptic/pictures --cfg-options data_root=DATA

Not measured yet. What is counted as a thing stands in the categories of the training file.
"""

_base_ = [
    '../_base_/datasets/coco_panoptic.py',
    '../_base_/models/mask2former_swin.py',
    '../_base_/schedules/adamw_12k_swin.py',
    '../_base_/default_runtime.py',
]

model = dict(
    panoptic_head=dict(num_stuff_classes=None),
    panoptic_fusion_head=dict(num_stuff_classes=None),
    test_cfg=dict(panoptic_on=True, instance_on=False),
)
default_hooks = dict(checkpoint=dict(save_best='panoptic/PQ'), visualization=dict(type='PictureHook'))
visualizer = dict(type='MapVisualizer')
custom_hooks = [
    dict(type='IterationSeedHook'),
    dict(type='InterruptHook'),
    dict(type='GuardHook', val_batches=0),  # PQ says what a loss on validation images would
]

load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco-panoptic/'
    'mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco-panoptic_20220326_224553-3ec9e0ae.pth'
)

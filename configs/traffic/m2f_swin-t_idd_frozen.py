"""`m2f_swin-t_idd_semantic.py` on the 1500 best of IDD's images, backbone and pixel decoder kept: two epochs of Adam.

    python -m data_prep semantic data/idd
    python -m data_prep select data/idd/annotations/semantic_train.json --n 1500 --weights 0.4,0.4,0.2 \
        --split 0.855,0.045,0.1 --out data/idd/annotations/best.json
    python tools/train.py configs/traffic/m2f_swin-t_idd_frozen.py

Not measured yet. What a frozen part saves: docs/workflows.md. Its test images are neighbours of its training images;
the full validation split is another: `test_dataloader.dataset.ann_file=annotations/semantic_val.json`.
"""

_base_ = [
    '../_base_/datasets/idd_semantic.py',
    '../_base_/models/mask2former_swin.py',
    '../_base_/schedules/adam_2_epochs.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=8, dataset=dict(ann_file='annotations/best_train.json'))
val_dataloader = dict(dataset=dict(ann_file='annotations/best_val.json'))
test_dataloader = dict(dataset=dict(ann_file='annotations/best_test.json'))

model = dict(
    type='SemanticMask2Former',
    panoptic_fusion_head=dict(type='SemanticFusionHead'),
    test_cfg=dict(semantic_on=True, instance_on=False),
)
stages = [dict(begin=0, frozen=['backbone', 'panoptic_head.pixel_decoder'])]
default_hooks = dict(
    checkpoint=dict(save_best='semantic/mIoU', interval=None), visualization=dict(type='FramePictureHook')
)
visualizer = dict(type='MapVisualizer')
custom_hooks = [
    dict(type='IterationSeedHook'),
    dict(type='InterruptHook'),
    dict(type='GuardHook', val_batches=0),
    dict(type='StagedUnfreezeHook', stages=stages),
]

load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco-panoptic/'
    'mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco-panoptic_20220326_224553-3ec9e0ae.pth'
)

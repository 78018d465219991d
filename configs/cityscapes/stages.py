"""Cityscapes in stages, Mask R-CNN and Mask2Former beside each other, from one pre-trained backbone.

    python -m data_prep cityscapes ROOT --out data/cityscapes --jobs 8
    python tools/run_stages.py configs/cityscapes/stages.py --dry-run     # checks every stage, prints the plan
    python tools/run_stages.py configs/cityscapes/stages.py               # again after any stop: goes on

docs/workflows.md says what each key means. Not run yet on Cityscapes itself.
"""

# Taken for Stage 0 where the file lies in torch's cache; else the config's own start, ImageNet.
_deeplab = 'https://download.pytorch.org/models/deeplabv3_resnet50_coco-cd0a2569.pth'
_frozen = dict(frozen=['backbone'])
_metrics = ['coco/segm_mAP', 'coco/segm_mAP_50', 'coco/segm_F1_50']

stages = dict(
    stage0=dict(
        config='configs/cityscapes/semantic_r50_stage0.py',
        start=[_deeplab],
        parts=['backbone'],
        metrics=['semantic/mIoU', 'semantic/aAcc'],
    ),
    mask_rcnn_stage1=dict(
        config='configs/cityscapes/mask_rcnn_r50_stage1.py',
        start='stage0',
        parts=['backbone'],
        metrics=_metrics,
        **_frozen,
    ),
    mask_rcnn_stage2=dict(
        config='configs/cityscapes/mask_rcnn_r50_stage2.py',
        start='mask_rcnn_stage1',
        anchors='annotations/instances_train.json',
        search='configs/sweeps/cityscapes_mask_rcnn.py',
        metrics=_metrics,
        **_frozen,
    ),
    mask_rcnn_stage3=dict(
        config='configs/cityscapes/mask_rcnn_r50_stage3.py',
        start='mask_rcnn_stage2',
        checkpoint='last',  # it has learnt from the validation
        metrics=_metrics,
    ),
    mask2former_stage1=dict(
        config='configs/cityscapes/mask2former_r50_stage1.py',
        start='stage0',
        parts=['backbone'],
        metrics=_metrics,
        **_frozen,
    ),
    mask2former_stage2=dict(
        config='configs/cityscapes/mask2former_r50_stage2.py',
        start='mask2former_stage1',
        search='configs/sweeps/cityscapes_mask2former.py',
        metrics=_metrics,
        **_frozen,
    ),
    mask2former_stage3=dict(
        config='configs/cityscapes/mask2former_r50_stage3.py',
        start='mask2former_stage2',
        found_times={'optim_wrapper.optimizer.lr': 0.1},  # of the rate that Stage 2 found
        checkpoint='last',
        metrics=_metrics,
    ),
)

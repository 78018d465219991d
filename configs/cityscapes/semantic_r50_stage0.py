"""Stage 0: the ResNet-50 learns 19 classes of pixels from 4,120 coarsely labelled images, 12 epochs.

    python tools/run_stages.py configs/cityscapes/stages.py --only stage0
    python tools/train.py configs/cityscapes/semantic_r50_stage0.py      # by itself, from ImageNet

Cross-entropy, Adam, reduced on plateau. Not measured yet (needs Cityscapes and a GPU).
"""

_base_ = [
    '../_base_/datasets/cityscapes_coarse.py',
    '../_base_/models/semantic_fpn_r50.py',
    '../_base_/schedules/adam_plateau.py',
    '../_base_/default_runtime.py',
]

custom_imports = dict(imports=['fallen_trees', 'fallen_trees.stages'])
default_hooks = dict(
    checkpoint=dict(interval=None, save_best='semantic/mIoU'),
    visualization=dict(type='SpacedPictureHook'),
)
visualizer = dict(type='MapVisualizer')

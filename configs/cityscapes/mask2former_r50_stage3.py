"""Stage 3: everything is let go, at a tenth of the learning rate, on training and validation images, 4 epochs.

    python tools/run_stages.py configs/cityscapes/stages.py --only mask2former_stage3

The validation has been learnt from here, so its figures say nothing: the last checkpoint counts, and the test (cities
held back) alone is honest. Not measured yet (needs Cityscapes and a GPU).
"""

_base_ = ['./mask2former_r50_stage1.py']

epochs = 4
train_dataloader = dict(dataset=dict(ann_file='annotations/trainval.json'))
model = dict(backbone=dict(frozen_stages=-1))
optim_wrapper = dict(optimizer=dict(lr=1e-5))

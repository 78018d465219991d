"""Stage 2: foreground IoU, the IoUs of the RPN, gradient into the FPN and anchors
as the search has found them; the backbone is still frozen, 6 epochs.

    python tools/run_stages.py configs/cityscapes/stages.py --only mask_rcnn_stage2

Searched by `configs/sweeps/cityscapes_mask_rcnn.py` on 372 images. Not measured yet (needs Cityscapes and a GPU).
"""

_base_ = ['./mask_rcnn_r50_stage1.py']

epochs = 6

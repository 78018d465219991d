"""Stage 2: queries, learning rate, weight of "no object" and gradient into the pixel decoder
as the search has found them; the backbone is still frozen, 6 epochs.

    python tools/run_stages.py configs/cityscapes/stages.py --only mask2former_stage2

Searched by `configs/sweeps/cityscapes_mask2former.py` on 372 images. Not measured yet (needs Cityscapes and a GPU).
"""

_base_ = ['./mask2former_r50_stage1.py']

epochs = 6

"""The flagship from nothing: what the start from COCO is worth, at the same length of run.

    python tools/train.py configs/m2f_r50_scratch_trees.py

Not measured yet. Batch norm of random weights must be trained, and two tiles are too few for it: group norm, as in He
et al. 2019 (arXiv:1811.08883), who also found that training from nothing takes several times as long.
"""

_base_ = ['./m2f_r50_trees.py']

model = dict(backbone=dict(norm_cfg=dict(_delete_=True, type='GN', num_groups=32, requires_grad=True), init_cfg=None))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))))

load_from = None

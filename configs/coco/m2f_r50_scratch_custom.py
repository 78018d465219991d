"""`m2f_r50_custom.py` from nothing, at 2.5e-4 for all weights alike: what the start from COCO is worth.

    python tools/train.py configs/coco/m2f_r50_scratch_custom.py --cfg-options data_root=DATA train_cfg.max_iters=3000

Not measured yet. Batch norm of random weights must be trained, and four photos are too few for it: group norm, as in He
et al. 2019 (arXiv:1811.08883).
"""

_base_ = ['./m2f_r50_custom.py']

model = dict(backbone=dict(norm_cfg=dict(_delete_=True, type='GN', num_groups=32, requires_grad=True), init_cfg=None))
optim_wrapper = dict(optimizer=dict(lr=2.5e-4), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))))

load_from = None

"""The flagship with a learning rate that falls all the way, as (1 - done)^0.9, instead of in two steps.

    python tools/train.py configs/m2f_r50_poly_trees.py

Not measured yet.
"""

_base_ = ['./m2f_r50_trees.py']

param_scheduler = [
    _base_.param_scheduler[0],
    dict(type='PolyLR', by_epoch=False, begin=None, end=None, power=0.9, eta_min=0.0),
]

"""SGD for as many updates of as many tiles as `adamw_12k.py`: MMDetection's recipe for Mask R-CNN.

0.02 is for 16 tiles, and the linear rule holds for SGD: 0.01 for 8. Steps down at 8 and 11 of 12 parts, no clipping.
"""

_base_ = ['./adamw_12k.py']

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    accumulative_counts=_base_.accumulative_counts,
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0001),
)
lr_milestones = (8 / 12, 11 / 12)

"""The flagship's run at a size that two CPU cores carry: a tiny Mask2Former from nothing, 128 px tiles, minutes.

bash tools/demo.sh
"""

_base_ = [
    './_base_/datasets/trees_demo.py',
    './_base_/models/mask2former_r18_tiny.py',
    './_base_/schedules/adamw_demo.py',
    './_base_/default_runtime.py',
]

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=575))

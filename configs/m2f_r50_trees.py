"""Fallen trees with a Mask2Former R50, started from COCO instances: the flagship.

    python -m data_prep tile SCENES --out data/trees --tile-size 512 --overlap 0.25
    python tools/train.py configs/m2f_r50_trees.py

Time, memory and score: not measured yet (needs a GPU); the CPU form of this run is `m2f_trees_demo.py`.
Start from ImageNet: `--cfg-options load_from=None`. From nothing: `load_from=None model.backbone.init_cfg=None`.
"""

_base_ = [
    './_base_/datasets/trees_instance.py',
    './_base_/models/mask2former_r50.py',
    './_base_/schedules/adamw_12k.py',
    './_base_/default_runtime.py',
]

load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/mask2former/mask2former_r50_8xb2-lsj-50e_coco/'
    'mask2former_r50_8xb2-lsj-50e_coco_20220506_191028-41b088b6.pth'
)

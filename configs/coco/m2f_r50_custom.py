"""Any photos in COCO's format, by transfer: a Mask2Former R50 that knows COCO learns their classes.

    python tools/train.py configs/coco/m2f_r50_custom.py --work-dir work_dirs/NAME --cfg-options data_root=DATA
    python tools/test.py configs/coco/m2f_r50_custom.py work_dirs/NAME/best_*.pth --work-dir work_dirs/NAME \
        --cfg-options data_root=DATA

Not measured yet (needs the COCO weights). docs/workflows.md has the layouts of DATA, and the same from Python.
"""

_base_ = [
    '../_base_/datasets/coco_custom.py',
    '../_base_/models/mask2former_r50.py',
    '../_base_/schedules/adamw_transfer.py',
    '../_base_/default_runtime.py',
]

default_hooks = dict(checkpoint=dict(interval=200))

load_from = (
    'https://download.openmmlab.com/mmdetection/v3.0/mask2former/mask2former_r50_8xb2-lsj-50e_coco/'
    'mask2former_r50_8xb2-lsj-50e_coco_20220506_191028-41b088b6.pth'
)

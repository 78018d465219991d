"""COCO at 480 px, 16 photos a step; `coco_custom.py` in every other respect, so that any COCO set will do.

    data/coco/annotations/instances_{train,val}2017.json    data/coco/{train,val}2017/

Packed (`python -m data_prep pack data/coco --out data/coco_packed`) it is read by the same pipelines:
`--cfg-options data_root=data/coco_packed`. `augment=False` trains with `plain_pipeline`.
"""

_base_ = ['./coco_custom.py']

data_root = 'data/coco/'
image_size = (480, 480)  # photos are fitted into it; a crop of it when they were enlarged
augment = True
plain_pipeline = [
    dict(type='LoadImageFromFile', to_float32=False),
    dict(type='LoadOutlineAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=None, keep_ratio=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), min_gt_mask_area=16, by_mask=True, keep_empty=False),
    dict(type='ContiguousPackDetInputs'),
]
train_dataloader = dict(batch_size=16, num_workers=4)  # of each process
# The threshold is that of precision, recall and F1; AP counts all detections, and is given for each class too.
test_evaluator = dict(score_threshold=0.5, classwise=True)

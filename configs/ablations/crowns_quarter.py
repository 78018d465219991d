"""A quarter of the real crowns, alone or after the drawn world; all of them beside it.

    python -m data_prep select data/crowns/annotations/instances_train.json --n TILES \
        --out data/crowns/annotations/instances_train_quarter.json
    python tools/ablate.py configs/ablations/crowns_quarter.py --jobs 2

TILES is a quarter of the training tiles. Weights as in `crowns_start.py`.
"""

_base_ = ['./crowns_start.py']

_quarter = {'train_dataloader.dataset.ann_file': 'annotations/instances_train_quarter.json'}
_drawn = 'work_dirs/drawn_start/best_coco_segm_mAP_iter_*.pth'

arms = dict(
    _delete_=True,
    quarter=_quarter,
    quarter_drawn={**_quarter, 'load_from': _drawn},
    all={},
    all_drawn={'load_from': _drawn},
)

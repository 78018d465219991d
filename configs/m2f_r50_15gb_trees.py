"""The flagship for a card of 15 GB without bfloat16 (T4, P100): 800 px, 50 queries, two tiles at a time, validated.

    python -m data_prep tile SCENES --out data/trees --tile-size 400 --overlap 0.25
    python tools/train.py configs/m2f_r50_15gb_trees.py

Not measured yet. The 50 surest of COCO's 100 queries are kept. float32; `--amp` means float16 on such a card.
"""

_base_ = ['./m2f_r50_trees.py']

image_size = (800, 800)
model = dict(panoptic_head=dict(num_queries=50))

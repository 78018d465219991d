"""Scenes of bars whose brightness is their score, a checkpoint that reads it, and the labels of some of them."""

import json

import numpy as np
import torch

CONFIG = """
custom_imports = dict(imports=['graded_detector'])
default_scope = 'mmdet'
data_root = '{data}'
model = dict(type='GradedDetector', data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32))
pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(type='CocoDataset', ann_file='train.json', pipeline=pipeline))
val_dataloader = dict(dataset=dict(type='CocoDataset', ann_file='val.json', pipeline=pipeline))
test_dataloader = dict(dataset=dict(type='CocoDataset', ann_file='test.json', pipeline=pipeline))
"""
TILES = dict(size_px=[64, 64], gsd_m=0.1, scale=1.0, bands=[1, 2, 3], overlap=0.25, stretch='auto')
SURE, FAINT, JUNK = 230, 120, 90  # scores 0.902, 0.471, 0.353


def bars(columns=3, rows=4):
    """Bars of 40 x 8 px, no two on one line, (x, y, brightness)."""
    lights = (SURE, FAINT, JUNK)
    return [(6 + 60 * x, 4 + 30 * y + 10 * x, lights[(x + y) % 3]) for x in range(columns) for y in range(rows)]


def pixels(found, size_wh=(192, 128)):
    image = np.full((3, size_wh[1], size_wh[0]), 40, np.uint8)
    for x, y, light in found:
        image[:, y : y + 8, x : x + 40] = light
    return image


def shapes(found):
    """LabelMe shapes of the bars that are trees."""
    corners = lambda x, y: [[x, y], [x + 40, y], [x + 40, y + 8], [x, y + 8]]  # noqa: E731
    return [('fallen_tree', corners(x, y)) for x, y, light in found if light != JUNK]


def checkpoint(folder, score_thr=0.6):
    """Write config and checkpoint; returns both."""
    from fallen_trees.resume.checkpoint_file import commit

    folder.mkdir(parents=True, exist_ok=True)
    config, path = folder / 'graded.py', folder / 'graded.pth'
    config.write_text(CONFIG.format(data=folder))
    content = {
        'meta': {'dataset_meta': {'classes': ('fallen_tree',), 'tiles': TILES}, 'iter': 7},
        'state_dict': {'weight': torch.ones(1)},
        'message_hub': {'runtime_info': {'score_threshold': score_thr}},
    }
    commit(path, lambda target: torch.save(content, target), dict(iter=7))
    return config, path


def split_file(path, scenes):
    """Write a COCO file whose tiles come from these scenes: name and checksum, or None, of each."""
    images = [
        dict(id=n, file_name=f'{n}.png', width=64, height=64, scene=name, **({'source_sha256': sum_} if sum_ else {}))
        for n, (name, sum_) in enumerate(scenes, start=1)
    ]
    categories = [dict(id=1, name='fallen_tree', supercategory='object')]
    path.write_text(json.dumps(dict(images=images, annotations=[], categories=categories)))

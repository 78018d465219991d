import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from data_prep.imagery.rasters import open_raster

HERE, ROOT = Path(__file__).resolve().parent, Path(__file__).resolve().parents[2]
sys.path += [str(HERE), str(HERE.parent / 'test_tools')]  # the detector, which configs import by name; warm_process

BRIGHT = """
custom_imports = dict(imports=['bright_detector'])
default_scope = 'mmdet'
model = dict(type='BrightDetector', num_classes=1, pause_s=0.0, needs_mb=0,
             data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32))
pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs'),
]
test_dataloader = dict(dataset=dict(type='CocoDataset', pipeline=pipeline))
"""
TILES = dict(size_px=[64, 64], gsd_m=0.1, scale=1.0, bands=[1, 2, 3], overlap=0.25, stretch='auto')
# Bars in pixels (x, y, width, height): whole in a window, across one seam, across many, at the scene's edge.
BARS = ((10, 10, 30, 8), (50, 30, 30, 8), (20, 100, 150, 10), (100, 20, 8, 60), (150, 140, 42, 8))


@pytest.fixture(scope='session')
def bright(tmp_path_factory):
    """Make a config and a checkpoint of the detector that finds bright spots."""
    import torch

    def make(tiles=TILES, classes=('fallen_tree',), hub=True, name='bright'):
        folder = tmp_path_factory.mktemp(name)
        (folder / 'bright.py').write_text(BRIGHT)
        meta = {'dataset_meta': {'classes': classes, **({'tiles': tiles} if tiles else {})}}
        content = {'meta': meta, 'state_dict': {'weight': torch.ones(1)}}
        if hub:
            content['message_hub'] = {'runtime_info': {'score_threshold': 0.5}}
        torch.save(content, folder / 'bright.pth')
        return folder / 'bright.py', folder / 'bright.pth'

    return make


@pytest.fixture(scope='session')
def detector(bright):
    """Config and checkpoint of the detector, made for tiles of 64 px at 0.1 m."""
    return bright()


@pytest.fixture(scope='session')
def barred(write_raster):
    """Write a dark scene, 192 x 160 px at 0.1 m, with bright bars; other options are those of write_raster."""

    def write(path, bars=BARS, size_wh=(192, 160), count=3, dtype='uint8', dark=40, light=230, **profile):
        pixels = np.full((count, size_wh[1], size_wh[0]), dark, dtype)
        for x, y, width, height in bars:
            pixels[:, y : y + height, x : x + width] = light
        return write_raster(path, size_wh, pixels=pixels, **profile)

    return write


@pytest.fixture(scope='session')
def predict():
    """Run the command in this process; returns its exit code."""
    tool = runpy.run_path(str(ROOT / 'tools/predict.py'))

    def run(*args):
        try:
            return tool['main']([str(arg) for arg in args])
        except SystemExit as stop:
            return stop.code

    return run


@pytest.fixture(scope='session')
def start(tmp_path_factory):
    """Start the command beside this process; returns what `own_process` says."""
    import own_process
    import warm_process

    server = warm_process.server()

    def begin(*args, **environment):
        return own_process.Started(server, args, tmp_path_factory.mktemp('run'), environment)

    return begin


@pytest.fixture
def damage():
    """Overwrite a compressed block of a GeoTIFF with noise."""

    def overwrite(path, column, row):
        with open_raster(path) as dataset:
            offset, size = (
                int(dataset.get_tag_item(f'BLOCK_{key}_{column}_{row}', 'TIFF', bidx=1)) for key in ('OFFSET', 'SIZE')
            )
        with open(path, 'r+b') as file:
            file.seek(offset)
            file.write(b'\xff' * size)

    return overwrite

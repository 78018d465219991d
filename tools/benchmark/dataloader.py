"""How many samples does a core load in a second? MMDetection's pipeline beside ours, on the same tiles.

    python tools/benchmark/dataloader.py            # 9 tiles, 12 rounds
    python tools/benchmark/dataloader.py --quick    # 4 tiles, 3 rounds: under a minute

Tiles of 1024 x 1024 px of made ground with 30 trunks each: 32 corners, 60-450 px long, 6-26 px wide, a little bent. A
scene is cut by `data_prep tile` into each kind of file. All arms flip, resize to 0.6-1.6 times, crop to 1024 x 1024,
filter and pack under the same random numbers. Only these steps differ, and all of ours but the first are as in `png`:

    stock    LoadImageFromFile(to_float32=True) on PNG, LoadAnnotations, RandomFlip, PackDetInputs
    png      LoadImageFromFile on the same PNG, LoadOutlineAnnotations, ContiguousRandomFlip, ContiguousPackDetInputs
    zstd     LoadImageFromTiff on GeoTIFF, zstd with predictor: without loss too
    jpeg     LoadImageFromFile on JPEG of quality 95
    windows  LoadImageFromScene: no tile files, read from the scene (deflate, blocks of 512 px)

The arms take turns in one process of one thread, which keeps freed memory. Counted is CPU time from the annotation to
the pickled sample that a worker sends. `main_ms` is what the process that trains has to do besides: unpickle,
normalise, pad, and make the boolean masks that the head asks for. IoU is that of each object's mask with its outline
drawn at eight times the size, a pixel being true where half of it is covered; `iou_thin` of those up to 8 px wide.

The last line is one line of JSON. `vs_stock`: img/s of `zstd` by those of `stock`, the files that each reads best
without loss; `vs_stock_same_files`: of `png`.
"""

import argparse
import contextlib
import json
import os
import pickle
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ['OMP_NUM_THREADS'] = '1'

import cv2
import numpy as np
import rasterio
import shapely
import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.utils import register_all_modules
from mmengine.dataset import BaseDataset
from pycocotools import mask as pycoco
from rasterio.transform import from_origin
from rasterio.windows import Window
from tiling_scene import GRIDS, STRIP, strip

import fallen_trees  # noqa: F401
from data_prep.__main__ import main as data_prep
from data_prep.atomic import atomic_path, atomic_write
from fallen_trees.cpu import keep_freed_memory

TILE, TRUNKS, FINE, THIN_PX = 1024, 30, 8, 8
STOCK = 'stock'
ARMS = {  # kind of files, step that loads the image
    STOCK: ('png', dict(type='LoadImageFromFile', to_float32=True)),
    'png': ('png', dict(type='LoadImageFromFile')),
    'zstd': ('zstd', dict(type='LoadImageFromTiff')),
    'jpeg': ('jpeg', dict(type='LoadImageFromFile')),
    'windows': ('none', dict(type='LoadImageFromScene')),
}
STEPS = [
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=(TILE, TILE), ratio_range=(0.6, 1.6), resize_type='Resize', keep_ratio=True),
    dict(type='RandomCrop', crop_size=(TILE, TILE), recompute_bbox=True, allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), min_gt_mask_area=16, by_mask=True, keep_empty=False),
    dict(type='PackDetInputs', meta_keys=('img_path', 'img_shape', 'homography_matrix')),
]
OURS = dict(
    LoadAnnotations='LoadOutlineAnnotations', RandomFlip='ContiguousRandomFlip', PackDetInputs='ContiguousPackDetInputs'
)


def main() -> None:
    """Measure all arms and print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='fewer tiles and rounds')
    args = parser.parse_args()
    keep_freed_memory()
    register_all_modules(init_default_scope=True)
    cv2.setNumThreads(0)  # as MMEngine sets it for workers
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(sys.stderr):
        folder = Path(name)
        make_tiles(folder, 2 if args.quick else 3)
        arms = {arm: dataset_of(folder, arm) for arm in ARMS}
        rows = measure(arms, 3 if args.quick else 12)
        for arm in (STOCK, 'png'):
            rows[arm] |= quality(arms[arm], 2 if args.quick else 8)
    for arm, row in rows.items():
        cells = '  '.join(f'{key} {value:.4g}' for key, value in row.items() if not isinstance(value, dict))
        print(f'{arm:8} {cells}\n         {"  ".join(f"{k} {v:.2f}" for k, v in row["stages_ms"].items())}')
    ratio = {arm: round(row['img_s'] / rows[STOCK]['img_s'], 2) for arm, row in rows.items()}
    print(json.dumps(dict(
        vs_stock=ratio['zstd'], vs_stock_same_files=ratio['png'], vs_stock_jpeg=ratio['jpeg'],
        vs_stock_windows=ratio['windows'], main_vs_stock=round(rows[STOCK]['main_ms'] / rows['zstd']['main_ms'], 2),
        iou=rows['png']['iou'], iou_stock=rows[STOCK]['iou'], iou_thin=rows['png']['iou_thin'],
        iou_thin_stock=rows[STOCK]['iou_thin'], arms=rows,
    )))  # fmt: skip


def make_tiles(folder: Path, tiles_a_side: int) -> None:
    """Draw a scene with its labels and cut it into tiles of every kind: `folder`/KIND."""
    rng, side = np.random.default_rng(0), tiles_a_side * TILE
    corners = [(x, y) for y in range(0, side, TILE) for x in range(0, side, TILE)]
    rings = [trunk(rng) + corner for corner in corners for _ in range(TRUNKS)]
    polygons = [shapely.Polygon(ring) for ring in rings]
    grids = [rng.normal(0, 1, (side // cell + 3, side // cell + 3)).astype(np.float32) for cell, _ in GRIDS]
    tree, scene = shapely.STRtree(polygons), folder / 'scene'
    scene.mkdir()
    profile = dict(driver='GTiff', width=side, height=side, count=3, dtype='uint8', tiled=True, blockxsize=512,
                   blockysize=512, compress='deflate', predictor=2, crs='EPSG:32633',
                   transform=from_origin(500_000, 5_500_000, 0.05, 0.05))  # fmt: skip
    with atomic_path(scene / 'scene.tif') as temporary, rasterio.open(temporary, 'w', **profile) as raster:
        for top in range(0, side, STRIP):
            rows = strip(rng, grids, polygons, tree, top, side)
            raster.write(rows, window=Window(0, top, side, rows.shape[1]))
    shapes = [dict(label='tree', shape_type='polygon', points=ring.round(2).tolist()) for ring in rings]
    with atomic_write(scene / 'scene.json') as file:
        json.dump(dict(version='5', shapes=shapes, imageWidth=side, imageHeight=side), file)
    for kind in ('png', 'zstd', 'jpeg', 'none'):
        options = ['--tile-size', str(TILE), '--overlap', '0', '--split', '1,0,0', '--pixels', kind]
        assert data_prep(['tile', str(scene), '--out', str(folder / kind), *options]) in (0, 1)


def trunk(rng: np.random.Generator) -> np.ndarray:
    """Outline (32, 2) of a tapering, slightly bent trunk inside a tile."""
    at = np.linspace(0, 1, 16)
    while True:
        length, width, angle = rng.uniform(60, 450), rng.uniform(6, 26), rng.uniform(0, 2 * np.pi)
        along, across = (at - 0.5) * length, np.sin(at * np.pi) * length * rng.uniform(-0.05, 0.05)
        half = width / 2 * (1 - 0.4 * at)
        sides = np.stack([along, across + half], 1), np.stack([along, across - half], 1)[::-1]
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        ring = np.concatenate(sides) @ turn.T + rng.uniform(0, TILE, 2)
        if ring.min() > 0 and ring.max() < TILE:
            return ring


def dataset_of(folder: Path, arm: str) -> BaseDataset:
    """MMDetection's data set with the pipeline of an arm."""
    kind, load_image = ARMS[arm]
    steps = [step if arm == STOCK else step | dict(type=OURS.get(step['type'], step['type'])) for step in STEPS]
    return DATASETS.build(dict(
        type='CocoDataset', data_root=f'{folder / kind}/', ann_file='annotations/instances_train.json',
        data_prefix=dict(img='images/train/'), metainfo=dict(classes=('tree',)),
        pipeline=[load_image, *steps],
    ))  # fmt: skip


def measure(arms: dict[str, BaseDataset], rounds: int) -> dict[str, dict]:
    """Medians over all samples of all rounds but the first, which warms up."""
    preprocess = MODELS.build(dict(type='DetDataPreprocessor', mean=[120.0] * 3, std=[60.0] * 3, bgr_to_rgb=True,
                                   pad_size_divisor=32, pad_mask=True))  # fmt: skip
    found = {arm: [] for arm in arms}
    for number in range(rounds + 1):
        for index in range(len(arms[STOCK])):
            for arm, dataset in arms.items():
                np.random.seed(number * 1000 + index)
                sample, stages = timed(dataset, index)
                began = time.process_time()
                sent = pickle.dumps(sample)
                stages['pickle'] = time.process_time() - began
                began = time.process_time()
                received = pickle.loads(sent)
                batch = preprocess(dict(inputs=[received['inputs']], data_samples=[received['data_samples']]), True)
                batch['data_samples'][0].gt_instances.masks.to_tensor(dtype=torch.bool, device='cpu')
                at_main = time.process_time() - began
                if number:
                    found[arm].append((stages, at_main, len(sent)))
    return {arm: summary(*zip(*measured, strict=True)) for arm, measured in found.items()}


def timed(dataset: BaseDataset, index: int) -> tuple[dict, dict[str, float]]:
    """A sample, and the seconds of each step that made it."""
    began = time.process_time()
    results, stages = dataset.get_data_info(index), {}
    stages['get_data_info'] = time.process_time() - began
    for step in dataset.pipeline.transforms:
        began = time.process_time()
        results = step(results)
        stages[type(step).__name__] = time.process_time() - began
    return results, stages


def summary(stages: tuple[dict, ...], at_main: tuple[float, ...], sizes: tuple[int, ...]) -> dict:
    """Figures of an arm. Times are means, as scales differ from sample to sample and each is one of the mix."""
    mean = {name: 1e3 * statistics.fmean(stage[name] for stage in stages) for name in stages[0]}
    total = sum(mean.values())
    return dict(
        img_s=round(1e3 / total, 2), ms=round(total, 2), mb_sent=round(statistics.fmean(sizes) / 1e6, 3),
        main_ms=round(1e3 * statistics.fmean(at_main), 2), stages_ms={k: round(v, 3) for k, v in mean.items()},
    )  # fmt: skip


def quality(dataset: BaseDataset, rounds: int) -> dict[str, float]:
    """Mean IoU of masks with the truth, and how many there were."""
    ious, widths = [], []
    for number in range(rounds):
        for index in range(len(dataset)):
            np.random.seed(number * 1000 + index)
            results = dataset.get_data_info(index)
            outlines = [np.reshape(instance['mask'][0], (-1, 2)) for instance in results['instances']]
            for label, instance in enumerate(results['instances']):
                instance['bbox_label'] = label  # says which object a mask is of
            sample = dataset.pipeline(results)['data_samples']
            for mask, label in zip(sample.gt_instances.masks.masks, sample.gt_instances.labels.tolist(), strict=True):
                iou, width = against_truth(mask, outlines[label], sample.homography_matrix)
                ious.append(iou)
                widths.append(width)
    ious, thin = np.array(ious), np.array(widths) <= THIN_PX
    means = dict(iou=round(ious.mean(), 4), iou_thin=round(ious[thin].mean(), 4))
    return means | dict(masks=len(ious), masks_thin=int(thin.sum()))


def against_truth(mask: np.ndarray, outline: np.ndarray, homography: np.ndarray) -> tuple[float, float]:
    """IoU of a mask with its outline, and the outline's mean width in px of the mask."""
    moved = outline @ homography[:2, :2].T + homography[:2, 2]
    x0, y0 = np.floor(moved.min(axis=0)).astype(int).clip(0)
    x1, y1 = np.minimum(np.ceil(moved.max(axis=0)).astype(int), mask.shape[::-1])
    fine = pycoco.frPyObjects([((moved - (x0, y0)) * FINE).ravel()], FINE * (y1 - y0), FINE * (x1 - x0))
    fine = pycoco.decode(fine[0]).reshape(y1 - y0, FINE, x1 - x0, FINE)
    truth = np.zeros_like(mask, bool)
    truth[y0:y1, x0:x1] = fine.mean(axis=(1, 3)) >= 0.5
    length = np.linalg.norm(moved.max(axis=0) - moved.min(axis=0))  # of its box: trunks are straight but for a little
    return float((truth & (mask > 0)).sum() / (truth | (mask > 0)).sum()), shapely.Polygon(moved).area / length


if __name__ == '__main__':
    main()

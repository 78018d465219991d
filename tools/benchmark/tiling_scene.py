"""Draws the scene of the tiling benchmark: python tiling_scene.py FOLDER SIDE. Above BASE px it repeats itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import rasterio
import shapely
from rasterio.enums import Resampling
from rasterio.features import rasterize
from rasterio.io import MemoryFile
from rasterio.transform import from_origin
from rasterio.windows import Window

from data_prep.atomic import atomic_path, atomic_write

GRIDS = ((8, 60), (64, 30), (512, 20), (2500, 12))  # side of a cell in px, amplitude
MEAN_RGB, NOISE, STRIP = (95, 105, 80), 5, 1000
TRUNKS_PER_MPIX = 5
BASE = 10_000  # px


def main(folder: Path, side: int) -> None:
    """Write ``scene.tif``, ``scene.json`` (LabelMe) and ``coco.json``."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    base, times = min(side, BASE), max(side // BASE, 1)
    trunks = [trunk(rng, base) for _ in range(TRUNKS_PER_MPIX * base * base // 10**6)]
    grids = [rng.normal(0, 1, (base // cell + 3, base // cell + 3)).astype(np.float32) for cell, _ in GRIDS]
    tree = shapely.STRtree(trunks)
    strips = [strip(rng, grids, trunks, tree, top, base) for top in range(0, base, STRIP)]
    profile = dict(driver='GTiff', width=side, height=side, count=3, dtype='uint8', crs='EPSG:32633', tiled=True,
                   blockxsize=512, blockysize=512, compress='deflate', predictor=2, photometric='rgb',
                   bigtiff='if_safer', transform=from_origin(500_000, 5_500_000, 0.05, 0.05))  # fmt: skip
    with (
        rasterio.Env(GDAL_CACHEMAX=64),
        atomic_path(folder / 'scene.tif') as temporary,
        rasterio.open(temporary, 'w', **profile) as raster,
    ):
        for top, rows in zip(range(0, side, STRIP), strips * times, strict=True):
            raster.write(np.tile(rows, (1, 1, times)), window=Window(0, top, side, rows.shape[1]))
    offsets = [(x * base, y * base) for y in range(times) for x in range(times)]
    labels(folder, [shapely.transform(t, lambda xy, by=by: xy + by) for by in offsets for t in trunks], side)


def trunk(rng: np.random.Generator, side: int) -> shapely.Polygon:
    """A bent, tapering trunk of 100-500 px by 6-24 px, inside the scene."""
    length, width, angle = rng.uniform(100, 500), rng.uniform(6, 24), rng.uniform(0, 2 * np.pi)
    at, x, y = np.linspace(0, 1, 9), *rng.uniform(260, side - 260, 2)
    along, across = (at - 0.5) * length, np.sin(at * np.pi) * length * rng.uniform(-0.05, 0.05)
    half = width / 2 * (1 - 0.4 * at)
    outline = np.concatenate([np.stack([along, across + half]), np.stack([along, across - half])[:, ::-1]], axis=1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return shapely.Polygon((turn @ outline).T + (x, y))


def strip(rng, grids, trunks, tree, top: int, side: int) -> np.ndarray:
    """Rows of the scene, (3, h, side) uint8."""
    height = min(STRIP, side - top)
    layers = zip(grids, GRIDS, strict=True)
    ground = sum(amplitude * enlarged(grid, cell, top, height, side) for grid, (cell, amplitude) in layers)
    near = tree.query(shapely.box(0, top, side, top + height))
    if len(near):
        shift = rasterio.Affine.translation(0, top)
        drawn = rasterize([trunks[n] for n in near], out_shape=(height, side), transform=shift, dtype='uint8')
        ground[drawn > 0] += 50
    noise = rng.standard_normal((1, height, side), np.float32)
    return (NOISE * noise + ground + np.float32(MEAN_RGB)[:, None, None]).clip(0, 255).astype(np.uint8)


def enlarged(grid: np.ndarray, cell: int, top: int, height: int, side: int) -> np.ndarray:
    """Rows of a grid enlarged bicubically, (height, side) float32."""
    rows, columns = grid.shape
    placed = dict(transform=from_origin(0, rows, 1, 1))  # or rasterio warns
    with MemoryFile() as memory:
        with memory.open(driver='GTiff', width=columns, height=rows, count=1, dtype='float32', **placed) as dataset:
            dataset.write(grid, 1)
        with memory.open() as dataset:
            window = Window(0, top / cell, side / cell, height / cell)
            return dataset.read(1, window=window, out_shape=(height, side), resampling=Resampling.cubic)


def labels(folder: Path, trunks: list[shapely.Polygon], side: int) -> None:
    """The same trunks as LabelMe and as COCO."""
    rings = [np.asarray(polygon.exterior.coords)[:-1].round(2) for polygon in trunks]
    shapes = [dict(label='tree', shape_type='polygon', points=ring.tolist()) for ring in rings]
    _write(folder / 'scene.json', dict(version='5', shapes=shapes, imageWidth=side, imageHeight=side))
    parts = [
        dict(id=n, image_id=1, category_id=1, iscrowd=0, area=polygon.area, segmentation=[ring.ravel().tolist()],
             bbox=[*ring.min(axis=0).tolist(), *np.ptp(ring, axis=0).tolist()])
        for n, (ring, polygon) in enumerate(zip(rings, trunks, strict=True), 1)
    ]  # fmt: skip
    image = dict(id=1, file_name='scene.tif', width=side, height=side)
    category = dict(id=1, name='tree', supercategory='tree')
    _write(folder / 'coco.json', dict(images=[image], annotations=parts, categories=[category]))


def _write(path: Path, content: dict) -> None:
    with atomic_write(path) as file:
        json.dump(content, file)


if __name__ == '__main__':
    main(Path(sys.argv[1]), int(sys.argv[2]))

"""CPU seconds to load each tile once, as a data loader does: python tiling_epoch.py KIND FOLDER_OF_TILES OUT.json.

KIND is `none` for tiles that are windows of their scene, `zstd` for GeoTIFF tiles, else any format that OpenCV reads.
Masks, augmentation and imports are the same for all kinds and are left out.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import rasterio
from mmcv.transforms import LoadImageFromFile

from data_prep.atomic import atomic_write
from fallen_trees.loading.load_window import LoadImageFromScene

SUFFIXES = ('.png', '.jpg', '.tif')


def main(kind: str, folder: Path, out: Path) -> None:
    """Load every tile under ``folder`` once."""
    if kind == 'none':
        entries = json.loads((folder / 'annotations/instances_train.json').read_text())['images']
        paths = [folder / 'images/train' / entry['file_name'] for entry in entries]
    else:
        paths = sorted(path for path in folder.rglob('*') if path.suffix in SUFFIXES)
    load = read_tiff if kind == 'zstd' else (LoadImageFromScene if kind == 'none' else LoadImageFromFile)()
    began = time.process_time()
    for path in paths:
        load(dict(img_path=str(path)))
    seconds = time.process_time() - began
    with atomic_write(out) as file:
        json.dump(dict(tiles=len(paths), epoch_cpu_s=seconds), file)


def read_tiff(results: dict) -> None:
    """A GeoTIFF tile, all bands."""
    with rasterio.open(results['img_path']) as tile:
        tile.read()


if __name__ == '__main__':
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))

"""Pixels of an image entry, as 8-bit colours at the size they are looked at."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from data_prep.coco import Record
from data_prep.errors import DataError
from data_prep.imagery.pixels import read_tile
from data_prep.imagery.rasters import RasterInfo, open_raster, raster_info, read_window, three_bands
from data_prep.imagery.stretch import apply_stretch
from data_prep.show.coco_input import CocoSplit
from data_prep.show.segmentation import nearest

MAX_ZOOM = 4
WINDOW_KEYS = ('window_xywh', 'read_xywh', 'bands', 'stretch_lo_hi', 'scale')  # arguments of read_tile, in order
OVERSAMPLE = 4  # a large image is read thinned to this multiple of the size wanted, then averaged


def view_size(entry: Record, max_side: int) -> tuple[int, int]:
    """Width and height to draw an image at: shrunk to ``max_side``, or magnified by 2, 3 or 4 while it stays below."""
    width, height = entry['width'], entry['height']
    longest = max(width, height)
    factor = min(max_side // longest, MAX_ZOOM) if longest <= max_side else max_side / longest
    return max(round(width * factor), 1), max(round(height * factor), 1)


def load_image(split: CocoSplit, entry: Record, folder: Path | None, out_wh: tuple[int, int]) -> np.ndarray:
    """Read an image, from its file or, where the data set keeps none, from the scene it is a window of.

    Args:
        split: The COCO file it stands in.
        entry: The image entry.
        folder: Where images lie; None looks in the places data sets use.
        out_wh: Width and height wanted.

    Returns:
        (H, W, 3) uint8 at ``out_wh``.

    Raises:
        DataError: If there is no such image, it cannot be read, or its size is not the entry's.
    """
    path = find_image(split, entry, folder)
    if path is not None:
        info = raster_info(path)
        if (info.width, info.height) != (entry['width'], entry['height']):
            raise DataError(f'{path} has {info.width} x {info.height} px; {split.path} says {entry["width"]} x '
                            f'{entry["height"]} px; see check')  # fmt: skip
        return resize(_read_file(info, max(out_wh) * OVERSAMPLE), out_wh)
    with open_raster(split.root / entry['source']) as dataset:
        tile, _ = read_tile(dataset, *(entry[key] for key in WINDOW_KEYS))
    return resize(colours(tile), out_wh)


def find_image(split: CocoSplit, entry: Record, folder: Path | None) -> Path | None:
    """Path of an image's file; None where there is none but the entry tells how to read it from its scene.

    Raises:
        DataError: If ``file_name`` leads out of the folder, or neither file nor scene is there.
    """
    name = PurePosixPath(entry['file_name'].replace('\\', '/'))
    if name.is_absolute() or '..' in name.parts:
        raise DataError(f'{split.path}: file_name {entry["file_name"]!r} must stay inside the folder of images')
    folders = [folder] if folder is not None else split.image_folders
    for candidate in folders:
        if (candidate / name).is_file():
            return candidate / name
    if folder is None and all(key in entry for key in ('source', *WINDOW_KEYS)):
        return None
    raise DataError(f'{split.path}: {entry["file_name"]} is not in {" or ".join(map(str, folders[:2]))}; pass --images')


def _read_file(info: RasterInfo, max_side: int) -> np.ndarray:
    bands = three_bands(info, (1,) if info.count == 2 else None)
    with open_raster(info.path) as dataset:
        return colours(read_window(dataset, info.window, bands, max_side=max_side)[0])


def colours(pixels: np.ndarray) -> np.ndarray:
    """Turn (B, H, W) of any type into (H, W, 3) uint8: three bands or the first; percentiles 2 and 98 unless uint8."""
    pixels = pixels[[0, 1, 2] if len(pixels) > 2 else [0, 0, 0]]
    if pixels.dtype != np.uint8:
        finite = np.nan_to_num(pixels.astype(np.float64), posinf=0, neginf=0)
        lo, hi = np.percentile(finite, (2, 98), axis=(1, 2))
        pixels = apply_stretch(pixels, np.stack((lo, np.maximum(hi, lo + 1e-9)), axis=1).tolist())
    return pixels.transpose(1, 2, 0)


def resize(image: np.ndarray, out_wh: tuple[int, int]) -> np.ndarray:
    """Shrink (H, W, 3) uint8 by averaging the pixels that fall together; magnify by repeating them."""
    height, width = image.shape[:2]
    if (width, height) == tuple(out_wh):
        return image
    if out_wh[0] > width or out_wh[1] > height:
        return image[np.ix_(nearest(height, out_wh[1]), nearest(width, out_wh[0]))]
    rows, columns = (np.arange(n) * have // n for n, have in zip(out_wh[::-1], (height, width), strict=True))
    sums = np.add.reduceat(np.add.reduceat(image.astype(np.uint32), rows, axis=0), columns, axis=1)
    counts = np.diff(rows, append=height)[:, None, None] * np.diff(columns, append=width)[:, None]
    return np.rint(sums / counts).astype(np.uint8)

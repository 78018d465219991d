"""The files of one tile: its pixels, and if asked for its instance mask and a preview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools import mask as rle

from data_prep.atomic import atomic_write
from data_prep.coco import Record
from data_prep.errors import DataError
from data_prep.imagery.encode import encode_jpeg, encode_png, encode_zstd
from data_prep.imagery.rasters import RasterInfo, three_bands
from data_prep.imagery.stretch import needs_stretch

SUFFIXES = {'png': '.png', 'jpeg': '.jpg', 'zstd': '.tif', 'none': '.window'}  # of file_name, by --pixels
PREVIEW_SIDE, PREVIEW_QUALITY = 256, 85  # pixels at most; of JPEG
COLOURS = np.array([[255, 220, 0], [0, 200, 255], [255, 80, 80], [120, 255, 120], [255, 120, 255]], np.uint8)


@dataclass(frozen=True)
class FileRule:
    """What is written for a tile."""

    pixels: str = 'png'  # or 'jpeg', 'zstd', 'none'
    quality: int = 95  # of JPEG
    segmentation: str = 'polygon'  # or 'rle'
    masks: bool = False
    previews: bool = False

    @property
    def suffix(self) -> str:
        """End of ``file_name``."""
        return SUFFIXES[self.pixels]

    @property
    def shows_pixels(self) -> bool:
        """Whether any file is made from a tile's pixels."""
        return self.pixels != 'none' or self.previews

    def folders(self) -> list[str]:
        """Folders that hold one for each split."""
        asked = {'images': self.pixels != 'none', 'masks': self.masks, 'previews': self.previews}
        return [name for name, wanted in asked.items() if wanted]


def tile_bands(info: RasterInfo, bands: Sequence[int], rule: FileRule) -> tuple[int, ...]:
    """Bands of a tile, counted from 1.

    Three, or one that fills all three. For zstd any number, all of them by default; where no images are written any
    number that is asked for, a single one still filling three.

    Raises:
        DataError: If the raster has no such band, or the file cannot hold so many.
    """
    if rule.pixels != 'zstd' and (rule.pixels != 'none' or len(bands) in (0, 1, 3)):
        return three_bands(info, bands)
    chosen = tuple(bands) or tuple(range(1, info.count + 1))
    if not all(1 <= band <= info.count for band in chosen):
        raise DataError(f'{info.path} has bands 1..{info.count}; got --bands {",".join(map(str, chosen))}')
    return chosen


def is_native(rule: FileRule, stretch: str) -> bool:
    """Whether tiles keep the numbers of the scene, whatever their type: zstd, unless a stretch is asked for."""
    return rule.pixels == 'zstd' and stretch in ('auto', 'none')


def check_files(info: RasterInfo, bands: Sequence[int], rule: FileRule, stretch: str) -> None:
    """Refuse what cannot be written.

    Raises:
        DataError: If the raster lacks a band, its numbers do not fit the file, or previews are asked for of tiles that
            are no picture.
    """
    tile_bands(info, bands, rule)
    if not is_native(rule, stretch):
        needs_stretch(info, stretch)
    if not rule.previews:
        return
    if (count := len(tile_bands(info, bands, rule))) != 3:
        raise DataError(f'--previews needs tiles of three bands; {info.path} gives {count}; pass --bands 1,2,3')
    if is_native(rule, stretch) and info.dtype != 'uint8':
        raise DataError(f'--previews needs tiles of 8 bits; {info.path} holds {info.dtype}; pass --stretch p2-p98')


def write_tile(
    root: Path, split: str, entry: Record, annotations: Sequence[Record], tile: np.ndarray | None, rule: FileRule
) -> dict[str, int]:
    """Write the files of one tile; they are not synced yet.

    Args:
        root: Folder of the data set.
        split: 'train', 'val' or 'test'.
        entry: Image entry.
        annotations: Of the tile.
        tile: (B, H, W); may be None where neither pixels nor previews are asked for.
        rule: What to write.

    Returns:
        Size in bytes by path from ``root``.
    """
    name, contents = entry['file_name'], {}
    stem = name.removesuffix(rule.suffix)
    if rule.pixels != 'none':
        contents[f'images/{split}/{name}'] = encode_pixels(tile, entry, rule)
    if rule.masks:
        mask = instance_mask(annotations, (entry['width'], entry['height']))
        contents[f'masks/{split}/{stem}.png'] = encode_png(mask[None])
    if rule.previews:
        contents[f'previews/{split}/{stem}.jpg'] = encode_jpeg(preview(tile, annotations), PREVIEW_QUALITY)
    for path, content in contents.items():
        with atomic_write(root / path, 'wb', sync=False) as file:
            file.write(content)
    return {path: len(content) for path, content in contents.items()}


def encode_pixels(tile: np.ndarray, entry: Record, rule: FileRule) -> bytes:
    """Encode a tile as the rule says."""
    if rule.pixels == 'png':
        return encode_png(tile)
    if rule.pixels == 'jpeg':
        return encode_jpeg(tile, rule.quality)
    return encode_zstd(tile, entry['crs'], entry['transform'])


def instance_mask(annotations: Sequence[Record], size_wh: tuple[int, int]) -> np.ndarray:
    """Ids of the objects of a tile, (H, W) uint16: 0 is background, n the tile's n-th annotation; later ones cover."""
    width, height = size_wh
    mask = np.zeros((height, width), np.uint16)
    for number, part in enumerate(annotations, 1):
        outline = part['segmentation']
        encoded = rle.merge(rle.frPyObjects(outline, height, width)) if isinstance(outline, list) else outline
        mask[rle.decode(encoded) > 0] = number
    return mask


def preview(tile: np.ndarray, annotations: Sequence[Record]) -> np.ndarray:
    """Thin a tile out to ``PREVIEW_SIDE`` and draw its boxes, one colour for each category; (3, h, w) uint8."""
    step = -(-max(tile.shape[1:]) // PREVIEW_SIDE)
    small = tile[:, ::step, ::step].copy()
    _, height, width = small.shape
    for part in annotations:
        x, y, w, h = part['bbox']
        x0, y0 = int(x / step), int(y / step)
        x1, y1 = min(int((x + w) / step), width - 1), min(int((y + h) / step), height - 1)
        colour = COLOURS[(part['category_id'] - 1) % len(COLOURS), :, None]
        small[:, [y0, y1], x0 : x1 + 1] = colour[:, :, None]
        small[:, y0 : y1 + 1, [x0, x1]] = colour[:, :, None]
    return small

"""Trees drawn over a photo: each in a colour of its own, with its class and score beside it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from data_prep.atomic import atomic_write
from data_prep.errors import DataError
from data_prep.imagery.encode import encode_jpeg, encode_png
from data_prep.imagery.pixels import read_tile
from data_prep.imagery.rasters import open_raster, raster_info, three_bands
from data_prep.imagery.stretch import needs_stretch, stretch_limits
from data_prep.show.captions import FONT_PX, LUMINANCE, caption_places
from data_prep.show.panels import instance_colours, mask_panel
from tree_map.scene_map import SceneMap
from tree_map.writing.coco import write_coco
from tree_map.writing.labelme import write_labelme
from tree_map.writing.rings import in_pixels

QUALITY = 92  # of JPEG
JPEG_SIDE = 65_500  # pixels, the most that JPEG can hold
LETTERS = 40  # of a class name, in a picture
PART_OF_SIDE = 90  # letters are this part of the photo's longer side: readable where the photo fills a screen
PICTURES = ('.png', '.jpg', '.jpeg')


def write_photos(maps: Sequence[SceneMap], sources: Sequence[Path], folder: Path, labels: str = 'coco') -> list[Path]:
    """Write for each photo ``NAME_trees.jpg``, and what was found as labels: ``instances.json`` or ``NAME.json`` each.

    Args:
        maps: One for each photo.
        sources: The photos; no two of one name.
        folder: Of the output; it exists, and holds no photo.
        labels: ``coco`` for one file, ``labelme`` for one a photo.

    Returns:
        Files written.

    Raises:
        DataError: If the photos lie in the folder of the output, or one can no longer be read.
        OSError: If the disk is full or the folder not writable.
    """
    check_folder(sources, folder)
    written = [folder / f'{Path(source).stem}_trees.jpg' for source in sources]
    for scene_map, source, path in zip(maps, sources, written, strict=True):
        write_picture(read_photo(Path(source)), scene_map, path)
    if labels == 'labelme':
        for scene_map, source in zip(maps, sources, strict=True):
            written.append(folder / f'{Path(source).stem}.json')
            write_labelme(scene_map, written[-1], source)
    else:
        written.append(folder / 'instances.json')
        write_coco(maps, written[-1])
    return written


def check_folder(sources: Sequence[Path], folder: Path) -> None:
    """Keep labels that people drew beside their photos from being replaced.

    Raises:
        DataError: If a photo lies in the folder.
    """
    inside = [source for source in sources if Path(source).resolve().parent == Path(folder).resolve()]
    if inside:
        raise DataError(f'--out {folder} must be another folder than that of the photos ({inside[0]}), where labels '
                        f'drawn by hand would be replaced')  # fmt: skip


def read_photo(path: Path) -> np.ndarray:
    """Read a photo as people see it, (H, W, 3) uint8: its first three bands, stretched where they are not 8 bits.

    Raises:
        DataError: If it cannot be read.
    """
    info = raster_info(path)
    bands = three_bands(info, (1,) if info.count == 2 else None)
    with open_raster(path) as dataset:
        limits = stretch_limits(dataset, bands) if needs_stretch(info, 'auto') else None
        pixels, _ = read_tile(dataset, info.window, info.window, bands, limits)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def write_picture(image: np.ndarray, scene_map: SceneMap, path: Path) -> None:
    """Draw the trees over a photo and write it as PNG or JPEG, as the name's end says.

    Args:
        image: (H, W, 3) uint8, red, green, blue.
        scene_map: Its trees.
        path: Target; replaced when all is written.

    Raises:
        DataError: If the name says another format, or the photo is too large for JPEG.
        OSError: If the disk is full or the folder not writable.
    """
    path, suffix = Path(path), Path(path).suffix.lower()
    if suffix not in PICTURES:
        raise DataError(f'a picture must end in {", ".join(PICTURES)}; got {path}')
    if suffix != '.png' and max(image.shape[:2]) > JPEG_SIDE:
        raise DataError(f'{path}: JPEG holds at most {JPEG_SIDE} px a side; got {image.shape[1]} x {image.shape[0]}; '
                        f'take .png')  # fmt: skip
    bands = np.ascontiguousarray(draw_trees(image, scene_map).transpose(2, 0, 1))
    content = encode_png(bands) if suffix == '.png' else encode_jpeg(bands, QUALITY)
    with atomic_write(path, 'wb') as file:
        file.write(content)


def draw_trees(image: np.ndarray, scene_map: SceneMap) -> np.ndarray:
    """Lay the trees over a photo: half transparent with a full outline, class and score beside each.

    Args:
        image: (H, W, 3) uint8.
        scene_map: Its trees; without a CRS, or on the photo's own.

    Returns:
        (H, W, 3) uint8, a new array; pixels away from trees and texts are as they were. The surest tree is on top.
    """
    order = np.argsort(scene_map.trees['score'].fillna(0).to_numpy(), kind='stable')
    polygons, trees = in_pixels(scene_map)[order], scene_map.trees.iloc[order]
    boxes = shapely.bounds(polygons).reshape(-1, 4)
    colours = instance_colours(boxes, np.zeros(len(boxes), bool))
    panel = image.copy()
    for polygon, box, colour in zip(polygons, boxes, colours, strict=True):
        _fill(panel, polygon, box, colour)
    texts = [caption(name, score) for name, score in zip(trees['class'], trees['score'], strict=True)]
    return _write_texts(panel, boxes, texts, colours)


def caption(name: str | None, score: float) -> str:
    """Class and score in one short line; letters that break lines become blanks."""
    line = ''.join(letter if letter.isprintable() else ' ' for letter in name or '')
    line = line if len(line) <= LETTERS else f'{line[: LETTERS - 1]}…'
    return f'{line} {score:.2f}'.strip() if score == score else line


def _fill(panel: np.ndarray, polygon: shapely.Geometry, box: np.ndarray, colour: np.ndarray) -> None:
    """Draw one tree into the photo, looking at its own pixels and one around them only."""
    height, width = panel.shape[:2]
    left, top = (int(max(np.floor(low) - 1, 0)) for low in box[:2])
    right, bottom = (int(min(np.ceil(high) + 1, side)) for high, side in zip(box[2:], (width, height), strict=True))
    if right <= left or bottom <= top:
        return
    shape, place = (bottom - top, right - left), Affine.translation(left, top)
    mask = rasterio.features.rasterize([polygon], shape, transform=place, dtype='uint8').astype(bool)
    crop = panel[top:bottom, left:right]
    crop[:] = mask_panel(crop, [mask], colour[None], np.zeros(1, bool))


def _write_texts(panel: np.ndarray, boxes: np.ndarray, texts: Sequence[str], colours: np.ndarray) -> np.ndarray:
    height, width = panel.shape[:2]
    size = max(FONT_PX, round(max(height, width) / PART_OF_SIDE))
    shrink = FONT_PX / size  # places are found for letters of FONT_PX
    places = caption_places(boxes * shrink, texts, (width * shrink, height * shrink))
    picture, font = Image.fromarray(panel), _font(size)
    pen, tall = ImageDraw.Draw(picture), sum(font.getmetrics())
    for (x, y), text, colour in zip(places, texts, colours, strict=True):
        wide = pen.textlength(text, font=font) + 4
        left, top = (max(min(at / shrink, side - long), 0) for at, side, long in
                     zip((x, y), (width, height), (wide, tall), strict=True))  # fmt: skip
        pen.rectangle((left, top, left + wide, top + tall), fill=tuple(map(int, colour)))
        pen.text((left + 2, top), text, font=font, fill='black' if colour @ LUMINANCE > 110 else 'white')
    return np.asarray(picture)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Matplotlib's own, which has the letters of Europe and more."""
    return ImageFont.truetype(font_manager.findfont('DejaVu Sans'), size)

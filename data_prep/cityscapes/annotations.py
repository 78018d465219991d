"""What the maps of one image say, as COCO's annotations: exact pixels, as run lengths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from data_prep.cityscapes.classes import OBJECT, VOID, categories
from data_prep.cityscapes.folders import Frame
from data_prep.coco import Record
from data_prep.errors import DataError
from data_prep.imagery.rasters import open_raster

LINK = 'images'  # in the data set's folder: Cityscapes itself
THINGS = {entry['map_ids'][0]: entry['id'] for entry in categories(things=True)}
ALL = {entry['map_ids'][0]: entry['id'] for entry in categories(things=False) if entry['name'] != VOID}


@dataclass(frozen=True)
class Task:
    """A frame to look at, and whether its objects are wanted; without them the classes of its pixels."""

    frame: Frame
    objects: bool


def look(task: Task) -> tuple[Record, list[Record]]:
    """Read the map of a frame.

    Returns:
        Its image entry, and its annotations without ids.

    Raises:
        DataError: If a file is damaged, or image and map differ in size.
    """
    frame = task.frame
    pixels = _read(frame.root / frame.label('instanceIds' if task.objects else 'labelIds'))
    height, width = pixels.shape
    with open_raster(frame.root / frame.image) as image:
        if (image.width, image.height) != (width, height):
            raise DataError(
                f'{frame.root / frame.image} must be as large as its labels, {width} x {height} px; it is '
                f'{image.width} x {image.height}; unpack both packages again'
            )
    entry = {'file_name': frame.image, 'width': width, 'height': height, 'scene': frame.city}
    if task.objects:
        return entry, objects_in(pixels, frame.name)
    return {**entry, 'seg_file': f'{LINK}/{frame.label("labelIds")}'}, regions_in(pixels)


def _read(path: Path) -> NDArray[np.uint16]:
    with open_raster(path) as dataset:
        if dataset.count != 1:
            raise DataError(f'{path} must be a map of one band; it has {dataset.count}; unpack it again')
        return dataset.read(1).astype(np.uint16)


def objects_in(pixels: NDArray[np.uint16], name: str) -> list[Record]:
    """List the objects of an instance map, those that were not told apart as one crowd of each class.

    Args:
        pixels: (H, W), see `classes`.
        name: Of the image, for `object_id`.

    Returns:
        By rising value in the map; `area` in pixels, `bbox` (x, y, width, height) around them.
    """
    found = []
    for value in np.unique(pixels).tolist():
        number, single = (value // OBJECT, True) if value >= OBJECT else (value, False)
        if number not in THINGS:
            continue
        mask = pixels == value
        box, area = _box(mask)
        found.append(
            {
                'category_id': THINGS[number],
                'bbox': box,
                'area': area,
                'iscrowd': int(not single),
                'segmentation': _run_lengths(mask),
                'object_id': f'{name}/{value}',
            }
        )
    return found


def regions_in(pixels: NDArray[np.uint16]) -> list[Record]:
    """List the classes of a label map: the box around and the number of their pixels, which stay in the map."""
    found = []
    for value in np.unique(pixels).tolist():
        if value in ALL:
            box, area = _box(pixels == value)
            found.append({'category_id': ALL[value], 'bbox': box, 'area': area, 'iscrowd': 0})
    return found


def _box(mask: NDArray[np.bool_]) -> tuple[list[int], int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1], int(np.count_nonzero(mask))


def _run_lengths(mask: NDArray[np.bool_]) -> Record:
    encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {'size': list(mask.shape), 'counts': encoded['counts'].decode('ascii')}

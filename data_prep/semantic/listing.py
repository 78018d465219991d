"""A COCO file of a split: each image, its label map, and one annotation for each class that it shows.

    images       id file_name width height seg_file        paths from the data set's folder
    annotations  id image_id category_id bbox area iscrowd  around and of all pixels of the class; no segmentation
    categories   id name supercategory map_ids color       map_ids: the values of the class in the maps

The pixels stay in the maps, so that 8000 images are some megabytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.errors import DataError
from data_prep.imagery.rasters import open_raster
from data_prep.labels.strict_json import write_json
from data_prep.pool import run_all, workers
from data_prep.semantic.classes import VOID, categories
from data_prep.semantic.drawing import draw_map
from data_prep.semantic.layout import Frame, Layout, find_frames

FOLDER = 'annotations'


@dataclass(frozen=True)
class Listed:
    """What was listed of a split.

    Attributes:
        file: COCO file.
        images: Number of images.
        drawn: Label maps made from polygons.
        shown: Number of images by class, for all classes.
        unknown: Labels of polygons that IDD does not have.
    """

    file: Path
    images: int
    drawn: int
    shown: dict[str, int]
    unknown: list[str]


@dataclass(frozen=True)
class Task:
    """One image to look at, and the class of each value of its map, 0 for none."""

    root: Path
    frame: Frame
    classes: tuple[int, ...]


def list_split(
    root: Path, split: str, layout: Layout, level: int, *, jobs: int = 1, progress: Callable[[], object] = lambda: None
) -> Listed | None:
    """Draw the label maps that are missing, and write ``annotations/semantic_SPLIT.json``.

    Args:
        root: Folder with ``leftImg8bit`` and ``gtFine``.
        split: 'train', 'val' or 'test'.
        layout: Of ``layout.recognise``.
        level: Of the classes, at most that of the maps.
        jobs: Processes.
        progress: Called after each image.

    Returns:
        None where the split has no labelled images.

    Raises:
        DataError: If an image has no label, or its map another size or values that belong to no class.
    """
    frames = find_frames(root, split, layout)
    if not frames:
        return None
    entries = categories(level, layout.level)
    table = np.zeros(256, int)
    for entry in entries:
        table[entry['map_ids']] = entry['id']
    tasks = [Task(root, frame, tuple(table.tolist())) for frame in frames]
    rows: dict[str, tuple] = {}
    with workers(jobs) as executor:
        for task, row in run_all(_look, tasks, executor):
            rows[task.frame.image] = row
            progress()
    content, unknown = _coco([frame.image for frame in frames], rows, entries)
    target = root / FOLDER / f'semantic_{split}.json'
    target.parent.mkdir(exist_ok=True)
    write_json(target, {'info': {'description': f'{layout.name}, level {level}', 'void': VOID}, **content})
    shown = {entry['name']: sum(part['category_id'] == entry['id'] for part in content['annotations'])
             for entry in entries}  # fmt: skip
    return Listed(target, len(frames), sum(frame.polygons is not None for frame in frames), shown, sorted(unknown))


def _coco(names: Sequence[str], rows: dict[str, tuple], entries: list[dict]) -> tuple[dict[str, Any], set[str]]:
    images, annotations, unknown = [], [], set()
    for number, name in enumerate(names, 1):
        (width, height), seg_file, parts, strange = rows[name]
        images.append({'id': number, 'file_name': name, 'width': width, 'height': height, 'seg_file': seg_file})
        unknown |= strange
        for category, area, bbox in parts:
            annotations.append({'id': len(annotations) + 1, 'image_id': number, 'category_id': category,
                                'bbox': bbox, 'area': area, 'iscrowd': 0})  # fmt: skip
    return {'images': images, 'annotations': annotations, 'categories': entries}, unknown


def _look(task: Task) -> tuple[tuple[int, int], str, list[tuple[int, int, list[int]]], set[str]]:
    """Size of an image, its map's path, (class, area, box) of what it shows, and labels that were not known."""
    root, frame = task.root, task.frame
    unknown: set[str] = set()
    with open_raster(root / frame.image) as image:
        size_wh = image.width, image.height
    if frame.polygons is not None:
        unknown = draw_map(root / frame.polygons, root / frame.label_map, size_wh)
    values = read_map(root / frame.label_map)
    if values.shape[::-1] != size_wh:
        raise DataError(f'{root / frame.label_map} must be as large as its image, {size_wh[0]} x {size_wh[1]} px; it '
                        f'is {values.shape[1]} x {values.shape[0]}; copy both again')  # fmt: skip
    table = np.array(task.classes)
    counts = np.bincount(values.ravel(), minlength=256)
    strange = [value for value in np.flatnonzero(counts).tolist() if value != VOID and not table[value]]
    if strange:
        known = [value for value in range(256) if table[value]]
        raise DataError(f'{root / frame.label_map} must hold class ids from {known[0]} to {known[-1]} and {VOID} for '
                        f'void; it holds {", ".join(map(str, strange[:8]))}; take the maps of the level, or make them '
                        'from the polygons')  # fmt: skip
    return size_wh, frame.label_map, _parts(table[values], counts, table), unknown


def read_map(path: Path) -> NDArray[np.uint8]:
    """Read a label map, (height, width).

    Raises:
        DataError: If it is no image of one band of 8 bits.
    """
    with open_raster(path) as file:
        if file.count != 1 or file.dtypes[0] != 'uint8':
            raise DataError(f'{path} must be a label map of one band of 8 bits; it has {file.count} of '
                            f'{file.dtypes[0]}; is it a picture of the labels?')  # fmt: skip
        return file.read(1)


def _parts(classes: NDArray[np.int64], counts: NDArray, table: NDArray) -> list[tuple[int, int, list[int]]]:
    """Class, area in px and box (x, y, width, height) of each class in a map of classes."""
    areas = np.bincount(table, counts)
    found = []
    for category in np.flatnonzero(areas).tolist():
        if category:
            mask = classes == category
            x, y = (np.flatnonzero(mask.any(axis)) for axis in (0, 1))
            box = [int(x[0]), int(y[0]), int(x[-1] - x[0] + 1), int(y[-1] - y[0] + 1)]
            found.append((category, int(areas[category]), box))
    return found

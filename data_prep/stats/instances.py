"""Every instance measured: length, width, area. From COCO files or from the whole objects of scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from data_prep.errors import DataError
from data_prep.labels.coco_file import outline
from data_prep.polygons import repair
from data_prep.show.coco_input import CocoSplit
from data_prep.tile.loading import LoadedScene


@dataclass(frozen=True)
class Instance:
    """One annotation; lengths in pixels of its image, NaN where it has no outline."""

    image: int  # index into Collection.images
    label: str
    area_px: float
    length_px: float
    width_px: float
    visible_fraction: float = np.nan
    object_id: str | None = None
    crowd: bool = False


@dataclass(frozen=True)
class ImageInfo:
    """What holds instances: a tile, a photo or a whole scene."""

    split: str
    gsd_m: float  # NaN where not known


@dataclass(frozen=True)
class Collection:
    """All images with their instances."""

    images: list[ImageInfo]
    instances: list[Instance]
    source: str  # 'images' or 'scenes'


def length_and_width(geometries: Sequence[shapely.Geometry | None]) -> np.ndarray:
    """Length, width and area of outlines.

    Length is the longer side of the rectangle of least area around the outline, at any angle; width is area by length,
    the mean width of something elongated.

    Args:
        geometries: Polygons or multi-polygons with an area; None gives NaN.

    Returns:
        (N, 3) float64: length, width, area, in the units of the geometries.
    """
    shapes = np.array(geometries, object)
    measured = np.full((len(shapes), 3), np.nan)
    there = np.flatnonzero(~shapely.is_missing(shapes))
    if not len(there):
        return measured
    frames = shapely.oriented_envelope(shapes[there])
    corners = np.array([shapely.get_coordinates(frame)[:3] for frame in frames])
    length = np.linalg.norm(np.diff(corners, axis=1), axis=2).max(axis=1)
    area = shapely.area(shapes[there])
    measured[there] = np.stack((length, area / length, area), axis=1)
    return measured


def from_coco(splits: Sequence[CocoSplit], classes: Sequence[str] = ()) -> Collection:
    """Measure the annotations of COCO files: what each image shows of an object, not the whole object.

    Args:
        splits: The files.
        classes: Only these; empty takes all.

    Raises:
        DataError: If a class is in no file.
    """
    known = {name for split in splits for name in split.classes.values()}
    if unknown := [name for name in classes if name not in known]:
        raise DataError(f'--classes {unknown[0]} is no class here; classes are {", ".join(sorted(known))}')
    images, owners, parts, geometries = [], [], [], []
    for split in splits:
        for entry in split.entries:
            size_wh = (entry['width'], entry['height'])
            for part in split.parts(entry):
                if classes and split.class_name(part) not in classes:
                    continue
                owners.append(len(images))
                parts.append((part, split.class_name(part)))
                geometries.append(_geometry(part, size_wh))
            images.append(ImageInfo(split.name, _number(entry.get('gsd_m'))))
    rows = zip(owners, parts, length_and_width(geometries).tolist(), strict=True)
    return Collection(images, [_instance(owner, *part, *numbers) for owner, part, numbers in rows], 'images')


def _instance(owner: int, part: dict, label: str, length: float, width: float, area: float) -> Instance:
    visible, object_id = _number(part.get('visible_fraction')), part.get('object_id')
    crowd = part.get('iscrowd') == 1
    return Instance(
        owner, label, area, length, width, visible, object_id if isinstance(object_id, str) else None, crowd
    )


def _geometry(part: dict, size_wh: tuple[int, int]) -> shapely.Geometry | None:
    """Outline of an annotation; None for a crowd, which is not one object, and for what has no usable outline."""
    if part.get('iscrowd') == 1:
        return None
    parts, _ = outline(part.get('segmentation'), size_wh)
    polygons = [shapely.Polygon(rings[0], rings[1:]) for rings in parts]
    if not polygons:
        return None
    return repair(polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons))[0]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else np.nan


def from_scenes(loaded: Sequence[LoadedScene]) -> Collection:
    """Measure the whole objects of scenes, in pixels at their scale; each scene counts as one image."""
    images = [ImageInfo('scenes', _number(item.info.grid_gsd_m)) for item in loaded]
    instances = []
    for number, item in enumerate(loaded):
        objects = item.found.objects
        measured = length_and_width([found.polygon for found in objects]).tolist()
        instances += [Instance(number, found.label, area, length, width, object_id=found.object_id)
                      for found, (length, width, area) in zip(objects, measured, strict=True)]  # fmt: skip
    return Collection(images, instances, 'scenes')

"""Tiles as they lie in the files, before any pipeline: their pixels as a run loads them, their masks as drawn."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmdet.registry import TRANSFORMS
from numpy.typing import NDArray
from pycocotools import mask as pycoco

from fallen_trees.checks.subject import Subject
from fallen_trees.config_nodes import datasets_in


@dataclass(frozen=True)
class Tile:
    """An image entry with what is drawn on it.

    Attributes:
        split: Out of 'train', 'val', 'test'.
        path: Of the image file; there is none where a tile is read from its scene.
        entry: As in the annotation file.
        annotations: Of the run's classes.
    """

    split: str
    path: Path
    entry: dict
    annotations: list[dict]


def class_ids(subject: Subject, split: str) -> set[int]:
    """Category ids of the run's classes in the file of a split."""
    names = set(subject.cfg.metainfo.classes)
    return {category['id'] for category in subject.coco(split)['categories'] if category['name'] in names}


def tiles(subject: Subject, split: str) -> list[Tile]:
    """All tiles of a split, in the order of the file."""
    coco, ids, by_image = subject.coco(split), class_ids(subject, split), {}
    for annotation in coco['annotations']:
        if annotation.get('category_id') in ids:
            by_image.setdefault(annotation.get('image_id'), []).append(annotation)
    folder = subject.image_folder(split)
    return [Tile(split, folder / e['file_name'], e, by_image.get(e['id'], [])) for e in coco['images']]


def picked_tiles(subject: Subject, most: int, *, with_objects: bool) -> list[Tile]:
    """At most `most` tiles of all splits, by chance but the same ones for the same seed; a file is taken once."""
    files = {subject.ann_file(split): split for split in reversed(subject.splits)}
    found = [tile for split in reversed(files.values()) for tile in tiles(subject, split)]
    found = [tile for tile in found if tile.annotations or not with_objects]
    order = np.random.default_rng(subject.seed).permutation(len(found))[:most]
    return [found[index] for index in order]


def load_pixels(subject: Subject, tile: Tile) -> NDArray:
    """Pixels of a tile (H, W, bands), by the first step of its split's pipeline.

    Raises:
        Exception: Whatever that step raises when it cannot read them.
    """
    results = TRANSFORMS.build(loader_of(subject, tile.split)).transform(dict(img_path=str(tile.path)))
    if results is None:
        raise OSError(f'{tile.path} is not readable')
    img = results['img']
    return img if img.ndim == 3 else img[..., None]


def loader_of(subject: Subject, split: str) -> dict:
    """The step of a split's pipeline that reads pixels."""
    node = next(datasets_in(subject.cfg[f'{split}_dataloader']))
    steps = [step for step in node.get('pipeline') or [] if step['type'].startswith('LoadImage')]
    return dict(steps[0]) if steps else dict(type='LoadImageFromFile')


def mask_of(annotation: dict, size_wh: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Mask (H, W) of 0 and 1 from polygons or RLE; None where there is nothing to decode."""
    drawn, (width, height) = annotation.get('segmentation'), size_wh
    if isinstance(drawn, list):
        drawn = [ring for ring in drawn if len(ring) >= 6]
    if not drawn:
        return None
    try:
        if isinstance(drawn, list):
            return pycoco.decode(pycoco.merge(pycoco.frPyObjects(drawn, height, width)))
        rle = pycoco.frPyObjects(drawn, *drawn['size']) if isinstance(drawn['counts'], list) else drawn
        return pycoco.decode(rle)
    except (ValueError, TypeError, KeyError):
        return None


def rings(annotation: dict) -> Iterator[NDArray[np.float64]]:
    """Rings (points, 2) x, y of an annotation drawn as polygons."""
    drawn = annotation.get('segmentation')
    for ring in drawn if isinstance(drawn, list) else []:
        if len(ring) >= 6 and len(ring) % 2 == 0:
            yield np.asarray(ring, float).reshape(-1, 2)

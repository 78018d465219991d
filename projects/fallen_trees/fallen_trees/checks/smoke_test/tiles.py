"""The few tiles that a smoke test learns by heart: chosen by a seed, cropped where time is short."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from data_prep.atomic import atomic_path, atomic_write
from fallen_trees.errors import ConfigError
from fallen_trees.loading.packed_images import PackBackend


@dataclass(frozen=True)
class Rules:
    """What the config makes of a tile.

    Attributes:
        classes: Categories that count.
        scale_wh: Size in px that a whole tile is resized to, keeping its shape.
        min_area: Smaller objects, in px of the network, are none: the config's own training filter.
        stride: Of the masks that the model draws, in px of the network.
    """

    classes: tuple[str, ...]
    scale_wh: tuple[int, int]
    min_area: float
    stride: int

    def zoom(self, width: int, height: int) -> float:
        """Px of the network per px of the file, as MMDetection's Resize(keep_ratio=True) does it."""
        return min(
            max(self.scale_wh) / max(width, height),
            min(self.scale_wh) / min(width, height),
        )  # fmt: skip


@dataclass(frozen=True)
class Tiles:
    """A data set of a few tiles.

    Attributes:
        ann_file: COCO file.
        folder: That its file names are relative to.
        names: Of the tiles.
        objects: On each tile.
        left_out: Objects too small by the config's own filter.
        reachable: Share of objects that masks of the model's stride can meet at IoU 0.5.
    """

    ann_file: Path
    folder: Path
    names: list[str]
    objects: list[int]
    left_out: int
    reachable: float


def pick(coco: dict, classes: tuple[str, ...], number: int, seed: int) -> list[dict]:
    """Choose images with objects of the classes; the same seed chooses the same, fewer being the first of more.

    Raises:
        ConfigError: If there are none.
    """
    wanted = {category['id'] for category in coco['categories'] if category['name'] in classes}
    with_objects = {a['image_id'] for a in coco['annotations'] if a['category_id'] in wanted and not a.get('iscrowd')}
    images = [image for image in coco['images'] if image['id'] in with_objects]
    if not images:
        raise ConfigError(f'no training tile has an object of {list(classes)}; there is nothing to learn by heart.')
    return [images[index] for index in np.random.default_rng(seed).permutation(len(images))[:number]]


def write_tiles(
    coco: dict, images: list[dict], source: Path, out: Path, rules: Rules, share: float = 1.0, seed: int = 0
) -> Tiles:
    """Write the chosen tiles as a data set of their own.

    Args:
        coco: The training annotations.
        images: Chosen out of its images.
        source: Folder of the training images.
        out: Existing folder to write `tiles.json` to and, for crops, the images.
        rules: What counts as an object.
        share: Of each side that is kept, around one of the objects; 1 reads the images where they are.
        seed: Which object a crop is laid around.
    """
    rng = np.random.default_rng(seed)
    new_images, annotations, left_out, reached = [], [], 0, []
    for image in images:
        masks = _masks(coco, image, rules)
        x0, y0, x1, y1 = _window(image, [mask for mask, _ in masks], share, rng)
        kept = []
        for mask, record in masks:
            mask = mask[y0:y1, x0:x1]
            zoom = rules.zoom(image['width'], image['height'])
            if not mask.any() or mask.sum() * zoom**2 < rules.min_area:
                left_out += bool(mask.any())
                continue
            reached.append(_ceiling(mask, zoom, rules.stride) >= 0.5)
            kept.append(_record(mask, record))
        if share < 1 and kept:
            image = {**_crop(image, source, out, (x0, y0, x1, y1)), 'width': x1 - x0, 'height': y1 - y0}
        if kept:
            new_images.append(image)
            annotations += kept
    annotations = [{**record, 'id': number} for number, record in enumerate(annotations, 1)]
    if not annotations:
        raise ConfigError(f'every object of the chosen tiles is below {rules.min_area} px, the filter of the config.')
    ann_file = out / 'tiles.json'
    with atomic_write(ann_file) as file:
        json.dump(dict(images=new_images, annotations=annotations, categories=coco['categories']), file)
    counts = [sum(record['image_id'] == image['id'] for record in annotations) for image in new_images]
    names = [image['file_name'] for image in new_images]
    return Tiles(ann_file, source if share == 1 else out, names, counts, left_out, float(np.mean(reached)))


def _masks(coco: dict, image: dict, rules: Rules) -> list[tuple[NDArray[np.uint8], dict]]:
    wanted = {category['id'] for category in coco['categories'] if category['name'] in rules.classes}
    found = []
    for record in coco['annotations']:
        if record['image_id'] == image['id'] and record['category_id'] in wanted and not record.get('iscrowd'):
            outline = record['segmentation']
            if isinstance(outline, list):
                outline = rle.merge(rle.frPyObjects(outline, image['height'], image['width']))
            elif isinstance(outline['counts'], list):
                outline = rle.frPyObjects(outline, image['height'], image['width'])
            found.append((rle.decode(outline), record))
    return found


def _window(
    image: dict, masks: list[NDArray[np.uint8]], share: float, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Lay a window of a share of the tile's sides around one object, inside the tile; half-open px of the file."""
    size_wh = np.array([image['width'], image['height']])
    window_wh = np.maximum(1, (size_wh * share).round().astype(int))
    ys, xs = np.nonzero(masks[rng.integers(len(masks))]) if masks else (np.zeros(1), np.zeros(1))
    centre_xy = np.array([xs.mean(), ys.mean()]) if len(xs) else size_wh / 2
    start = np.clip((centre_xy - window_wh / 2).round().astype(int), 0, size_wh - window_wh)
    return (*start.tolist(), *(start + window_wh).tolist())


def _ceiling(mask: NDArray[np.uint8], zoom: float, stride: int) -> float:
    """IoU of a mask with itself after averaging to the stride of the model's masks and enlarging again."""
    small = [max(1, round(side * zoom / stride)) for side in mask.shape[::-1]]
    averaged = cv2.resize(mask.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    again = cv2.resize(averaged, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5
    return float((again & (mask > 0)).sum() / (again | (mask > 0)).sum())


def _record(mask: NDArray[np.uint8], record: dict) -> dict:
    encoded = rle.encode(np.asfortranarray(mask))
    box = [float(value) for value in rle.toBbox(encoded)]
    encoded['counts'] = encoded['counts'].decode()
    return dict(
        image_id=record['image_id'],
        category_id=record['category_id'],
        bbox=box,
        area=float(mask.sum()),
        iscrowd=0,
        segmentation=encoded,
    )


def _crop(image: dict, source: Path, out: Path, window: tuple[int, int, int, int]) -> dict:
    x0, y0, x1, y1 = window
    content = PackBackend().get(source / image['file_name'])  # a file, or its bytes in a pack
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    name = f'{Path(image["file_name"]).stem}.png'
    with atomic_path(out / name) as temporary:
        cv2.imwrite(str(temporary), pixels[y0:y1, x0:x1])
    return {**image, 'file_name': name}

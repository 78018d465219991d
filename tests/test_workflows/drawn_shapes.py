"""Photos of coloured shapes on grained ground, small enough that a tiny network learns them in a minute."""

import json
from pathlib import Path

import cv2
import numpy as np

CLASSES = ('disc', 'block')
COLOURS = {'disc': (40, 60, 220), 'block': (210, 120, 30)}  # blue first
SIDE = 64


def draw(seed):
    """A photo and its shapes: (H, W, 3) uint8, and a list of (class, points)."""
    rng = np.random.default_rng(seed)
    photo = rng.normal(120, 12, (SIDE, SIDE, 3))
    shapes = []
    for x0, y0 in ((0, 0), (32, 0), (0, 32), (32, 32)):  # one cell each, so that nothing hides anything
        if rng.random() < 0.35:
            continue
        label = CLASSES[int(rng.integers(2))]
        radius = float(rng.uniform(9, 14))
        x, y = (float(corner + rng.uniform(radius + 1, 31 - radius)) for corner in (x0, y0))
        turns = np.linspace(0, 2 * np.pi, 17)[:-1] if label == 'disc' else np.pi / 4 * np.array([1, 3, 5, 7])
        points = np.stack([x + radius * np.cos(turns), y + radius * np.sin(turns)], 1)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1, shift=4)
        photo[mask > 0] = np.array(COLOURS[label]) + rng.normal(0, 12, (int(mask.sum()), 3))
        shapes.append((label, points.round(2).tolist()))
    return np.clip(photo, 0, 255).astype(np.uint8), shapes


def write_coco(ann_file, images, first_seed, count, categories, ids):
    """Write photos beside or apart from a COCO file of polygons.

    Args:
        categories: Entries of the file.
        ids: Category id by class.
    """
    ann_file, images = Path(ann_file), Path(images)
    for folder in (ann_file.parent, images):
        folder.mkdir(parents=True, exist_ok=True)
    coco = dict(info={}, licenses=[], images=[], annotations=[], categories=categories)
    for seed in range(first_seed, first_seed + count):
        photo, shapes = draw(seed)
        name = f'photo_{seed:03d}.png'
        cv2.imwrite(str(images / name), photo)
        coco['images'].append(dict(id=seed, file_name=name, width=SIDE, height=SIDE))
        for label, points in shapes:
            ring = np.array(points)
            low, size = ring.min(0), np.ptp(ring, 0)
            area = float(cv2.contourArea(ring.astype(np.float32)))
            coco['annotations'].append(
                dict(id=len(coco['annotations']) + 1, image_id=seed, category_id=ids[label], iscrowd=0, area=area,
                     bbox=[*low.tolist(), *size.tolist()], segmentation=[ring.ravel().tolist()])
            )  # fmt: skip
    ann_file.write_text(json.dumps(coco))


def roboflow(folder, counts=(32, 8, 8), root='shapes'):
    """A data set as Roboflow exports it, root category 0 and all; an image's label is that of its class."""
    categories = [dict(id=0, name=root, supercategory='none')]
    categories += [dict(id=n, name=name, supercategory=root) for n, name in enumerate(CLASSES, 1)]
    ids = {name: n for n, name in enumerate(CLASSES, 1)}
    first = 0
    for split, count in zip(('train', 'valid', 'test'), counts, strict=True):
        if count:
            part = Path(folder, split)
            write_coco(part / '_annotations.coco.json', part, first, count, categories, ids)
        first += count
    return Path(folder)


def labelme(folder, count, first_seed=0):
    """Photos with LabelMe's files beside them."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first_seed, first_seed + count):
        photo, shapes = draw(seed)
        cv2.imwrite(str(folder / f'photo_{seed:03d}.png'), photo)
        entries = [dict(label=label, points=points, shape_type='polygon', group_id=None, flags={})
                   for label, points in shapes]  # fmt: skip
        content = dict(version='5.4.1', flags={}, shapes=entries, imagePath=f'photo_{seed:03d}.png', imageData=None,
                       imageWidth=SIDE, imageHeight=SIDE)  # fmt: skip
        (folder / f'photo_{seed:03d}.json').write_text(json.dumps(content))
    return folder

"""Streets of flat coloured shapes in IDD's layout, small enough that a tiny network learns them in a minute."""

import json
from pathlib import Path

import cv2
import numpy as np

SIZE_WH = 96, 64
COLOURS = {  # blue first
    'sky': (235, 190, 150), 'building': (110, 110, 170), 'vegetation': (60, 150, 70), 'road': (105, 100, 105),
    'sidewalk': (190, 150, 210), 'car': (190, 60, 30), 'person': (40, 40, 220), 'parking': (150, 200, 200),
}  # fmt: skip


def box(x0, y0, x1, y1):
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def shapes(seed):
    """Labels and outlines of a street in drawing order, later ones over earlier ones."""
    rng = np.random.default_rng(seed)
    wide, tall = SIZE_WH
    horizon = int(rng.integers(22, 30))
    found = [('sky', box(0, 0, wide - 1, tall - 1))]
    cut = int(rng.integers(25, 70))
    sides = rng.permutation(['building', 'vegetation'])
    found.append((str(sides[0]), box(0, int(rng.integers(6, 14)), cut, horizon + 4)))
    found.append((str(sides[1]), box(cut, int(rng.integers(6, 14)), wide - 1, horizon + 4)))
    found.append(('sidewalk', box(0, horizon, wide - 1, tall - 1)))
    far = int(rng.integers(35, 60))
    found.append(('road', [[far, horizon], [far + 14, horizon], [wide + 4, tall - 1], [6, tall - 1]]))
    if rng.random() < 0.3:
        found.append(('parking', box(0, tall - 14, 16, tall - 1)))
    for label, count in (('car', rng.integers(1, 4)), ('person', rng.integers(0, 3))):
        for _ in range(int(count)):
            w, h = (16, 11) if label == 'car' else (7, 17)
            x, y = int(rng.integers(4, wide - w - 4)), int(rng.integers(horizon, tall - h - 2))
            found.append((label, box(x, y, x + w, y + h)))
    return found


def paint(seed, outlines):
    """The photo of a street, (H, W, 3) uint8, blue first."""
    rng = np.random.default_rng(seed + 10_000)
    photo = np.zeros((*SIZE_WH[::-1], 3))
    for label, points in outlines:
        mask = np.zeros(photo.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.array(points, np.int32)], 1)
        photo[mask > 0] = np.array(COLOURS[label]) + rng.normal(0, 6, 3)
    return np.clip(photo + rng.normal(0, 8, photo.shape), 0, 255).astype(np.uint8)


def idd(folder, train=48, val=8, sequences=6):
    """A data set as IDD 20k is unpacked: images and polygons, no maps yet; frames of two sequences share names."""
    for split, count, first in (('train', train, 0), ('val', val, 1000), ('test', 2, 2000)):
        for number in range(count):
            sequence, frame = str(100 + number % sequences), f'frame{number // sequences:04d}'
            outlines = shapes(first + number)
            image = Path(folder, 'leftImg8bit', split, sequence, f'{frame}_leftImg8bit.png')
            image.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(image), paint(first + number, outlines))
            if split != 'test':
                label = Path(folder, 'gtFine', split, sequence, f'{frame}_gtFine_polygons.json')
                label.parent.mkdir(parents=True, exist_ok=True)
                label.write_text(json.dumps(polygons(outlines)))
    return Path(folder)


def polygons(outlines, size_wh=SIZE_WH):
    """Content of IDD's file of one image."""
    objects = [
        dict(id=n, label=label, polygon=points, deleted=0, draw=True) for n, (label, points) in enumerate(outlines)
    ]
    return dict(imgWidth=size_wh[0], imgHeight=size_wh[1], objects=objects)

"""Streets drawn in Cityscapes' own layout: 96 x 64 px, road, sky, building, cars, persons; real numbers in the maps."""

from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 96, 64
ROAD, BUILDING, SKY, PERSON, CAR = 7, 11, 23, 24, 26  # Cityscapes' numbers of classes
COLOURS = {SKY: (200, 160, 120), BUILDING: (90, 90, 110), ROAD: (110, 110, 110)}  # BGR, as OpenCV writes
CITIES = {
    'train': {'aachen': 14, 'bochum': 12, 'bremen': 6},
    'train_extra': {'augsburg': 6},
    'val': {'frankfurt': 8},
}


def draw(seed):
    """One street.

    Returns:
        Image (H, W, 3) uint8 BGR, label map (H, W) uint8, instance map (H, W) uint16.
    """
    rng = np.random.default_rng(seed)
    image, labels = np.zeros((HEIGHT, WIDTH, 3)), np.zeros((HEIGHT, WIDTH), np.uint8)
    for number, rows in ((SKY, slice(0, 16)), (BUILDING, slice(16, 28)), (ROAD, slice(28, HEIGHT))):
        image[rows], labels[rows] = COLOURS[number], number
    objects = labels.astype(np.uint16)
    counts = {CAR: 0, PERSON: 0}
    for left in (2, 34, 66):  # a lane each, so that nothing hides anything
        if rng.random() < 0.15:
            continue
        number = CAR if rng.random() < 0.5 else PERSON
        width, height = (int(rng.integers(20, 28)), int(rng.integers(10, 15)))
        if number == PERSON:
            width, height = int(rng.integers(8, 12)), int(rng.integers(20, 28))
        x, y = left + int(rng.integers(0, 29 - width)), int(rng.integers(24, HEIGHT - height - 1))
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        if number == CAR:
            cv2.rectangle(mask, (x, y), (x + width - 1, y + height - 1), 1, -1)
        else:
            cv2.ellipse(mask, (x + width // 2, y + height // 2), (width // 2, height // 2), 0, 0, 360, 1, -1)
        image[mask > 0] = (170, 40, 40) if number == CAR else (60, 150, 230)
        labels[mask > 0] = number
        objects[mask > 0] = number * 1000 + counts[number]
        counts[number] += 1
    return np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8), labels, objects


def cityscapes(root, cities=None):
    """A folder as Cityscapes' packages are unpacked, fine and coarse; a group of cars stands in every first image."""
    root, seed = Path(root), 0
    for split, counts in (cities or CITIES).items():
        for city, count in counts.items():
            for number in range(count):
                seed += 1
                image, labels, objects = draw(seed)
                name = f'{city}_{number:06d}_000019'
                if number == 0:
                    labels[20:24, 40:60] = objects[20:24, 40:60] = CAR
                    image[20:24, 40:60] = (170, 40, 40)
                write(root / f'leftImg8bit/{split}/{city}/{name}_leftImg8bit.png', image)
                for kind in ('gtFine', 'gtCoarse') if split != 'train_extra' else ('gtCoarse',):
                    rough = labels if kind == 'gtFine' else np.where(rough_edge(labels), 0, labels).astype(np.uint8)
                    write(root / f'{kind}/{split}/{city}/{name}_{kind}_labelIds.png', rough)
                    write(root / f'{kind}/{split}/{city}/{name}_{kind}_instanceIds.png', objects)
    return root


def rough_edge(labels):
    """Pixels beside another class, which coarse labels leave out."""
    return cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)

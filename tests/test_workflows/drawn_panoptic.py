"""Drawn streets in COCO's panoptic layout: cars and persons are things, each with an id; the rest is stuff."""

import json
from pathlib import Path

import cv2
import drawn_streets as streets
import numpy as np

THINGS, STUFF = ('car', 'person'), ('road', 'sidewalk', 'building', 'vegetation', 'sky')
CATEGORIES = [
    dict(id=1 + n, name=name, supercategory='thing' if name in THINGS else 'stuff', isthing=int(name in THINGS),
         color=streets.COLOURS[name][::-1])
    for n, name in enumerate(THINGS + STUFF)
]  # fmt: skip
IDS = {entry['name']: entry['id'] for entry in CATEGORIES}


def segments(seed):
    """The ids of a street, (H, W), and what they are: a new id for each thing, one for each kind of stuff."""
    ids, of_stuff, info = np.zeros(streets.SIZE_WH[::-1], np.int32), {}, {}
    for number, (label, points) in enumerate(streets.shapes(seed)):
        label = 'sidewalk' if label == 'parking' else label
        new = 300 * (number + 1)  # above 255, so that more than one colour counts
        code = new if label in THINGS else of_stuff.setdefault(label, new)
        cv2.fillPoly(ids, [np.array(points, np.int32)], code)
        info[code] = label
    return ids, [(code, label) for code, label in info.items() if (ids == code).any()]


def write(folder, counts=(32, 6)):
    """A data set as COCO's panoptic files are unpacked."""
    for split, count, first in (('train2017', counts[0], 0), ('val2017', counts[1], 1000)):
        images, maps = Path(folder, split), Path(folder, f'annotations/panoptic_{split}')
        for made in (images, maps):
            made.mkdir(parents=True, exist_ok=True)
        coco = dict(images=[], annotations=[], categories=CATEGORIES)
        for seed in range(first, first + count):
            name = f'{seed:012d}'
            cv2.imwrite(str(images / f'{name}.jpg'), streets.paint(seed, streets.shapes(seed)))
            ids, found = segments(seed)
            cv2.imwrite(str(maps / f'{name}.png'), np.stack([ids >> 16, ids >> 8 & 255, ids & 255], 2).astype(np.uint8))
            wide, tall = streets.SIZE_WH
            coco['images'].append(dict(id=seed, file_name=f'{name}.jpg', width=wide, height=tall))
            info = [entry(ids == code, code, label) for code, label in found]
            coco['annotations'].append(dict(image_id=seed, file_name=f'{name}.png', segments_info=info))
        Path(folder, f'annotations/panoptic_{split}.json').write_text(json.dumps(coco))
    return Path(folder)


def entry(mask, code, label):
    """A segment as COCO describes it."""
    y, x = np.nonzero(mask)
    box = [int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1]
    return dict(id=int(code), category_id=IDS[label], area=int(mask.sum()), bbox=box, iscrowd=0)

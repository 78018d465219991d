"""Cityscapes' own numbers of classes, and those that it evaluates.

A label map holds the number of the class in each pixel. An instance map holds number x 1000 + n for the n-th object of
a class, and the number alone for pixels of a class in which objects were not told apart (`cargroup`).
"""

from __future__ import annotations

from data_prep.coco import Record

OBJECT = 1000  # instance maps: from this value on a pixel belongs to a single object
# In the order in which Cityscapes trains and evaluates: name, number in label maps, colour (RGB), is a thing
CLASSES = (
    ('road', 7, (128, 64, 128), False),
    ('sidewalk', 8, (244, 35, 232), False),
    ('building', 11, (70, 70, 70), False),
    ('wall', 12, (102, 102, 156), False),
    ('fence', 13, (190, 153, 153), False),
    ('pole', 17, (153, 153, 153), False),
    ('traffic light', 19, (250, 170, 30), False),
    ('traffic sign', 20, (220, 220, 0), False),
    ('vegetation', 21, (107, 142, 35), False),
    ('terrain', 22, (152, 251, 152), False),
    ('sky', 23, (70, 130, 180), False),
    ('person', 24, (220, 20, 60), True),
    ('rider', 25, (255, 0, 0), True),
    ('car', 26, (0, 0, 142), True),
    ('truck', 27, (0, 0, 70), True),
    ('bus', 28, (0, 60, 100), True),
    ('train', 31, (0, 80, 100), True),
    ('motorcycle', 32, (0, 0, 230), True),
    ('bicycle', 33, (119, 11, 32), True),
)
NUMBERS = range(34)  # of label maps
VOID = 'void'  # category of what is not evaluated; a training names the others


def categories(*, things: bool) -> list[Record]:
    """COCO's entries, ids from 1.

    Args:
        things: The 8 classes of objects alone; else all 19, and `void` as the last. `map_ids` are the values of the
            class in label maps.
    """
    chosen = [(name, [value], colour, thing) for name, value, colour, thing in CLASSES if thing or not things]
    if not things:
        known = {value for _, value, _, _ in CLASSES}
        chosen.append((VOID, [value for value in NUMBERS if value not in known], (0, 0, 0), False))
    return [
        {
            'id': number,
            'name': name,
            'supercategory': 'thing' if thing else 'stuff',
            'map_ids': values,
            'color': list(colour),
        }
        for number, (name, values, colour, thing) in enumerate(chosen, 1)
    ]

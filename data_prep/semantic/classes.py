"""The classes of IDD, the India Driving Dataset: 26 of level 3, joined to 16 of level 2 and 7 of level 1.

Its label maps hold the ids of one level, 255 for what is not scored. Each class of a level lies within one class of the
level below, so that maps of level 3 serve all three.
"""

from __future__ import annotations

from typing import Any

VOID = 255

# Of level 3, in the order of their ids: name, id in level 2, colour (RGB).
FINE = (
    ('road', 0, (128, 64, 128)),
    ('drivable fallback', 1, (250, 170, 160)),
    ('sidewalk', 2, (244, 35, 232)),
    ('non-drivable fallback', 3, (230, 150, 140)),
    ('person', 4, (220, 20, 60)),
    ('rider', 5, (255, 0, 0)),
    ('motorcycle', 6, (0, 0, 230)),
    ('bicycle', 6, (119, 11, 32)),
    ('autorickshaw', 7, (255, 204, 54)),
    ('car', 7, (0, 0, 142)),
    ('truck', 8, (0, 0, 70)),
    ('bus', 8, (0, 60, 100)),
    ('vehicle fallback', 8, (136, 143, 153)),
    ('curb', 9, (220, 190, 40)),
    ('wall', 9, (102, 102, 156)),
    ('fence', 10, (190, 153, 153)),
    ('guard rail', 10, (180, 165, 180)),
    ('billboard', 11, (174, 64, 67)),
    ('traffic sign', 11, (220, 220, 0)),
    ('traffic light', 11, (250, 170, 30)),
    ('pole', 12, (153, 153, 153)),
    ('obs-str-bar-fallback', 12, (169, 187, 214)),
    ('building', 13, (70, 70, 70)),
    ('bridge', 13, (150, 100, 100)),
    ('vegetation', 14, (107, 142, 35)),
    ('sky', 15, (70, 130, 180)),
)
# Of level 2: name and id in level 1.
MIDDLE = (
    ('road', 0),
    ('drivable fallback', 0),
    ('sidewalk', 1),
    ('non-drivable fallback', 1),
    ('person or animal', 2),
    ('rider', 2),
    ('two-wheeler', 3),
    ('autorickshaw or car', 3),
    ('large vehicle', 3),
    ('curb or wall', 4),
    ('fence or guard rail', 4),
    ('billboard, sign or light', 4),
    ('pole or obstacle', 4),
    ('building or bridge', 5),
    ('vegetation', 5),
    ('sky', 6),
)
COARSE = ('drivable', 'non-drivable', 'living things', 'vehicles', 'roadside objects', 'far objects', 'sky')
# Labels of polygons that are not themselves classes of level 3, and the class that they are drawn as.
DRAWN_AS = {
    'parking': 'drivable fallback',
    'rail track': 'non-drivable fallback',
    'animal': 'person',
    'caravan': 'vehicle fallback',
    'trailer': 'vehicle fallback',
    'train': 'vehicle fallback',
    'polegroup': 'pole',
    'tunnel': 'bridge',
    'fallback background': 'sky',
}
NOT_SCORED = ('unlabeled', 'ego vehicle', 'rectification border', 'out of roi', 'license plate')


def categories(level: int, map_level: int) -> list[dict[str, Any]]:
    """COCO's categories of a level.

    Args:
        level: 3, 2 or 1: 26, 16 or 7 classes.
        map_level: Level of the ids in the label maps, at least ``level``.

    Returns:
        Entries with ids from 1, and besides COCO's keys ``map_ids``, the values of the class in the maps, and ``color``
        (RGB), that of the first class of level 3 within it.
    """
    names = {3: [name for name, _, _ in FINE], 2: [name for name, _ in MIDDLE], 1: list(COARSE)}[level]
    made = []
    for number, name in enumerate(names):
        fine = [index for index in range(len(FINE)) if _up(index, 3, level) == number]
        made.append({
            'id': number + 1,
            'name': name,
            'supercategory': COARSE[_up(number, level, 1)],
            'map_ids': sorted({_up(index, 3, map_level) for index in fine}),
            'color': list(FINE[fine[0]][2]),
        })  # fmt: skip
    return made


def _up(number: int, level: int, target: int) -> int:
    """The class of a coarser level that a class lies in."""
    if level == 3 and target < 3:
        number, level = FINE[number][1], 2
    return MIDDLE[number][1] if level == 2 and target < 2 else number


def drawn_id(label: str) -> int | None:
    """Level-3 id of a polygon's label, 255 for what is not scored, None for a label that IDD does not have.

    A label that ends in ``group`` is that of its members.
    """
    known = {name: index for index, (name, _, _) in enumerate(FINE)} | dict.fromkeys(NOT_SCORED, VOID)
    for name in (label, label.removesuffix('group')):
        name = DRAWN_AS.get(name, name)
        if name in known:
            return known[name]
    return None

"""Whether boxes, outlines and areas of an annotation fit each other and their image.

A box is checked against the extent of its own outline: COCO's is x, y, width, height from the upper left corner.
"""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as pycoco

from fallen_trees.checks.data.tiles import Tile, mask_of, rings, tiles
from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.subject import MAPS, Subject

FAR_PX = 3.0  # what rounding and half pixels explain, and one more
FAR_SHARE = 0.1  # of the box's sides
MOST_ODD = 0.01  # of all annotations; some are odd in every data set drawn by hand
AREA_FACTOR = 1.5

# How else a box is written; each gives x, y, width, height.
WRITINGS: dict[str, Callable[[NDArray, Tile], NDArray]] = {
    'x1, y1, x2, y2': lambda b, tile: np.array([b[0], b[1], b[2] - b[0], b[3] - b[1]]),
    'centre x, centre y, width, height': lambda b, tile: np.array([b[0] - b[2] / 2, b[1] - b[3] / 2, b[2], b[3]]),
    'y, x, height, width': lambda b, tile: b[[1, 0, 3, 2]],
    'shares of the image': lambda b, tile: b * np.tile([tile.entry['width'], tile.entry['height']], 2),
}


def check_boxes(subject: Subject) -> Iterator[Finding]:
    """Check every box against its outline and its image: `boxes`."""
    total, bad, as_if, outside = 0, 0, Counter(), 0
    for tile, annotation in _annotations(subject):
        box = annotation.get('bbox')
        total += 1
        if not isinstance(box, list) or len(box) != 4:
            bad += 1
            continue
        box = np.asarray(box, float)
        outside += _leaves(box, tile)
        extent = extent_xywh(annotation)
        if extent is not None and not _agree(box, extent):
            bad += 1
            as_if.update(name for name, read in WRITINGS.items() if _agree(read(box, tile), extent))
    figures = dict(annotations=total, boxes_off_their_outline=bad, boxes_leaving_the_image=outside)
    name, count = as_if.most_common(1)[0] if as_if else ('', 0)
    if count > max(MOST_ODD * total, bad / 2):
        message = (
            f'{bad} of {total} boxes do not fit their outlines; read as {name}, {count} do. COCO boxes are x, y, '
            'width, '
            f'height: write them again from the outlines. {outside} leave their image as they are.'
        )
        yield Finding('boxes', Verdict.ERROR, message, figures)
    elif bad > MOST_ODD * total or outside > MOST_ODD * total:
        verdict = Verdict.ERROR if max(bad, outside) > total / 2 else Verdict.WARNING
        message = (
            f'{bad} of {total} boxes do not fit the extent of their outlines and {outside} leave their image; '
            'objects are '
            'dropped and cropped by these boxes: write them again from the outlines.'
        )
        yield Finding('boxes', verdict, message, figures)
    else:
        yield Finding('boxes', Verdict.OK, f'{total - bad} of {total} boxes fit their outlines.', figures)


def check_outlines(subject: Subject) -> Iterator[Finding]:
    """Check that outlines lie in their image and enclose the area that is written beside them: `outlines`."""
    if subject.has_maps:
        yield Finding('outlines', Verdict.OK, MAPS)
        return
    total = none = outside = areas = 0
    for tile, annotation in _annotations(subject):
        total += 1
        size_wh = tile.entry['width'], tile.entry['height']
        extent = extent_xywh(annotation)
        if extent is None:
            none += 1
            continue
        outside += _leaves(extent, tile) or _other_size(annotation, size_wh)
        areas += _area_differs(annotation, size_wh)
    figures = dict(annotations=total, without_outline=none, leaving_the_image=outside, area_differs=areas)
    odd = max(none, outside, areas)
    if odd <= MOST_ODD * total:
        yield Finding('outlines', Verdict.OK, f'{total - odd} of {total} outlines lie in their images.', figures)
        return
    message = (
        f'of {total} annotations {none} have no outline of three points or more, {outside} outlines leave their '
        'image or '
        f'are of another size, and {areas} enclose another area than is written: are they of these tiles, in pixels?'
    )
    verdict = Verdict.ERROR if max(none, outside) > total / 2 else Verdict.WARNING
    yield Finding('outlines', verdict, message, figures)


def _annotations(subject: Subject) -> Iterator[tuple[Tile, dict]]:
    for split in subject.splits:
        for tile in tiles(subject, split):
            yield from ((tile, annotation) for annotation in tile.annotations)


def extent_xywh(annotation: dict) -> NDArray[np.float64] | None:
    """Box around what is drawn; None where nothing is."""
    drawn = annotation.get('segmentation')
    if isinstance(drawn, dict):
        try:
            counts = drawn['counts']
            rle = pycoco.frPyObjects(drawn, *drawn['size']) if isinstance(counts, list) else drawn
            return np.asarray(pycoco.toBbox(rle), float)
        except (ValueError, TypeError, KeyError):
            return None
    points = list(rings(annotation))
    if not points:
        return None
    low, high = np.concatenate(points).min(axis=0), np.concatenate(points).max(axis=0)
    return np.concatenate([low, high - low])


def _agree(box_xywh: NDArray, extent_xywh: NDArray) -> bool:
    """Whether no side of a box lies further off than rounding explains."""
    sides, others = (np.concatenate([b[:2], b[:2] + b[2:]]) for b in (box_xywh, extent_xywh))
    return bool((np.abs(sides - others) <= max(FAR_PX, FAR_SHARE * extent_xywh[2:].max())).all())


def _leaves(box_xywh: NDArray, tile: Tile) -> bool:
    x, y, width, height = box_xywh
    right, bottom = tile.entry['width'] + FAR_PX, tile.entry['height'] + FAR_PX
    return bool(x < -FAR_PX or y < -FAR_PX or x + width > right or y + height > bottom)


def _other_size(annotation: dict, size_wh: tuple[int, int]) -> bool:
    drawn = annotation['segmentation']
    return isinstance(drawn, dict) and tuple(drawn['size'][::-1]) != size_wh


def _area_differs(annotation: dict, size_wh: tuple[int, int]) -> bool:
    if _other_size(annotation, size_wh):
        return False
    mask = mask_of(annotation, size_wh)
    enclosed, written = (0 if mask is None else int(mask.sum())), annotation.get('area')
    if not isinstance(written, int | float):
        return True
    return bool(abs(written - enclosed) > 10 and not 1 / AREA_FACTOR < written / max(enclosed, 1) < AREA_FACTOR)

"""Whether the masks of a data set lie beside their objects, all in one direction.

A wrong world file, two orthophoto versions or a half-applied scale shift all labels alike. A trunk is a few pixels
wide, so that a few pixels of shift take most of its mask; a model learns to see trunks beside where they are, and no
curve tells.

How it is found: edges of colour that shadows do not make (`edges`) are summed along the outlines, for every way to move
these; all objects together say where they fit best, and a bootstrap over the objects how sure that is (`offsets`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fallen_trees.checks.data.edges import colour_edges, is_grey
from fallen_trees.checks.data.offsets import REACH_PX, Offset, estimate, score_map
from fallen_trees.checks.data.tiles import load_pixels, mask_of, picked_tiles
from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.subject import Subject

NAME = 'label-shift'
MOST_TILES, MOST_OBJECTS = 96, 600
FEW_OBJECTS = 8
MOST_SPREAD_PX = 3.0  # of the bootstrap; chance alone spreads over the whole reach
LEAST_SHIFT_PX = 1.5  # hand-drawn outlines and half pixels explain less than this
LEAST_GREY_PX = 2.5  # in grey images shadows pull, too


@dataclass(frozen=True)
class Placed:
    """Every place of every mask, scored.

    Attributes:
        scores: (N, S, S) of `score_map`.
        groups: (N,) a number for each mask, that of its object.
        scenes: (N,) names of the scenes; '' where the files do not say.
        grey: Whether most images have no colour.
    """

    scores: NDArray[np.float64]
    groups: NDArray[np.int64]
    scenes: NDArray[np.str_]
    grey: bool


def check_label_shift(subject: Subject) -> Iterator[Finding]:
    """Check where masks fit best, over all tiles and in each scene with enough objects: `label-shift`."""
    placed = _place(subject)
    objects = len(set(placed.groups))
    if objects < FEW_OBJECTS:
        message = (
            f'undecided: {objects} objects away from the borders of tiles are too few to tell a shift from chance.'
        )
        yield Finding(NAME, Verdict.OK, message, dict(objects=objects))
        return
    least = LEAST_GREY_PX if placed.grey else LEAST_SHIFT_PX
    offset = estimate(placed.scores, placed.groups, subject.seed)
    finding = _judge('', offset, objects, least)
    yield finding
    for scene in np.unique(placed.scenes) if finding.verdict is Verdict.OK else ():
        chosen = placed.scenes == scene
        count = len(set(placed.groups[chosen]))
        if 2 * FEW_OBJECTS <= count < objects:
            alone = estimate(placed.scores[chosen], placed.groups[chosen], subject.seed)
            finding = _judge(f'in {scene}, ', alone, count, least)
            if finding.verdict is not Verdict.OK:
                yield finding


def _place(subject: Subject) -> Placed:
    """Score the masks of tiles taken by chance, until there are enough."""
    scores, keys, scenes, grey = [], [], [], []
    for tile in picked_tiles(subject, MOST_TILES, with_objects=True):
        size_wh = tile.entry['width'], tile.entry['height']
        try:
            image = load_pixels(subject, tile)
        except Exception:  # the check of images names it
            continue
        if len(scores) >= MOST_OBJECTS or image.shape[1::-1] != size_wh or min(size_wh) <= 4 * REACH_PX:
            continue
        edges = colour_edges(image)
        grey.append(is_grey(image))
        for annotation in tile.annotations:
            mask = None if annotation.get('iscrowd') else mask_of(annotation, size_wh)
            scored = score_map(edges, mask) if mask is not None and mask.shape == image.shape[:2] else None
            if scored is not None:
                scores.append(scored)
                keys.append(str(annotation.get('object_id') or (tile.split, annotation.get('id'))))
                scenes.append(str(tile.entry.get('scene', '')))
    groups = np.unique(keys, return_inverse=True)[1]
    return Placed(np.array(scores), groups, np.array(scenes), bool(grey) and float(np.mean(grey)) > 0.5)


def _judge(where: str, offset: Offset, objects: int, least_px: float) -> Finding:
    figures = dict(
        objects=objects,
        shift_px=round(offset.length_px, 2),
        dx_px=round(offset.dx_px, 2),
        dy_px=round(offset.dy_px, 2),
        spread_px=round(offset.spread_px, 2),
    )
    if max(abs(offset.dx_px), abs(offset.dy_px)) >= REACH_PX or offset.spread_px > MOST_SPREAD_PX:
        message = f'undecided: {where}{objects} objects fit nowhere clearly better than elsewhere.'
        return Finding(NAME, Verdict.OK, message, figures)
    if offset.length_px < least_px or offset.low_px < least_px - 0.5:
        message = f'outlines of {objects} objects fit best within {offset.length_px:.1f} px of where they are.'
        return Finding(NAME, Verdict.OK, message, figures)
    message = (
        f'{where}outlines of {objects} objects fit best {offset.length_px:.1f} px from where they are, moved by '
        f'({offset.dx_px:+.1f}, {offset.dy_px:+.1f}) px to the right and down, give or take {offset.spread_px:.1f}: do '
        'labels and images come from the same orthophoto, scale and grid?'
    )
    return Finding(NAME, Verdict.WARNING, message, figures)

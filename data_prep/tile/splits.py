"""Who trains and who tests: whole scenes, folds of them, or blocks of a scene with a guard band between them.

    blocks along the longer side:   |------- train -------|guard|-- val --|guard|--- test ---|
                                                                cut             cut

A guard band runs from the first row (or column) that an object crossing the cut reaches up to the cut. It is taken from
the block before, so that train, the largest, pays most and the last block keeps its whole share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from data_prep.errors import DataError
from data_prep.grid import Window
from data_prep.polygons import Area
from data_prep.tile.share_out import rank as rank
from data_prep.tile.share_out import share_out

SPLITS = ('train', 'val', 'test')

Ratios = tuple[float, float, float]


@dataclass(frozen=True)
class Region:
    """A part of a scene that belongs to one split.

    No region of another split shares a pixel with it, but in k-fold, where each scene is cut as train and as val tiles
    and a fold takes one of the two.
    """

    split: str
    window: Window
    guard_px: int = 0  # rows or columns left out behind it


def split_scenes(objects: Mapping[str, int], ratios: Ratios, seed: int) -> dict[str, str]:
    """Give each scene to one split.

    Args:
        objects: Number of objects by scene; the order of scenes does not matter.
        ratios: Shares of train, val, test; they sum to 1.
        seed: Another seed shuffles differently.

    Returns:
        Split by scene. Each split with a ratio above 0 has at least one scene; their numbers follow the ratios, and so
        do, as far as whole scenes allow, the numbers of objects.

    Raises:
        DataError: If there are fewer scenes than splits to fill.
    """
    found = share_out(objects, _counts(len(objects), ratios), ratios, seed)
    return {name: SPLITS[found[name]] for name in sorted(found)}


def fold_scenes(objects: Mapping[str, int], folds: int, seed: int) -> dict[str, int]:
    """Give each scene to one fold, from 0: the one that it validates. Scenes and objects are shared out evenly.

    Raises:
        DataError: If there are fewer scenes than folds.
    """
    if folds > len(objects):
        raise DataError(f'--kfold {folds} needs as many scenes besides --test; got {len(objects)}; lower it')
    shares = [1 / folds] * folds
    found = share_out(objects, _counts(len(objects), shares), shares, seed)
    return dict(sorted(found.items()))


def _counts(total: int, ratios: Sequence[float]) -> list[int]:
    """Share out whole scenes: one for each split that is asked for, the rest to whoever is furthest below its share."""
    counts = [int(ratio > 0) for ratio in ratios]
    if sum(counts) > total:
        raise DataError(f'{sum(counts)} splits need as many scenes; got {total}; pass --split-by blocks or 0 shares')
    while sum(counts) < total:
        pairs = zip(ratios, counts, strict=True)
        lacking = [ratio * total - count if ratio > 0 else -math.inf for ratio, count in pairs]
        counts[lacking.index(max(lacking))] += 1
    return counts


def name_scenes(names: Sequence[str], val: Sequence[str], test: Sequence[str]) -> dict[str, str]:
    """Give the named scenes to val and test, and all others to train.

    Raises:
        DataError: If a name is no scene, or stands in both lists.
    """
    for split, chosen in (('val', val), ('test', test)):
        for name in chosen:
            if name not in names:
                raise DataError(f'--{split} {name} is not a scene; scenes are {", ".join(sorted(names))}')
    if both := sorted(set(val) & set(test)):
        raise DataError(f'a scene belongs to one split; {", ".join(both)} is in --val and --test')
    return {name: 'val' if name in val else 'test' if name in test else 'train' for name in sorted(names)}


def split_blocks(size: Window, polygons: Sequence[Area], ratios: Ratios) -> list[Region]:
    """Cut one scene along its longer side.

    Args:
        size: The whole scene.
        polygons: Its objects in source pixels.
        ratios: Shares of train, val, test; they sum to 1.

    Returns:
        A region for each share above 0, in order. No pixel lies in two regions, and no object overlaps two.

    Raises:
        DataError: If a block is left without pixels: the scene is too small or an object too long.
    """
    by_column = size.width >= size.height
    length = size.width if by_column else size.height
    axis = 0 if by_column else 1
    spans = [(polygon.bounds[axis], polygon.bounds[axis + 2]) for polygon in polygons]
    asked = [(split, ratio) for split, ratio in zip(SPLITS, ratios, strict=True) if ratio > 0]
    cuts = [round(length * sum(ratio for _, ratio in asked[:n])) for n in range(len(asked))] + [length]
    regions = []
    for (split, _), start, cut in zip(asked, cuts, cuts[1:], strict=False):
        end = _before_crossing(cut, spans) if cut < length else length
        if start >= end:
            raise DataError(f'no pixels are left for {split} between {start} and {cut} of {length}: objects that cross '
                            f'the cut begin at {end}; change --split, or split by scene')  # fmt: skip
        window = (start, 0, end - start, size.height) if by_column else (0, start, size.width, end - start)
        regions.append(Region(split, Window(*window), guard_px=cut - end))
    return regions


def _before_crossing(cut: int, spans: Iterable[tuple[float, float]]) -> int:
    """End of the rows or columns before the cut that no object crossing it reaches."""
    return min([cut, *(math.floor(low) for low, high in spans if low < cut < high)])

"""Whether what a run is measured on was seen in training: same file, same bytes, same object, same ground."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from fallen_trees.checks.data.tiles import Tile, tiles
from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.subject import Subject

NAME = 'leakage'


def check_leakage(subject: Subject) -> Iterator[Finding]:
    """Check each pair of splits for tiles that show the same: `leakage`."""
    found = []
    for one, two in combinations(subject.splits, 2):
        if subject.ann_file(one).resolve() == subject.ann_file(two).resolve():
            found.append(_same_split(one, two))
            continue
        first, second = tiles(subject, one), tiles(subject, two)
        for what, compare in WAYS.items():
            shared = compare(first, second)
            if shared:
                found.append(_shared(one, two, what, shared, len(second)))
                break  # the ways are ordered from the plainest; one that holds explains those after it
    yield from found or [Finding(NAME, Verdict.OK, f'{", ".join(subject.splits)} share no file, object or ground.')]


def _same_split(one: str, two: str) -> Finding:
    if one == 'train':
        return Finding(
            NAME, Verdict.ERROR, f'{two} is the training set itself: its figures say nothing about new ground.'
        )
    return Finding(
        NAME, Verdict.OK, f'{one} and {two} are the same file: what val chose is not tested on anything else.'
    )


def _shared(one: str, two: str, what: str, shared: list[str], total: int) -> Finding:
    message = (
        f'{len(shared)} of {total} tiles of {two} {what} a tile of {one}, the first {shared[0]}: figures on {two} '
        'are too '
        'good. Split by scenes or blocks: `data_prep tile` does.'
    )
    verdict = Verdict.ERROR if one == 'train' else Verdict.WARNING
    return Finding(NAME, verdict, message, dict(tiles_shared=len(shared), tiles=total))


def _same_file(first: list[Tile], second: list[Tile]) -> list[str]:
    known = {tile.path.resolve() for tile in first if tile.path.exists()}
    return [tile.path.name for tile in second if tile.path.exists() and tile.path.resolve() in known]


def _same_bytes(first: list[Tile], second: list[Tile]) -> list[str]:
    """Copies under other names. Only files of equal length are read, so that this takes no time on healthy data."""
    sizes, others = _by_size(first), _by_size(second)
    shared = []
    for size in sizes.keys() & others.keys():
        known = {_digest(tile.path) for tile in sizes[size]}
        shared += [tile.path.name for tile in others[size] if _digest(tile.path) in known]
    return sorted(shared)


def _by_size(found: list[Tile]) -> dict[int, list[Tile]]:
    sizes: dict[int, list[Tile]] = {}
    for tile in found:
        if tile.path.is_file():
            sizes.setdefault(tile.path.stat().st_size, []).append(tile)
    return sizes


def _digest(path: Path) -> str:
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _same_object(first: list[Tile], second: list[Tile]) -> list[str]:
    """Tiles with a part of the same object; ids count only where they are `scene/feature`, unique in the data set."""
    known = {a.get('object_id') for tile in first for a in tile.annotations}
    known = {number for number in known if isinstance(number, str) and '/' in number}
    return [tile.path.name for tile in second if any(a.get('object_id') in known for a in tile.annotations)]


def _same_ground(first: list[Tile], second: list[Tile]) -> list[str]:
    """Tiles whose windows of one source overlap by a pixel or more."""
    windows = _windows(first)
    shared = []
    for tile in second:
        others = windows.get(tile.entry.get('source_sha256') or tile.entry.get('source'))
        window = _window(tile)
        if others is not None and window is not None:
            x, y, width, height = window
            low = np.maximum(others[:, :2], (x, y))
            high = np.minimum(others[:, :2] + others[:, 2:], (x + width, y + height))
            if (high > low).all(axis=1).any():
                shared.append(tile.path.name)
    return shared


def _windows(found: list[Tile]) -> dict[str, np.ndarray]:
    windows: dict[str, list] = {}
    for tile in found:
        if 'source' in tile.entry and _window(tile) is not None:
            windows.setdefault(tile.entry.get('source_sha256') or tile.entry['source'], []).append(_window(tile))
    return {source: np.asarray(boxes, float) for source, boxes in windows.items()}


def _window(tile: Tile) -> list[float] | None:
    """What a tile reads of its source; without the padding past the edge, where two windows share nothing."""
    return tile.entry.get('read_xywh') or tile.entry.get('window_xywh')


WAYS: dict[str, Callable[[list[Tile], list[Tile]], list[str]]] = {
    'are the same file as': _same_file,
    'have the same bytes as': _same_bytes,
    'show ground of': _same_ground,
    'show an object of': _same_object,
}

"""Whether a packed data set is whole: every shard and COCO file there, the same bytes as were written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from data_prep.check.layout import PACK_INDEX
from data_prep.errors import DataError
from data_prep.labels.strict_json import read_json
from data_prep.pack.packing import FORMAT
from data_prep.pack.shards import label, read_label
from data_prep.tile.staging import MARKER


def verify(packed: Path, progress: Callable[[int], object] = lambda number: None) -> list[str]:
    """Hash all that a packed data set consists of.

    Args:
        packed: Its folder.
        progress: Called with 1 for each file looked at.

    Returns:
        A line for each file that is not as it was packed.

    Raises:
        DataError: If the folder is no packed data set.
    """
    marker = read_json(packed / MARKER) if (packed / MARKER).is_file() else {}
    if not isinstance(marker, dict) or marker.get('command') != 'pack':
        raise DataError(f'{packed} must be a data set that `data_prep pack` made; it has no {MARKER} that says so')
    problems = []
    for folder, pack_id in marker['packs'].items():
        problems += _folder(packed / folder, pack_id, progress)
    for path, digest in marker['annotations'].items():
        problems += _file(packed / path, digest)
        progress(1)
    return problems


def _folder(folder: Path, pack_id: str, progress: Callable[[int], object]) -> Iterator[str]:
    if not (folder / PACK_INDEX).is_file():
        yield f'{folder / PACK_INDEX} is missing'
        return
    index = read_json(folder / PACK_INDEX)
    if index.get('format') != FORMAT or index.get('pack') != pack_id:
        yield f'{folder / PACK_INDEX} belongs to pack {index.get("pack")}, this is pack {pack_id}'
        return
    for number, shard in enumerate(index['shards']):
        path, expected = folder / shard['file'], label(pack_id, number, len(index['shards']))
        found = read_label(path) if path.is_file() else expected
        if found is not None and found.startswith('pack ') and found != expected:
            yield f'{path} is of another data set: its header says {found!r}, not {expected!r}'
        else:
            yield from _file(path, shard['sha256'])
        progress(1)


def _file(path: Path, sha256: str) -> Iterator[str]:
    if not path.is_file():
        yield f'{path} is missing'
        return
    with open(path, 'rb') as file:
        if hashlib.file_digest(file, 'sha256').hexdigest() != sha256:
            yield f'{path} is not as it was packed (another sha256)'

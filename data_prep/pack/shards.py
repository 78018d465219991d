"""One shard: a plain tar of image files, and where in it each of them lies.

    shard-00003-of-00064.tar    header "pack 1f0c5bd2a9e04c77, shard 3 of 64", then the files, each at a multiple of 512

Any ``tar`` unpacks it. The same images give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.atomic import atomic_path, atomic_write
from data_prep.errors import DataError

BLOCK = tarfile.BLOCKSIZE
COMMENT = 'comment'  # of the header: which pack a shard belongs to


@dataclass(frozen=True)
class ShardTask:
    """A shard to be written, as plain data for another process.

    Attributes:
        source: Folder of the images.
        target: The tar file, in a folder that exists.
        entry: Of the journal, written when the shard is done.
        label: Which pack and shard it is.
        images: Name and bytes of each.
    """

    source: str
    target: str
    entry: str
    label: str
    images: tuple[tuple[str, int], ...]


def label(pack_id: str, number: int, shards: int) -> str:
    """What the header of a shard says."""
    return f'pack {pack_id}, shard {number} of {shards}'


def write_shard(task: ShardTask) -> None:
    """Write one shard and its entry in the journal.

    Raises:
        DataError: If an image is no longer what it was when the plan was made.
    """
    with atomic_path(task.target, sync=False) as temporary:
        with tarfile.open(temporary, 'w', format=tarfile.PAX_FORMAT, pax_headers={COMMENT: task.label}) as tar:
            offsets = [_add(tar, Path(task.source, name), name, size) for name, size in task.images]
        with open(temporary, 'rb') as file:
            digest = hashlib.file_digest(file, 'sha256').hexdigest()
        content = {
            'file': Path(task.target).name,
            'bytes': temporary.stat().st_size,
            'sha256': digest,
            'offsets': offsets,
        }  # fmt: skip
    with atomic_write(task.entry, sync=False) as file:
        file.write(json.dumps(content))


def _add(tar: tarfile.TarFile, path: Path, name: str, size: int) -> int:
    """Append one file; returns where its bytes begin."""
    content = path.read_bytes()
    if len(content) != size:
        raise DataError(f'{path} must stay as it is while it is packed; it had {size} bytes and has {len(content)}; '
                        'run again')  # fmt: skip
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    tar.addfile(member, io.BytesIO(content))
    return tar.offset - -(-size // BLOCK) * BLOCK


def read_entry(path: Path, shard: Path) -> dict[str, Any] | None:
    """Entry of a finished shard; None where it is not there, or the shard is not as it says."""
    try:
        entry = json.loads(path.read_bytes())
        return entry if shard.stat().st_size == entry['bytes'] else None
    except (FileNotFoundError, ValueError):
        return None


def read_label(shard: Path) -> str | None:
    """What the header of a shard says; None where it is no tar file."""
    try:
        with tarfile.open(shard, 'r:') as tar:
            return tar.pax_headers.get(COMMENT, '')
    except (tarfile.TarError, EOFError):
        return None

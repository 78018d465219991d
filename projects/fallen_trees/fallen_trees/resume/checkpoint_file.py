"""Checkpoints on disk: whole and verified, or not there.

    temporary file in the same folder -> sync -> read back -> manifest `NAME.json` -> rename -> `last_checkpoint`

The manifest holds the sha256 that tells a good file from a damaged one. It is there before the file, so that no file
is ever without; of a file that is written again it holds both sums until the new one is in place. A file without a
manifest, as MMEngine writes them, is good if every checksum inside the zip archive is.
"""

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from data_prep.atomic import atomic_path, atomic_write
from fallen_trees.errors import EnvironmentFailure

POINTER = 'last_checkpoint'
STEP_NAME = re.compile(r'(iter|epoch)_(\d+)\.pth')
CHUNK = 1 << 22
# What `atomic_path` calls its files on the way to a checkpoint, a manifest, the pointer.
LEFTOVER = re.compile(r'\.((iter|epoch)_\d+|best_.+|last_checkpoint)(\.pth)?\.[0-9a-f]{12}(\.pth|\.json)?')
EARLIER = 'earlier'


@dataclass(frozen=True)
class Damage:
    """A file that is no good, and why."""

    path: Path
    reason: str


def commit(path: Path, write: Callable[[Path], None], facts: Mapping[str, object]) -> None:
    """Put a checkpoint and its manifest in place of whatever had the name.

    Args:
        path: Target.
        write: Writes the checkpoint to the path it is given.
        facts: What else the manifest says, JSON types only.

    Raises:
        EnvironmentFailure: If what was written does not read back as it was. The old file is untouched.
        OSError: If the disk is full or gone. The old file is untouched.
    """
    with atomic_path(path) as temporary:
        write(temporary)
        with open(temporary, 'rb') as file:
            os.fsync(file.fileno())
        digest = sha256(temporary)
        reason = archive_damage(temporary)
        if reason is not None:
            raise EnvironmentFailure(f'the checkpoint {path} does not read back as it was written ({reason}).')
        content = {'file': path.name, 'sha256': digest, 'bytes': temporary.stat().st_size, **facts}
        # The manifest comes first and fits whatever has the name, before the rename and after it.
        before = sha256(path) if path.exists() and damage(path) is None else None
        write_manifest(path, content if before is None else {**content, 'or_sha256': before})
    if before is not None:
        write_manifest(path, content)


def sha256(path: Path) -> str:
    """Checksum of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def archive_damage(path: Path) -> str | None:
    """Say what is wrong with a file that torch wrote, by the checksums in its zip archive; None if nothing is."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, ValueError, RuntimeError) as error:
        return f'it is no whole archive: {error}'
    return f'{broken} in it is damaged' if broken else None


def manifest_path(path: Path) -> Path:
    """Where the manifest of a checkpoint lies."""
    return path.with_name(path.name + '.json')


def write_manifest(path: Path, content: Mapping[str, object]) -> None:
    """Write the manifest of a checkpoint."""
    with atomic_write(manifest_path(path)) as file:
        json.dump(content, file, indent=1)


def read_manifest(path: Path) -> dict | None:
    """The manifest of a checkpoint, or None where there is none that can be read."""
    try:
        content = json.loads(manifest_path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and isinstance(content.get('sha256'), str) else None


def damage(path: Path) -> Damage | None:
    """Verify one checkpoint; None when it is good.

    Raises:
        EnvironmentFailure: If it may not be read: nothing is known about it then.
    """
    if not path.is_file():
        return Damage(path, 'it is no file' if os.path.lexists(path) else 'it does not exist')
    if not os.access(path, os.R_OK):
        raise EnvironmentFailure(f'the checkpoint {path} may not be read: its permissions are not for this user.')
    manifest = read_manifest(path)
    try:
        if manifest is None:
            reason = archive_damage(path)
        elif sha256(path) in (manifest['sha256'], manifest.get('or_sha256')):
            reason = None
        else:
            reason = 'its sha256 is not the one in its manifest'
    except OSError as error:
        reason = f'it cannot be read: {error.strerror}'
    return Damage(path, reason) if reason else None


def age_key(path: Path) -> tuple[int, int]:
    """Order of checkpoints: by iteration, as the manifest or the name says it, then by epoch."""
    unit, number = STEP_NAME.fullmatch(path.name).groups()
    iteration = (read_manifest(path) or {}).get('iter', int(number) if unit == 'iter' else -1)
    return (iteration if isinstance(iteration, int) else -1, int(number))


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoints of single steps, newest first; the best, and damaged ones set aside, are not among them."""
    return sorted((path for path in folder.glob('*.pth') if STEP_NAME.fullmatch(path.name)), key=age_key, reverse=True)


def newest_good(folder: Path) -> tuple[Path | None, list[Damage]]:
    """Find the newest checkpoint that verifies, whatever `last_checkpoint` says, and the damaged ones above it."""
    damaged = []
    for path in checkpoints_in(folder):
        found = damage(path)
        if found is None:
            return path, damaged
        damaged.append(found)
    return None, damaged


def set_aside(path: Path) -> Path:
    """Rename a damaged checkpoint so that nothing takes it for one; nothing is deleted."""
    names = (f'{path.name}.corrupt{number}' for number in ['', *map('.{}'.format, range(2, 1000))])
    target = next(path.with_name(name) for name in names if not os.path.lexists(path.with_name(name)))
    os.replace(path, target)
    with suppress(OSError):
        manifest_path(path).unlink()
    return target


def prune(folder: Path, keep: int) -> list[Path]:
    """Remove all but the newest so many good checkpoints of single steps, manifest after file."""
    removed = []
    for path in checkpoints_in(folder)[keep:]:
        path.unlink(missing_ok=True)
        manifest_path(path).unlink(missing_ok=True)
        removed.append(path)
    return removed


def sweep(folder: Path) -> list[Path]:
    """Remove what killed saves left behind: temporary files, and manifests of files that are gone.

    Only for who alone writes to the folder.
    """
    left = [path for path in folder.glob('.*') if LEFTOVER.fullmatch(path.name) and path.is_file()]
    for path in folder.glob('*.pth.json'):
        if not path.with_suffix('').exists() and read_manifest(path.with_suffix('')) is not None:
            left.append(path)
    for path in left:
        path.unlink(missing_ok=True)
    return left


def put_away(folder: Path, iteration: int) -> Path | None:
    """Move checkpoints of later steps, the best included, to a folder `earlier`, `earlier_2`, ...

    A run that begins at this iteration did not write them; pruning and `--resume` would take them for its newest.

    Returns:
        The folder, or None if there was nothing to move.
    """
    found = [*folder.glob('best_*.pth'), *checkpoints_in(folder)]
    later = [path for path in found if iteration == 0 or _step(path) > iteration]
    if not later:
        return None
    names = (EARLIER, *(f'{EARLIER}_{number}' for number in range(2, 1000)))
    target = next(folder / name for name in names if not (folder / name).exists())
    target.mkdir()
    for path in later:
        os.replace(path, target / path.name)
        if manifest_path(path).is_file():
            os.replace(manifest_path(path), manifest_path(target / path.name))
    return target


def _step(path: Path) -> int:
    iteration = (read_manifest(path) or {}).get('iter')
    if isinstance(iteration, int):
        return iteration
    named = re.search(r'iter_(\d+)\.pth$', path.name)
    return int(named[1]) if named else -1


def point_to(path: Path) -> None:
    """Write `last_checkpoint`: the name alone, so that the folder can be moved."""
    with atomic_write(path.with_name(POINTER)) as file:
        file.write(path.name)

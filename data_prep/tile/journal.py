"""What a run has finished, so that the next one goes on where it was stopped.

    .trees.partial/journal/run.json           what the run makes: settings, sources, code
    .trees.partial/journal/00000-000012.json  a finished block: its tiles, and what was left out

An entry is written after the files of its block, and holds for as long as they have the sizes that it says: after a
power cut they may have lost their ends, for nothing is synced before the whole data set is. A block that was stopped is
done again, which gives the same files. A run that makes anything else begins anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely

from data_prep.atomic import atomic_write
from data_prep.grid import Window
from data_prep.labels.objects import SceneObject
from data_prep.labels.strict_json import write_json
from data_prep.tile.scene_tiles import SceneJob, SceneTiles, describe
from data_prep.tile.settings import Settings
from data_prep.tile.splits import Region
from data_prep.tile.staging import DATA, JOURNAL, RUN

UNSHARED = ('check', 'show', 'stats', 'convert', 'select', 'synth', 'pack')  # commands whose code makes no tile


def identity(settings: Settings, sources: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All that must be the same for a run to go on with another's work, as JSON gives it back.

    Args:
        settings: Of the run.
        sources: For each scene its name, path, sha256 and the digest of its objects.
    """
    root = Path(__file__).parents[1]
    files = [path for path in sorted(root.rglob('*.py')) if path.relative_to(root).parts[0] not in UNSHARED]
    code = hashlib.sha256(b''.join(path.read_bytes() for path in files)).hexdigest()
    versions = [np.__version__, rasterio.__version__, rasterio.__gdal_version__, shapely.__version__]
    content = {
        'settings': asdict(settings),
        'sources': {source['scene']: source for source in sources},
        'program': [code, *versions],
    }
    return json.loads(json.dumps(content))


def objects_digest(objects: Iterable[SceneObject]) -> str:
    """Hash of labels and outlines, whatever files they came from."""
    digest = hashlib.sha256()
    for item in objects:
        digest.update(json.dumps([item.object_id, item.label]).encode())
        digest.update(shapely.to_wkb(item.polygon, byte_order=1))
    return digest.hexdigest()


def begin(staging: Path, run: dict[str, Any]) -> str | None:
    """Prepare a staging folder for a run.

    Args:
        staging: Locked; work of another run in it is removed.
        run: See ``identity``.

    Returns:
        Why work that was there could not be used; None where it can, or there was none.
    """
    path, why = staging / JOURNAL / RUN, None
    if path.is_file():
        why = difference(json.loads(path.read_bytes()), run)
        if why is None:
            return None
    for name in (DATA, JOURNAL):
        shutil.rmtree(staging / name, ignore_errors=True)
        (staging / name).mkdir()
    write_json(path, run)
    return why


def difference(old: dict[str, Any], new: dict[str, Any]) -> str | None:
    """What is not the same in two runs, in words; None where all is."""
    if old == new:
        return None
    changed = [f'--{key.replace("_", "-")}' for key in _changed(old['settings'], new['settings'])]
    for name in _changed(old['sources'], new['sources']):
        pair = old['sources'].get(name), new['sources'].get(name)
        keys = _changed(*pair) if all(pair) else []
        what = 'labels' if keys and set(keys) <= {'objects', 'labels_sha256'} else 'source'
        changed.append(f'the {what} of {name}')
    return ', '.join(changed) or 'the program'


def _changed(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Keys with different values; those of a dict inside in place of its own."""
    keys = []
    for key in dict.fromkeys((*old, *new)):
        values = old.get(key), new.get(key)
        if values[0] != values[1]:
            nested = all(isinstance(value, dict) for value in values) and key in ('rule', 'files')
            keys += _changed(*values) if nested else [key]
    return keys


def note_finished(path: Path, result: SceneTiles) -> None:
    """Write the entry of a block, once its files are written."""
    rows = [[list(tile.window), tile.annotations, tile.written] for tile in result.tiles]
    content = {'tiles': rows, 'counts': result.counts, 'files': result.files}
    with atomic_write(path, sync=False) as file:
        file.write(json.dumps(content, separators=(',', ':'), allow_nan=False))  # dump is Python's, dumps is C's


def is_finished(path: Path, folder: Path) -> bool:
    """Whether a block has an entry, and all its files are in the folder of the data set."""
    try:
        files = json.loads(path.read_bytes())['files']
        return all(os.path.getsize(folder / file) == size for file, size in files.items())
    except (FileNotFoundError, ValueError):
        return False


def read_finished(path: Path, job: SceneJob, region: Region) -> SceneTiles:
    """Tiles of a finished block."""
    content = json.loads(path.read_bytes())
    tiles = []
    for window, parts, written in content['tiles']:
        tile = describe(job, region, Window(*window), parts)
        tile.written = written
        tiles.append(tile)
    return SceneTiles(tiles, Counter(content['counts']))

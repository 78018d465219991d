"""Which split of the training data a scene belongs to: settings may be chosen on validation scenes alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from data_prep.errors import DataError
from data_prep.imagery.rasters import sha256
from data_prep.labels.strict_json import read_json

WHY = {
    'train': 'the checkpoint was trained on it, and knows it better than any new scene',
    'test': 'it is of the test split, which must stay unseen for an honest score',
}
ALLOW = 'pass validation scenes, or --any-scene if you mean it'


def require_validation(scenes: Mapping[str, Path], files: Mapping[str, Path | None]) -> list[str]:
    """Refuse scenes of training and of the test split; a scene of which both saw parts is of both.

    Args:
        scenes: Rasters by name.
        files: COCO files of the splits 'train', 'val' and 'test'; None where there is none.

    Returns:
        Notes on what nobody knows.

    Raises:
        DataError: If a scene is not free, or a file is no COCO file.
    """
    known = {split: _sources(path) for split, path in files.items() if path is not None}
    notes = []
    for name, path in scenes.items():
        digest = sha256(path)
        of = [split for split in WHY if split in known and (digest in known[split][0] or name in known[split][1])]
        if of:
            raise DataError(f'{path} is of the {of[0]} split of {files[of[0]]}: {WHY[of[0]]}; {ALLOW}')
        alike = [split for split in WHY if split in known and name in known[split][2]]
        if alike:
            notes.append(f'{path} has the name of a scene of the {alike[0]} split, and other pixels')
    missing = [split for split in WHY if split not in known]
    if missing:
        notes.append(
            f'nobody knows whether a scene was used before: no file of the {" or ".join(missing)} split is where the '
            'config names it; say --cfg-options data_root=FOLDER'
        )
    return notes


def _sources(path: Path) -> tuple[set[str], set[str], set[str]]:
    """Checksums of the scenes of a split, names of those without, names of those with."""
    content = read_json(path)
    images = content.get('images') if isinstance(content, dict) else None
    if not isinstance(images, list):
        raise DataError(f"{path} is no COCO file: it has no list 'images'")
    named: dict[str, set] = defaultdict(set)
    for image in images:
        if isinstance(image, dict) and image.get('scene') is not None:
            named[str(image['scene'])].add(image.get('source_sha256'))
    sums = {digest for digests in named.values() for digest in digests if digest}
    return sums, {name for name, digests in named.items() if None in digests}, set(named)

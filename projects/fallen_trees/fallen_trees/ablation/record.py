"""What a unit has done so far, in `unit.json` of its folder: written whole after every step, so that no kill loses one.

settings   of the run, from before its first process
spent      seconds of processes that ended under the ablation's eyes, and when the present one began
trained    best checkpoint, its iteration, the figures of the validation there, the commit
tests      by test set: figures, settings, commit
failed     the last failure, until the unit is tried again
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

from data_prep.atomic import atomic_write
from fallen_trees.errors import ConfigError
from fallen_trees.resume.checkpoint_file import read_manifest

FILE = 'unit.json'
LOG = 'unit.log'


def read_record(folder: Path) -> dict:
    """Read the record of a unit; an empty one where nothing has been done.

    Raises:
        ConfigError: If the file is not what `write_record` wrote.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ConfigError(f'{path} is damaged ({error}); move the folder {folder} away.') from error
    if not isinstance(record, dict):
        raise ConfigError(f'{path} is no record of a unit; move the folder {folder} away.')
    return record


def write_record(folder: Path, record: dict) -> None:
    """Write the record of a unit; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / FILE) as file:
        json.dump(record, file, indent=1)


def clock_in(record: dict, stage: str, folder: Path) -> None:
    """Note that a process begins; of one whose end nobody saw, the time until its last word counts."""
    begun, log = record.pop('running', None), folder / LOG
    if begun is not None and log.is_file():
        _spend(record, begun['stage'], log.stat().st_mtime - begun['at'])
    record['running'] = dict(stage=stage, at=time.time())
    record.pop('failed', None)


def clock_out(record: dict, seconds: float) -> None:
    """Note that the process ended."""
    _spend(record, record.pop('running')['stage'], seconds)


def _spend(record: dict, stage: str, seconds: float) -> None:
    spent = record.setdefault('spent', {})
    spent[stage] = round(spent.get(stage, 0) + max(0.0, seconds), 1)


def best_checkpoint(folder: Path, metric: str) -> dict | None:
    """The best checkpoint of a run that is over, and the validation's figures at its iteration.

    Returns:
        `best`, the name of the file, `iter` and `figures`; None when there is no such checkpoint.
    """
    found = [(read_manifest(path) or {}, path) for path in folder.glob(f'best_{metric.replace("/", "_")}_*.pth')]
    found = [(manifest, path) for manifest, path in found if metric in manifest]
    if not found:
        return None
    # Of two, a kill has left the older one: a later one was saved because it is better.
    manifest, path = max(found, key=lambda item: item[0]['iter'])
    figures = _validation_at(folder, manifest['iter'], metric) | {metric: manifest[metric]}
    return dict(best=path.name, iter=manifest['iter'], figures=figures)


def _validation_at(folder: Path, iteration: int, metric: str) -> dict[str, float]:
    """The figures of one validation, from what MMEngine logs; nothing where it does not log to files."""
    figures: dict[str, float] = {}
    for row in scalars(folder):
        if row.get('step') == iteration and metric in row:
            figures = {key: value for key, value in row.items() if '/' in key}
    return figures


def scalars(folder: Path) -> Iterator[dict]:
    """Lines of MMEngine's logs in a work dir, the parts of a resumed run in their order; a later one counts."""
    for path in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # cut off by a kill
                continue
            if isinstance(row, dict):
                yield row


def read_figures(path: Path) -> dict[str, float] | None:
    """The figures in a `metrics.json`, or None where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return {k: v for k, v in content.items() if isinstance(v, int | float)} if isinstance(content, dict) else None

"""What a trial has done so far, in `trial.json` of its folder, for people and scripts; the study holds what counts."""

import json
import time
from pathlib import Path

from data_prep.atomic import atomic_write

FILE = 'trial.json'


def write_record(folder: Path, content: dict) -> None:
    """Write it; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / FILE) as file:
        json.dump(content, file, indent=1)


def spent_before(folder: Path) -> float:
    """Seconds of the attempts before this one, as far as anybody saw them."""
    try:
        content = json.loads((folder / FILE).read_text(encoding='utf-8'))
        return max(0.0, float(content.get('seconds') or 0.0))
    except (OSError, ValueError, TypeError, AttributeError):
        return 0.0


def remove_checkpoints(folder: Path, keep_newest: bool) -> None:
    """Delete what a run no longer needs: `iter_N.pth`, all but the newest or all. Best weights stay."""
    found = sorted(folder.glob('iter_*.pth'), key=lambda path: (path.stat().st_mtime, path.name))
    for path in found[:-1] if keep_newest else found:
        for file in (Path(f'{path}.json'), path):
            file.unlink(missing_ok=True)


def now() -> str:
    """The time, for a record."""
    return time.strftime('%Y-%m-%dT%H:%M:%S%z')

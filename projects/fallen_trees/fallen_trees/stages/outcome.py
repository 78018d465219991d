"""What a training run came to: its checkpoint, and loss and score of every validation, so that overfitting shows."""

import statistics
from pathlib import Path

from fallen_trees.ablation.record import best_checkpoint, scalars
from fallen_trees.errors import ConfigError
from fallen_trees.resume.checkpoint_file import read_manifest

VAL_LOSS = 'val/loss'
POINTER = 'last_checkpoint'


def outcome(folder: Path, metric: str, which: str) -> dict[str, object]:
    """Read a finished run.

    Args:
        folder: Its work dir.
        metric: By which the best checkpoint was chosen.
        which: 'best' or 'last'.

    Returns:
        `checkpoint`, name of the file; `iter`; `curve`, for each validation its `iter`, `train_loss` (mean since the
        one before), `val_loss` and `score`; and `at`, the entry of the checkpoint's iteration.

    Raises:
        ConfigError: If there is no such checkpoint.
    """
    best = best_checkpoint(folder, metric)
    if which == 'best':
        if best is None:
            raise ConfigError(f'the process ended well, but {folder} holds no best_{metric.replace("/", "_")}_*.pth: '
                              'was it validated?')  # fmt: skip
        name, iteration = best['best'], best['iter']
    else:
        name = _last(folder)
        iteration = (read_manifest(folder / name) or {})['iter']
    rows = curve(folder, metric)
    at = next((row for row in rows if row['iter'] == iteration), {})
    return dict(checkpoint=name, iter=iteration, at=at, curve=rows)


def _last(folder: Path) -> str:
    pointer = folder / POINTER
    name = Path(pointer.read_text(encoding='utf-8').strip()).name if pointer.is_file() else ''
    if not name or not (folder / name).is_file():
        raise ConfigError(f'the process ended well, but {folder} holds no last checkpoint.')
    return name


def curve(folder: Path, metric: str) -> list[dict[str, float]]:
    """Losses and score of every validation of a run, in all its parts; what is not there is left out."""
    train: dict[int, float] = {}
    validations: dict[int, dict[str, float]] = {}
    for row in scalars(folder):
        step = row.get('step')
        if not isinstance(step, int):
            continue
        if 'loss' in row:
            train[step] = row['loss']
        for key, name in ((VAL_LOSS, 'val_loss'), (metric, 'score')):
            if key in row:
                validations.setdefault(step, {})[name] = row[key]
    rows, begin = [], 0
    for step in sorted(validations):
        losses = [loss for at, loss in train.items() if begin < at <= step]
        mean = dict(train_loss=statistics.fmean(losses)) if losses else {}
        rows.append(dict(iter=step, **mean, **validations[step]))
        begin = step
    return rows

"""What a checkpoint was tuned to, as it travels in the checkpoint itself: `meta['scene_settings']`.

It lies in the file and not beside it, so that who copies the checkpoint copies it too, and it can fit no other one.
A run that trains on writes `meta` anew, without it: other weights want to be tuned again.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

from data_prep.errors import DataError
from tree_map.joining.settings import JoinSettings

TUNED_KEY = 'scene_settings'


@dataclass(frozen=True)
class SceneSettings:
    """A checkpoint's settings for whole scenes.

    Attributes:
        score_thr: Pieces of trees that score lower are left out.
        joining: What differs from the defaults of joining, as `JoinSettings.at` takes it.
        scenes: Names of the scenes that they were tuned on.
        f1: That was reached there, at IoU 0.5.
        checkpoint_sha256: Of the file before it was tuned.
    """

    score_thr: float
    joining: dict[str, float] = field(default_factory=dict)
    scenes: tuple[str, ...] = ()
    f1: float | None = None
    checkpoint_sha256: str = ''

    def told(self, asked: float | None = None) -> str:
        """A line for the user and the map; `asked` is a threshold that the user gave in place of this one."""
        joining = ', '.join(f'{name} {value:g}' for name, value in self.joining.items()) or 'as by default'
        many = len(self.scenes) > 3
        scenes = ', '.join(self.scenes[:3]) + (f' and {len(self.scenes) - 3} more' if many else '')
        threshold = f'Score threshold {self.score_thr:.3f}, joining' if asked is None else 'Joining'
        return f'{threshold} {joining}: tuned on the scenes {scenes or "unknown"}.'

    def as_plain(self) -> dict[str, object]:
        """Plain types, for the checkpoint."""
        return {**asdict(self), 'scenes': list(self.scenes)}


def read_settings(content: object, checkpoint: str | Path) -> SceneSettings | None:
    """Read what a checkpoint holds.

    Args:
        content: Under `TUNED_KEY` in its `meta`; None in one that was not tuned.
        checkpoint: Where it comes from.

    Raises:
        DataError: If it is not what `tune` writes.
    """
    if content is None:
        return None
    try:
        found = SceneSettings(
            float(content['score_thr']),
            {str(name): float(value) for name, value in content['joining'].items()},
            tuple(map(str, content['scenes'])),
            None if content['f1'] is None else float(content['f1']),
            str(content['checkpoint_sha256']),
        )
        JoinSettings.at(1.0, found.joining)
        sound = 0 <= found.score_thr <= 1 and all(map(math.isfinite, found.joining.values()))
    except (KeyError, TypeError, ValueError, AttributeError):
        sound = False
    if not sound:
        raise DataError(
            f'the checkpoint {checkpoint} must hold in meta.{TUNED_KEY} what `python -m tree_map tune` writes; got '
            f'{str(content)[:100]}; tune it again with this version, from the checkpoint before it was tuned'
        )
    return found

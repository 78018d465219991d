"""Texts on their way into files: what no file can hold is refused, and values of the provenance become text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data_prep.errors import DataError
from tree_map.scene_map import SceneMap


def check_text(scene_map: SceneMap, path: Path) -> None:
    """Refuse texts that files of tables end at or cannot encode.

    Raises:
        DataError: If a text holds a NUL or half a character (a lone surrogate).
    """
    for frame in (scene_map.trees, scene_map.centrelines, scene_map.cells):
        for name in frame.columns[frame.dtypes == 'object']:
            for value in frame[name].dropna().unique():
                _check(str(value), f"{path}: '{name}'")
    for key, value in provenance_text(scene_map).items():
        _check(f'{key}{value}', f"{path}: provenance '{key}'")


def _check(text: str, where: str) -> None:
    if '\0' in text or not text.isascii() and any('\ud800' <= letter <= '\udfff' for letter in text):
        raise DataError(f'{where} must hold text that a file can hold; got {text[:60]!r}; rename it in the data')


def provenance_text(scene_map: SceneMap) -> dict[str, str | None]:
    """Provenance with every value as text: texts as they are, all else as JSON; ``unread_windows`` added."""
    return {key: value if value is None or isinstance(value, str) else as_json(value)
            for key, value in provenance(scene_map).items()}  # fmt: skip


def provenance(scene_map: SceneMap) -> dict[str, Any]:
    """Provenance with the windows that could not be read, ready for JSON: NaN and infinities become null."""
    return {**plain(scene_map.provenance), 'unread_windows': plain(scene_map.unread)}


def plain(value: Any) -> Any:
    """A value that JSON can hold; numbers and arrays of numpy become Python's."""
    if hasattr(value, 'tolist'):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value if value is None or isinstance(value, str | int) else str(value)


def as_json(value: Any) -> str:
    """One line of JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)

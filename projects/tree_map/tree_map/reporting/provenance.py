"""How maps were made, as words: what all scenes share, and what each has of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tree_map.reporting.tables import Table

WORDS = {
    'config': 'config',
    'checkpoint': 'checkpoint',
    'checkpoint_sha256': 'SHA-256 of the checkpoint',
    'commit': 'commit',
    'created': 'mapped',
    'classes': 'classes',
    'score_thr': 'score threshold of the map',
    'joining': 'joining',
    'tta': 'seen from eight sides',
    'amp': 'half precision',
    'source': 'raster',
    'source_sha256': 'SHA-256 of the raster',
    'width': 'width, px',
    'height': 'height, px',
    'gsd_m': 'pixel that the network saw, m',
    'scale': 'its pixels per source pixel',
    'bands': 'bands',
    'stretch_lo_hi': 'stretch',
    'window_px': 'window, px',
    'windows': 'windows',
    'transform': 'transform',
    'nodata': 'nodata',
    'unread_windows': 'windows not read',
}
FIRST = (
    'created',
    'config',
    'checkpoint',
    'checkpoint_sha256',
    'commit',
    'classes',
    'score_thr',
    'joining',
    'tta',
    'amp',
)
LEFT_OUT = ('scenes', 'scene', 'file_name')
SETTINGS = {
    'score_thr': 'score threshold',
    'iou_thr': 'IoU from which a tree is found right',
    'tolerance_m': 'centrelines may be off by, m',
    'border_m': 'borders may be off by, m',
    'replicates': 'bootstrap replicates',
    'seed': 'seed of the bootstrap',
    'level': 'level of the intervals',
    'block_m': 'side of a block, m',
}


def made_tables(
    names: Sequence[str], known: Sequence[Mapping[str, Any]], scores: Mapping[str, Any] | None
) -> list[Table]:
    """What all scenes share, what each has of its own, and how they were scored.

    Args:
        names: Of the scenes.
        known: Provenance of each.
        scores: ``Scores.to_json()``, or None.
    """
    shared = {key: value for key, value in known[0].items() if all(item.get(key) == value for item in known)}
    tables = [Table([], _rows(shared), 'Map' if len(names) > 1 else '')]
    if len(names) > 1:
        tables += [Table([], _rows({key: value for key, value in item.items() if key not in shared}), name)
                   for name, item in zip(names, known, strict=True)]  # fmt: skip
    if scores is not None:
        rows = [[SETTINGS.get(key, key), _text(value)] for key, value in scores['settings'].items()]
        units = scores['units']
        rows.append(['intervals are drawn over', f'{units["count"]} {units["kind"]}s'])
        tables.append(Table([], rows, 'Scoring'))
    return [table for table in tables if table.rows]


def _rows(known: Mapping[str, Any]) -> list[list[str]]:
    keys = [key for key in FIRST if key in known] + [key for key in known if key not in (*FIRST, *LEFT_OUT)]
    return [[WORDS.get(key, key), _text(known[key])] for key in keys]


def _text(value: Any) -> str:
    if value is None:
        return 'none'
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)

"""What the page's script knows of a scene: outlines as paths, and columns of measures, as short as JSON allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from tree_map.reporting.outlines_svg import STEP_PX, in_pixels, paths
from tree_map.reporting.picture import Picture, Source
from tree_map.reporting.verdicts import Verdicts
from tree_map.scoring.scored_scene import ScoredScene

# Shown of a tree: column, heading, decimals.
SHOWN = (
    ('length_m', 'length, m', 1),
    ('diameter_mid_m', 'diameter half-way, m', 2),
    ('volume_m3', 'volume, m³', 2),
    ('azimuth_deg', 'azimuth, °', 0),
)
ENDS = {'length_m': ('length_lo_m', 'length_hi_m'), 'diameter_mid_m': ('diameter_mid_lo_m', 'diameter_mid_hi_m'),
        'volume_m3': ('volume_lo_m3', 'volume_hi_m3')}  # fmt: skip


@dataclass(frozen=True)
class ReportScene:
    """One scene of a report.

    Attributes:
        scored: Its trees.
        source: Its pixels; None where the raster is not there, and outlines are drawn on plain ground.
        size_wh: Source pixels.
        provenance: How its map was made.
        rows: All columns of the map's trees, to be looked up by ``tree_id``; empty where there are none.
    """

    scored: ScoredScene
    source: Source | None
    size_wh: tuple[int, int]
    provenance: dict[str, Any]
    rows: pd.DataFrame


def scene_data(scene: ReportScene, verdicts: Verdicts, picture: Picture | None, most_bytes: int) -> dict[str, Any]:
    """Make what the script reads, ready for JSON.

    Args:
        scene: The scene.
        verdicts: Of its trees.
        picture: Overview that the page holds, or None.
        most_bytes: For all outlines.
    """
    scored = scene.scored
    share = len(scored.found) / max(len(scored.found) + len(scored.truth), 1)
    return {
        'name': scored.name,
        'width': scene.size_wh[0],
        'height': scene.size_wh[1],
        'gsd': scored.gsd_m,
        'step': STEP_PX,
        'picture': None if picture is None else list(picture.size_wh),
        'found': {
            **_columns(scored.found, scored.plane_to_pixel, int(most_bytes * share)),
            'score': _numbers(scored.found['score'], 3),
            'verdict': verdicts.found,
            'partner': verdicts.partner_of_found.tolist(),
            'iou': _numbers(verdicts.iou, 3),
            'intervals': _intervals(scored.found, scene.rows),
        },
        'truth': {
            **_columns(scored.truth, scored.plane_to_pixel, int(most_bytes * (1 - share))),
            'verdict': verdicts.truth,
            'partner': verdicts.partner_of_truth.tolist(),
        },
    }


def _columns(trees: gpd.GeoDataFrame, plane_to_pixel: Sequence[float], most_bytes: int) -> dict[str, Any]:
    outlines = in_pixels(trees.geometry.to_numpy(), plane_to_pixel)
    boxes = shapely.bounds(outlines).reshape(-1, 4)
    return {
        'id': [str(name) for name in trees['tree_id']],
        'class': [str(name) for name in trees['class']],
        'direction': [name if name in ('fall', 'axis') else None for name in trees['direction']],
        'path': paths(outlines, most_bytes),
        'box': np.rint(boxes).astype(int).tolist(),
        'measures': {name: _numbers(trees[name], decimals) for name, _, decimals in SHOWN},
    }


def _intervals(found: gpd.GeoDataFrame, rows: pd.DataFrame) -> dict[str, list]:
    """Ends of the intervals of the measures, where the map has them: ``[lo, hi]`` or None for each found tree."""
    if 'tree_id' not in rows:
        return {}
    rows = rows.drop_duplicates('tree_id').set_index('tree_id').reindex(found['tree_id'])
    made = {}
    for name, _, decimals in SHOWN:
        low, high = ENDS.get(name, ('', ''))
        if low in rows and high in rows and rows[low].notna().any():
            pairs = zip(_numbers(rows[low], decimals), _numbers(rows[high], decimals), strict=True)
            made[name] = [None if None in pair else list(pair) for pair in pairs]
    return made


def _numbers(values: Sequence[float], decimals: int) -> list[float | None]:
    """Rounded; None where not known."""
    values = np.asarray(values, float)
    return [round(float(value), decimals) if np.isfinite(value) else None for value in values]

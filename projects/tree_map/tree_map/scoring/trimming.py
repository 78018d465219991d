"""Trees of a map and of labels made alike: cut at the edge of the ground looked at, with all measures."""

from __future__ import annotations

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from data_prep.polygons import polygon_parts
from tree_map.measuring import measure
from tree_map.scoring.scored_scene import MEASURES

WHOLE = 0.999  # share of a tree on the ground looked at: below it the tree is measured anew
NUMBERS = [name for name in MEASURES if name != 'direction']


def on_ground(frame: gpd.GeoDataFrame, ground: shapely.Geometry) -> gpd.GeoDataFrame:
    """Trees with an area on the ground, clipped to it; ``inside`` is the share of the whole tree that is left.

    Args:
        frame: Outlines, valid; ``inside``, where it is there, is the share that had been left before.
        ground: In the same plane.
    """
    shapes = frame.geometry.to_numpy().copy()
    whole = shapely.area(shapes)
    shapely.prepare(ground)
    cut = np.flatnonzero(~shapely.covers(ground, shapes))
    for place, shape in zip(cut, shapely.intersection(shapes[cut], ground), strict=True):
        shapes[place] = polygon_parts(shape)
    left = np.nan_to_num(shapely.area(shapes))
    before = frame['inside'].to_numpy(float) if 'inside' in frame else np.ones(len(frame))
    frame = frame.set_geometry(shapes).assign(inside=before * left / whole)
    return frame[left > 0].reset_index(drop=True)


def with_measures(frame: gpd.GeoDataFrame, gsd_m: float) -> gpd.GeoDataFrame:
    """Trees with the columns ``MEASURES`` and ``centreline``: what is given stays, the rest comes from the outlines.

    Args:
        frame: Outlines in metres, with ``inside``. A tree of which a part was cut off loses what was given, which was
            said of the whole.
        gsd_m: Side of a pixel that the outlines were drawn in, m.
    """
    frame = _given(frame.reset_index(drop=True))
    lines = np.array(frame['centreline'], object)
    missing = np.array([line is None for line in lines], bool) | frame[NUMBERS].isna().any(axis=1).to_numpy()
    rows = np.flatnonzero(missing)
    table, found = measure(frame.geometry.to_numpy()[rows], gsd_m)
    table.index = rows
    axes = rows[frame['azimuth_deg'].isna().to_numpy()[rows]]
    frame.loc[axes, 'direction'] = table['direction'].astype(object)[axes]
    for name in NUMBERS:
        frame[name] = frame[name].fillna(table[name])
    for row, line in zip(rows, found, strict=True):
        lines[row] = line if lines[row] is None else lines[row]
    frame['centreline'] = pd.Series(lines, dtype=object)
    return frame


def _given(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """All columns, with what was said of whole trees; an azimuth without direction is one of fall."""
    for name in NUMBERS:
        frame[name] = pd.to_numeric(frame[name], errors='coerce').astype(float) if name in frame else np.nan
    for name in ('direction', 'centreline'):
        values: Sequence[object] = frame[name] if name in frame else [None] * len(frame)
        frame[name] = pd.Series([None if value != value else value for value in values], dtype=object)
    cut = (frame['inside'] < WHOLE).to_numpy(bool)
    frame.loc[cut, NUMBERS] = np.nan
    frame.loc[cut, ['direction', 'centreline']] = None
    frame.loc[frame['azimuth_deg'].notna() & frame['direction'].isna(), 'direction'] = 'fall'
    frame.loc[frame['azimuth_deg'].isna(), 'direction'] = None
    return frame

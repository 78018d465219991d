"""From joined trees to the layers of a map: placed, measured, summed, with how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from data_prep.imagery.rasters import sha256
from tree_map.cells import cells
from tree_map.measuring import measure
from tree_map.outlines import smooth
from tree_map.pieces import Trees
from tree_map.placing import Placing, placing_of
from tree_map.predicting.scene import Scene
from tree_map.predicting.windows import Plan
from tree_map.scene_map import SceneMap

SMOOTH_PX = 0.5  # how far an outline may be moved to make it smoother


@dataclass(frozen=True)
class Looked:
    """What was looked at in a scene, and what could not be.

    Attributes:
        windows_xywh: In pixels of the grid, (w, 4).
        unreadable: Why a window could not be read, by its row in the plan.
    """

    windows_xywh: NDArray[np.int64]
    unreadable: Mapping[int, str]


def assemble(
    scene: Scene,
    plan: Plan,
    trees: Trees,
    looked: Looked,
    classes: Sequence[str],
    made: Mapping[str, object],
    cell_size_m: float,
) -> SceneMap:
    """Make the map of a scene.

    Args:
        scene: That was looked at.
        plan: Of its windows.
        trees: In pixels of its grid.
        looked: At which windows.
        classes: Names, by label.
        made: What provenance says of the network and its settings.
        cell_size_m: Side of the cells.

    Returns:
        All layers in the scene's CRS; without one in (x, -y) of source pixels. Where nobody knows the size of a pixel
        in metres, the trees have no measures and the other layers no rows.
    """
    placing = placing_of(scene)
    frame = gpd.GeoDataFrame(
        {
            'tree_id': np.arange(1, len(trees) + 1),
            'class': [classes[label] for label in trees.labels],
            'score': trees.scores.round(4),
            'parts': trees.parts,
            'seam_joined': trees.seam_joined,
            'scene': scene.path.stem,
        },
        geometry=placing.on_map(smooth(trees.polygons, SMOOTH_PX)),
        crs=placing.crs,
    )
    seen = placing.on_map(np.array([ground(plan, looked.windows_xywh)], dtype=object))
    unread = [
        {'scene': scene.path.stem, 'window_xywh': plan.windows_xywh[number].tolist(), 'reason': reason}
        for number, reason in looked.unreadable.items()
    ]
    layers = measured(frame, placing, scene, seen, cell_size_m)
    return SceneMap(*layers, provenance={**provenance(scene, plan), **made}, unread=unread)


def ground(plan: Plan, windows_xywh: NDArray[np.int64]) -> shapely.Geometry:
    """What of a scene was looked at, in pixels of its grid."""
    x, y, width, height = np.asarray(windows_xywh, float).reshape(-1, 4).T
    _, _, right, bottom = plan.grid.window
    return shapely.union_all(shapely.box(x, y, np.minimum(x + width, right), np.minimum(y + height, bottom)))


def measured(
    frame: gpd.GeoDataFrame, placing: Placing, scene: Scene, seen: NDArray[np.object_], cell_size_m: float
) -> tuple[gpd.GeoDataFrame, ...]:
    """Trees with their measures, their centrelines, and the cells; the trees alone where nobody knows a metre."""
    if placing.plane is None and placing.metres is None:
        return (frame,)
    polygons = placing.in_metres(np.asarray(frame.geometry, dtype=object))
    table, lines = measure(polygons, scene.gsd_m)
    frame = gpd.GeoDataFrame(pd.concat([frame.drop(columns='geometry'), table], axis=1), geometry=frame.geometry)
    has = np.array([line is not None for line in lines], bool)
    centrelines = gpd.GeoDataFrame(
        frame.loc[has, ['tree_id', 'class', 'score', 'length_m', 'azimuth_deg', 'direction']],
        geometry=placing.from_metres(lines[has]),
        crs=placing.crs,
    )
    in_plane = gpd.GeoDataFrame(table[has].reset_index(drop=True), geometry=lines[has])
    squares = cells(in_plane, cell_size_m, placing.in_metres(seen)[0])
    squares = squares.set_geometry(placing.from_metres(np.asarray(squares.geometry, dtype=object)), crs=placing.crs)
    return frame, centrelines, squares


def provenance(scene: Scene, plan: Plan) -> dict[str, object]:
    """What a map says of its scene and of how it was cut."""
    info = scene.info
    return {
        'scene': scene.path.stem,
        'created': datetime.now(UTC).isoformat(timespec='seconds'),
        'file_name': scene.path.name,
        'width': info.width,
        'height': info.height,
        'transform': list(info.transform[:6]),
        'source': str(scene.path),
        'source_sha256': sha256(scene.path),
        'bands': list(scene.bands),
        'stretch_lo_hi': scene.limits,
        'scale': info.scale,
        'nodata': info.nodata,
        'gsd_m': scene.gsd_m,
        'window_px': plan.windows_xywh[0, 2:].tolist(),
        'windows': len(plan.windows_xywh),
    }


def together(maps: Sequence[SceneMap]) -> SceneMap:
    """One map of several scenes with one CRS; `scene` tells the trees of each, and they are numbered anew."""
    if len(maps) == 1:
        return maps[0]
    first, layers = 0, {'trees': [], 'centrelines': [], 'cells': []}
    for item in maps:
        for name, frames in layers.items():
            frame = getattr(item, name)
            frames.append(frame.assign(tree_id=frame.tree_id + first) if 'tree_id' in frame else frame)
        first += len(item.trees)
    joined = {
        name: gpd.GeoDataFrame(pd.concat(frames, ignore_index=True), geometry='geometry', crs=maps[0].crs)
        for name, frames in layers.items()
    }
    shared = {key: value for key, value in maps[0].provenance.items()
              if all(item.provenance.get(key) == value for item in maps)}  # fmt: skip
    shared |= {'scene': ', '.join(item.provenance['scene'] for item in maps), 'created': maps[-1].provenance['created']}
    shared['scenes'] = [item.provenance for item in maps]
    return SceneMap(**joined, provenance=shared, unread=[entry for item in maps for entry in item.unread])

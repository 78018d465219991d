"""A map as a scene of a report where nothing is labelled: found trees in a plane of metres, and no truth."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from data_prep.errors import DataError
from data_prep.grid import Grid
from data_prep.imagery.rasters import RasterInfo
from tree_map.scoring.found_maps import FoundScene
from tree_map.scoring.plane import Plane, plane_of
from tree_map.scoring.scored_scene import MEASURES, ScoredScene


def unlabelled(scene: FoundScene, info: RasterInfo | None, gsd_of_scene: float | None = None) -> ScoredScene:
    """Place the trees of a map.

    Args:
        scene: As read from a map.
        info: Header of its raster, where that is there.
        gsd_of_scene: Side of a source pixel, m, of a scene without a CRS.

    Raises:
        DataError: If nobody knows where the scene lies, or how long a metre is.
    """
    header = scene.info or info
    if header is None:
        raise DataError(f'{scene.file} does not say the CRS of {scene.name}, and its raster is not there; pass '
                        f'--scenes FOLDER')  # fmt: skip
    told, scale = scene.provenance.get('gsd_m'), scene.provenance.get('scale') or 1.0
    plane = plane_of(header, gsd_of_scene or (told * scale if told else None))
    order = np.argsort(-scene.trees['score'].to_numpy(float), kind='stable')
    trees = scene.trees.iloc[order].reset_index(drop=True)
    frame = pd.DataFrame({'tree_id': trees['tree_id'].astype(int), 'class': trees['class'].astype(object),
                          'score': trees['score'].astype(float)})  # fmt: skip
    for name in MEASURES:
        kind = object if name == 'direction' else float
        frame[name] = trees[name].astype(kind) if name in trees else pd.Series([None] * len(trees), dtype=kind)
    frame['centreline'] = pd.Series([scene.lines.get(key) for key in frame['tree_id']], dtype=object)
    found = gpd.GeoDataFrame(frame, geometry=_placed(scene, trees, plane))
    truth = found.drop(columns='score').iloc[:0]
    return ScoredScene(scene.name, truth, found, _ground(scene, plane), plane.gsd_m, plane.plane_to_pixel)


def _placed(scene: FoundScene, trees: gpd.GeoDataFrame, plane: Plane) -> np.ndarray:
    shapes = trees.geometry.to_numpy()
    if scene.info is None:
        return plane.from_crs(shapes, trees.crs, str(scene.file))
    if trees.crs is None:  # (x, -y) in source pixels
        return plane.from_pixels(shapely.transform(shapes, lambda xy: xy * (1, -1)))
    return plane.from_map(shapes)


def _ground(scene: FoundScene, plane: Plane) -> shapely.Geometry:
    """The scene without the windows that could not be read."""
    grid = Grid((plane.info.width, plane.info.height), scene.provenance.get('scale') or 1.0)
    boxes = []
    for entry in scene.provenance.get('unread_windows') or ():
        x, y, width, height = np.array(entry['window_xywh']) * (grid.step_xy * 2)
        boxes.append(shapely.box(x, y, x + width, y + height))
    unread = plane.from_pixels(np.array([shapely.union_all(boxes)], object))[0]
    return shapely.difference(plane.extent, unread)

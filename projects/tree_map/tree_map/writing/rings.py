"""Outlines in source pixels for formats that know rings alone: polygons with holes are cut until none has one."""

from __future__ import annotations

import numpy as np
import shapely

from data_prep.polygons import DECIMALS, polygon_parts
from tree_map.scene_map import SceneMap


def in_pixels(scene_map: SceneMap) -> np.ndarray:
    """Outlines of the trees in source pixels, y down, (n,) object."""
    a, b, c, d, e, f = scene_map.pixel_to_map
    back = np.linalg.inv(np.array([[a, b], [d, e]]))
    return shapely.transform(scene_map.trees.geometry.to_numpy(), lambda xy: (xy - (c, f)) @ back.T)


def rings(polygon: shapely.Geometry) -> list[np.ndarray]:
    """Outer rings (V, 2) that together cover a polygon or multi-polygon, holes left free, rounded to 0.001 px.

    The last vertex does not repeat the first. A part with a hole comes as several rings that share edges.
    """
    solid = [piece for part in shapely.get_parts(polygon) for piece in without_holes(part)]
    rounded = [np.round(np.asarray(piece.exterior.coords)[:-1], DECIMALS) + 0.0 for piece in solid]
    return [ring for ring in rounded if len(ring) >= 3 and shapely.Polygon(ring).area > 0]


def without_holes(polygon: shapely.Polygon) -> list[shapely.Polygon]:
    """Cut a polygon from top to bottom through its holes; the pieces add up to it."""
    if not len(polygon.interiors):
        return [polygon]
    hole = max(polygon.interiors, key=lambda ring: shapely.Polygon(ring).area)
    x0, y0, x1, y1 = polygon.bounds
    middle = (hole.bounds[0] + hole.bounds[2]) / 2
    halves = [shapely.box(x0, y0, middle, y1), shapely.box(middle, y0, x1, y1)]
    found = [polygon_parts(shapely.intersection(polygon, half)) for half in halves]
    return [piece for part in found if part is not None for single in shapely.get_parts(part)
            for piece in without_holes(single)]  # fmt: skip

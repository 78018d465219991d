"""From pixels of a scene's grid to its CRS, and to a plane in which lengths are metres."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from tree_map.predicting.scene import Scene

Geometries = NDArray[np.object_]
FLIPPED = Affine(1, 0, 0, 0, -1, 0)  # pixels of a scene that lies nowhere: north is up


@dataclass(frozen=True)
class Placing:
    """Where a scene's pixels lie.

    Attributes:
        to_map: From corners of the grid's pixels to the scene's CRS; without one to (x, -y) in source pixels.
        crs: Of the scene, None for one that lies nowhere.
        plane: A projected CRS around the scene where its own is in degrees, else None.
        metres: Of a unit of the CRS, or of a source pixel of a scene without one; None where nobody knows.
    """

    to_map: Affine
    crs: CRS | None
    plane: CRS | None
    metres: float | None

    def on_map(self, geometries: Geometries) -> Geometries:
        """From pixels of the grid to the CRS."""
        a, b, c, d, e, f = self.to_map[:6]
        return shapely.transform(geometries, lambda xy: xy @ np.array([[a, d], [b, e]]) + (c, f))

    def in_metres(self, geometries: Geometries) -> Geometries:
        """From the CRS to the plane."""
        if self.plane is not None:
            return np.asarray(gpd.GeoSeries(geometries, crs=self.crs).to_crs(self.plane), dtype=object)
        return shapely.transform(geometries, lambda xy: xy * self.metres)

    def from_metres(self, geometries: Geometries) -> Geometries:
        """From the plane to the CRS."""
        if self.plane is not None:
            return np.asarray(gpd.GeoSeries(geometries, crs=self.plane).to_crs(self.crs), dtype=object)
        return shapely.transform(geometries, lambda xy: xy / self.metres)


def placing_of(scene: Scene) -> Placing:
    """Find where a scene lies; a geographic one is measured in its UTM zone."""
    info = scene.info
    across, down = info.grid.step_xy
    if info.crs is None:
        step = (across * down) ** 0.5
        metres = None if scene.gsd_m is None else scene.gsd_m / step
        return Placing(FLIPPED * Affine.scale(across, down), None, None, metres)
    crs, to_map = CRS.from_user_input(info.crs.to_wkt()), Affine(*info.grid_transform)
    if info.crs.is_projected:
        return Placing(to_map, crs, None, info.crs.linear_units_factor[1])
    if not info.crs.is_geographic:
        return Placing(to_map, crs, None, None)
    corner = Affine(*info.transform[:6]) @ (info.width / 2, info.height / 2)
    plane = gpd.GeoSeries([shapely.Point(corner)], crs=crs).estimate_utm_crs()
    return Placing(to_map, crs, CRS.from_user_input(plane), None)

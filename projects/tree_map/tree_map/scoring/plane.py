"""The plane of metres that a scene is scored in, and the ways into it from pixels and from any CRS."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from data_prep.errors import DataError
from data_prep.imagery.rasters import RasterInfo
from tree_map.placing import Placing, placing_of
from tree_map.predicting.scene import Scene

Geometries = NDArray[np.object_]


@dataclass(frozen=True)
class Plane:
    """Where a scene lies.

    Attributes:
        info: Header of its raster.
        placing: From its pixels to its CRS and on to metres.
        gsd_m: Side of a source pixel, m.
        plane_to_pixel: As in ``ScoredScene``.
    """

    info: RasterInfo
    placing: Placing
    gsd_m: float
    plane_to_pixel: tuple[float, float, float, float, float, float]

    def from_pixels(self, geometries: Geometries) -> Geometries:
        """From source pixels, y down."""
        return self.placing.in_metres(self.placing.on_map(geometries))

    def from_map(self, geometries: Geometries) -> Geometries:
        """From the scene's CRS; of a scene without one from (x, -y) in source pixels."""
        return self.placing.in_metres(geometries)

    def from_crs(self, geometries: Geometries, crs: CRS, where: str) -> Geometries:
        """From any CRS.

        Raises:
            DataError: If the scene has none.
        """
        if self.placing.crs is None:
            raise DataError(f'{self.info.path} has no CRS, so {where} ({crs.to_string()}) cannot be placed on it; '
                            f'label in pixels with LabelMe or COCO, or give the scene a CRS')  # fmt: skip
        return self.from_map(gpd.GeoSeries(geometries, crs=crs).to_crs(self.placing.crs).to_numpy())

    @property
    def extent(self) -> shapely.Geometry:
        """The whole scene."""
        return self.from_pixels(np.array([shapely.box(0, 0, self.info.width, self.info.height)], object))[0]


def plane_of(info: RasterInfo, gsd_of_scene: float | None = None) -> Plane:
    """Find the plane of a scene.

    Args:
        info: Header of its raster.
        gsd_of_scene: Side of a source pixel, m, for a scene without a CRS.

    Raises:
        DataError: If nobody knows how long a metre is.
    """
    placing = placing_of(Scene(info, (1,), None, gsd_of_scene))
    if placing.plane is None and placing.metres is None:
        raise DataError(f'{info.path} has no CRS that knows metres, and trees are scored in metres; pass '
                        f'--gsd-of-scene METRES, the side of its pixel')  # fmt: skip
    draft = Plane(info, placing, 1.0, (1, 0, 0, 0, 1, 0))
    across, down = np.meshgrid([0, info.width / 2, info.width], [0, info.height / 2, info.height])
    pixels = np.column_stack([across.ravel(), down.ravel()])
    metres = shapely.get_coordinates(draft.from_pixels(shapely.points(pixels)))
    to_pixel = _fitted(metres, pixels)
    return Plane(info, placing, abs(to_pixel.determinant) ** -0.5, tuple(to_pixel[:6]))


def _fitted(source: NDArray[np.float64], target: NDArray[np.float64]) -> Affine:
    """The affine map that takes points (n, 2) to others; exact where there is one."""
    middle = source.mean(axis=0)
    (a, d), (b, e), (c, f) = np.linalg.lstsq(np.column_stack([source - middle, np.ones(len(source))]), target)[0]
    return Affine(a, b, c, d, e, f) @ Affine.translation(*-middle)

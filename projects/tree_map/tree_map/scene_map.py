"""The map of one scene: three layers, how it was made, and what could not be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import geopandas as gpd
from pyproj import CRS

from tree_map.columns import CELLS, CENTRELINES, TREES, complete, empty_layer

Value = str | float | int | list | None
PIXELS = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)  # a b c d e f from pixels to the layers of a scene without a CRS


@dataclass
class SceneMap:
    """Everything that is written of a scene.

    Geometry is in the scene's CRS. Without one it is (x, -y) in source pixels, so that north is up in every viewer.

    Attributes:
        trees: Polygon or MultiPolygon, one row a tree; any of the columns in ``columns.TREES``, others are kept.
        centrelines: LineString, likewise ``columns.CENTRELINES``; from base to top where direction is fall.
        cells: Polygon, likewise ``columns.CELLS``.
        provenance: How the map was made. These keys have a meaning for what is written, all others are passed on:
            ``scene`` (name), ``created`` (ISO 8601, the only date in the files), ``classes`` (names in the network's
            order), ``file_name``, ``width``, ``height`` (source pixels), ``transform`` (a b c d e f from source pixels
            to the CRS), ``scale`` (pixels that the network saw per source pixel), ``gsd_m`` (metres of such a pixel),
            and of the COCO contract ``source``, ``source_sha256``, ``bands``, ``stretch_lo_hi`` and ``nodata``.
        unread: Windows that could not be read, as JSON can hold them.
    """

    trees: gpd.GeoDataFrame
    centrelines: gpd.GeoDataFrame = field(default_factory=lambda: empty_layer(CENTRELINES))
    cells: gpd.GeoDataFrame = field(default_factory=lambda: empty_layer(CELLS))
    provenance: dict[str, Value] = field(default_factory=dict)
    unread: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Complete the columns.

        Raises:
            ValueError: If the layers differ in their CRS; an empty one takes that of the trees.
        """
        for name, layer in (('trees', TREES), ('centrelines', CENTRELINES), ('cells', CELLS)):
            frame = getattr(self, name)
            if not len(frame) and frame.crs is None:
                frame = frame.set_crs(self.crs) if self.crs else frame
            if frame.crs != self.crs:
                raise ValueError(f'all layers must have one CRS; trees have {self.crs}, {name} have {frame.crs}')
            setattr(self, name, complete(frame, layer))

    @classmethod
    def empty(cls, crs: CRS | str | None = None, **rest: Any) -> SceneMap:
        """A map without a tree: what an empty scene gives."""
        return cls(empty_layer(TREES, crs), **rest)

    @property
    def crs(self) -> CRS | None:
        """Of all layers."""
        return self.trees.crs

    @property
    def pixel_to_map(self) -> tuple[float, ...]:
        """``a b c d e f`` from source pixels to the layers: x = a column + b row + c, y = d column + e row + f.

        Raises:
            ValueError: If the scene has a CRS and the provenance no ``transform``.
        """
        if self.crs is None:
            return PIXELS
        given = self.provenance.get('transform')
        if not isinstance(given, list | tuple) or len(given) != 6:
            raise ValueError(f"provenance['transform'] must hold six numbers for a scene with a CRS; got {given!r}")
        return tuple(map(float, given))

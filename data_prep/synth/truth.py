"""What is true of each fallen tree: what of it can be seen, where it lies in the picture, and its measures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize, shapes
from rasterio.transform import Affine

from data_prep.synth.scene import Band, Scene


@dataclass(frozen=True)
class TreeTruth:
    """One fallen tree as it lies in the picture; geometry in px, x right, y down, (0, 0) the outer corner.

    Attributes:
        number: From 1, in the order of lying: a later one lies on top.
        outline: The whole tree: stem, root plate and crown remnant; reaches outside the picture where the tree does.
        visible: What is seen of it, along the borders of pixels; empty where nothing is.
        centreline: Of the stem, from base to top.
        length_m: Along the centreline.
        diameters_m: At the base (above the flare), in the middle, at the top.
        volume_m3: Of the stem, see ``FallenTree.volume_px3``.
        azimuth_deg: From base to top, clockwise from north.
        visible_share: Of the outline's pixels inside the picture.
        inside_share: Of the outline's area, inside the picture.
        crossings: Number of other trees whose outline meets this one's.
        visible_px: Pixels in which the tree is seen.
    """

    number: int
    outline: shapely.Geometry
    visible: shapely.Geometry
    centreline: shapely.Geometry
    length_m: float
    diameters_m: tuple[float, float, float]
    volume_m3: float
    azimuth_deg: float
    visible_share: float
    inside_share: float
    crossings: int
    visible_px: int


@dataclass
class Seen:
    """Collects from bands in which pixels each tree is seen."""

    scene: Scene
    pixels: dict[int, list[NDArray[np.int32]]] = field(default_factory=dict)

    def add(self, band: Band) -> None:
        """Take the next band."""
        row, column = np.nonzero(band.trees)
        if not len(row):
            return
        numbers = band.trees[row, column]
        order = np.argsort(numbers, kind='stable')
        xy = np.stack([column, row + band.top], 1).astype(np.int32)[order]
        found, first = np.unique(numbers[order], return_index=True)
        for number, part in zip(found.tolist(), np.split(xy, first[1:]), strict=True):
            self.pixels.setdefault(number, []).append(part)

    def of(self, number: int) -> NDArray[np.int32]:
        """Columns and rows (N, 2) of the pixels in which a tree is seen."""
        return np.concatenate(self.pixels.get(number, [np.empty((0, 2), np.int32)]))


def all_truth(scene: Scene, seen: Seen) -> list[TreeTruth]:
    """Truth of every tree of a scene, in order, once all bands are drawn."""
    outlines = [tree.outline for tree in scene.layout.trees]
    index = shapely.STRtree(outlines)
    return [
        _truth(scene, seen.of(k + 1), k, len(index.query(outlines[k], 'intersects')) - 1) for k in range(len(outlines))
    ]


def _truth(scene: Scene, seen_xy: NDArray[np.int32], k: int, crossings: int) -> TreeTruth:
    tree, gsd_m = scene.layout.trees[k], scene.gsd_m
    seam, (width, height) = scene.camera.seam, scene.size_wh
    move = (lambda geometry: geometry) if seam is None else (lambda geometry: seam.move(geometry, width))
    outline = move(tree.outline)
    inside = shapely.intersection(outline, shapely.box(0, 0, width, height))
    whole_px = max(_pixels(inside), len(seen_xy), 1)
    return TreeTruth(
        number=k + 1,
        outline=outline,
        visible=_polygons(seen_xy),
        centreline=move(tree.centreline),
        length_m=tree.length_px * gsd_m,
        diameters_m=tuple(d * gsd_m for d in tree.diameters_px()),
        volume_m3=tree.volume_px3() * gsd_m**3,
        azimuth_deg=tree.azimuth,
        visible_share=len(seen_xy) / whole_px,
        inside_share=inside.area / outline.area,
        crossings=crossings,
        visible_px=len(seen_xy),
    )


def _pixels(polygon: shapely.Geometry) -> int:
    """Pixels whose centre a polygon holds."""
    if polygon.is_empty or polygon.area == 0:
        return 0
    low = np.floor(polygon.bounds[:2]).astype(int)
    width, height = (np.ceil(polygon.bounds[2:]).astype(int) - low + 1).tolist()
    grid = rasterize([polygon], (height, width), transform=Affine.translation(*low.tolist()), dtype=np.uint8)
    return int(grid.sum())


def _polygons(seen_xy: NDArray[np.int32]) -> shapely.MultiPolygon:
    """Outline of a set of pixels, exact."""
    if not len(seen_xy):
        return shapely.MultiPolygon()
    low = seen_xy.min(0)
    size = seen_xy.max(0) - low + 1
    mask = np.zeros(size[::-1], np.uint8)
    mask[seen_xy[:, 1] - low[1], seen_xy[:, 0] - low[0]] = 1
    found = shapes(mask, mask=mask.astype(bool), transform=Affine.translation(*low.tolist()))
    return shapely.MultiPolygon([shapely.geometry.shape(part) for part, _ in found])

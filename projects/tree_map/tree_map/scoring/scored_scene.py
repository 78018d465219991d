"""What is scored: the trees of one scene as found and as labelled, in one plane of metres."""

from __future__ import annotations

from dataclasses import dataclass, field

import geopandas as gpd
import shapely

MEASURES = ('length_m', 'diameter_mid_m', 'volume_m3', 'azimuth_deg', 'direction')


@dataclass(frozen=True)
class ScoredScene:
    """Found and labelled trees of one scene.

    Both frames lie in one plane, x east, y north, in metres, with a plain index from 0. Their geometry is the outline,
    Polygon or MultiPolygon, valid, of an area above 0. They have the columns ``tree_id`` (int for found trees, for
    labelled ones the text of the feature in its file), ``class`` (text), ``centreline`` (LineString or None, object)
    and those of ``MEASURES`` (NaN or None where not known); ``found`` also ``score`` (0 to 1).

    Attributes:
        name: Of the scene, unique among those scored.
        truth: Labelled trees.
        found: Trees of the map, surest first.
        ground: What was looked at; truth that lies wholly outside has been left out.
        gsd_m: Side of a pixel of the scene, m.
        plane_to_pixel: ``a b c d e f``, from the plane to source pixels: column = a x + b y + c, row = d x + e y + f.
        ignored: Trees that nobody is asked to find, with the columns ``class`` and geometry: such a tree is never
            missed, and a found tree that matches none but it is no false alarm.
    """

    name: str
    truth: gpd.GeoDataFrame
    found: gpd.GeoDataFrame
    ground: shapely.Geometry
    gsd_m: float
    plane_to_pixel: tuple[float, float, float, float, float, float]
    ignored: gpd.GeoDataFrame = field(default_factory=lambda: gpd.GeoDataFrame({'class': []}, geometry=[]))

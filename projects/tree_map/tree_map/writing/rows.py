"""The trees as a table for spreadsheets: one row a tree, with a point inside a map in place of the outline."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pandas as pd
import shapely

from data_prep.atomic import atomic_write
from tree_map.scene_map import SceneMap

DIGITS = '%.12g'  # of every number: a tenth of a millimetre in coordinates of millions of metres


def write_csv(scene_map: SceneMap, path: Path) -> None:
    """Write the columns of the trees and the centre of gravity of each outline, UTF-8, with a header.

    The centre is in ``x``, ``y`` (the scene's CRS, named in ``crs``) and ``lon``, ``lat`` (WGS 84, degrees); without a
    CRS in ``x_px``, ``y_px`` (source pixels, y down). The provenance is not in it: CSV has no place for it.

    Args:
        scene_map: The map.
        path: Target; replaced when all is written.

    Raises:
        OSError: If the disk is full or the folder not writable.
    """
    table = pd.DataFrame(scene_map.trees.drop(columns=scene_map.trees.geometry.name))
    text = table.assign(**_places(scene_map)).to_csv(index=False, float_format=DIGITS, lineterminator='\n')
    with atomic_write(path) as file:
        file.write(text)


def _places(scene_map: SceneMap) -> dict[str, object]:
    centres = gpd.GeoSeries(
        shapely.centroid(scene_map.trees.geometry.to_numpy()), crs=scene_map.crs
    )  # silent about degrees
    if scene_map.crs is None:
        return {'x_px': centres.x.to_numpy(), 'y_px': -centres.y.to_numpy()}
    geographic = centres.to_crs(4326)
    authority = scene_map.crs.to_authority()
    crs = ':'.join(authority) if authority else scene_map.crs.to_wkt()
    return {'x': centres.x.to_numpy(), 'y': centres.y.to_numpy(), 'lon': geographic.x.to_numpy(),
            'lat': geographic.y.to_numpy(), 'crs': crs}  # fmt: skip

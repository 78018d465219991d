"""The trees as GeoJSON (RFC 7946): longitude and latitude on WGS 84, counter-clockwise outlines, no other CRS."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pyogrio

from data_prep.atomic import atomic_write
from data_prep.errors import DataError
from tree_map.scene_map import SceneMap
from tree_map.writing.text import as_json, provenance

DECIMALS = 8  # of a degree: 1 mm
DIGITS = 12  # of other numbers
MEDIA_TYPE = 'application/vnd.geo+json'  # under which GDAL takes members of the whole collection


def write_geojson(scene_map: SceneMap, path: Path) -> None:
    """Write the trees; ``provenance`` is a member of the collection, which readers may ignore.

    Args:
        scene_map: With a CRS.
        path: Target; replaced when all is written.

    Raises:
        DataError: If the scene has no CRS.
        OSError: If the disk is full or the folder not writable.
    """
    if scene_map.crs is None:
        raise DataError(f'{path}: GeoJSON holds longitude and latitude; the scene has no CRS; take another format')
    members = {'type': 'FeatureCollection', 'provenance': provenance(scene_map)}
    content = BytesIO()
    pyogrio.write_dataframe(
        scene_map.trees.to_crs(4326),
        content,
        driver='GeoJSON',
        layer='trees',
        geometry_type='MultiPolygon' if not len(scene_map.trees) else None,
        layer_options={
            'RFC7946': 'YES',
            'COORDINATE_PRECISION': str(DECIMALS),
            'SIGNIFICANT_FIGURES': str(DIGITS),
            'WRITE_NAME': 'NO',
            'NATIVE_MEDIA_TYPE': MEDIA_TYPE,
            'NATIVE_DATA': as_json(members),
        },
    )
    with atomic_write(path, 'wb') as file:
        file.write(content.getvalue())

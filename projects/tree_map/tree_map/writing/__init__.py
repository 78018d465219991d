"""The map in files: GeoPackage, GeoJSON, CSV and COCO, each whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from data_prep.errors import DataError
from tree_map.scene_map import SceneMap
from tree_map.writing.coco import write_coco
from tree_map.writing.geojson import write_geojson
from tree_map.writing.geopackage import write_geopackage
from tree_map.writing.rows import write_csv
from tree_map.writing.text import check_text

WRITERS: dict[str, Callable[[SceneMap, Path], None]] = {
    '.gpkg': write_geopackage,
    '.geojson': write_geojson,
    '.csv': write_csv,
    '.json': lambda scene_map, path: write_coco([scene_map], path),
}


def check_output(path: str | os.PathLike[str], *, on_a_map: bool = True) -> None:
    """Refuse an output that cannot be written, before the work is done.

    Args:
        path: A file to be.
        on_a_map: Whether the scene has a CRS.

    Raises:
        DataError: If the name says no known format, its folder is missing, a folder is in its place, or GeoJSON is
            asked for without a CRS.
        PermissionError: If the folder is not writable.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise DataError(f'--out must end in {", ".join(WRITERS)}; got {path}')
    if path.is_dir():
        raise DataError(f'--out {path} must be a file; a folder is there; choose another name')
    if not path.parent.is_dir():
        raise DataError(f'--out {path}: there is no folder {path.parent}; make it, or choose another')
    if path.suffix.lower() == '.geojson' and not on_a_map:
        raise DataError(f'--out {path}: GeoJSON holds longitude and latitude, and the scene has no CRS; take .gpkg, '
                        f'.csv or .json, or give the scene a CRS')  # fmt: skip
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f'{path.parent} is not writable')


def write_map(scene_map: SceneMap, path: str | os.PathLike[str]) -> None:
    """Write a map in the format that the name's end says; a file that is there is replaced as a whole.

    The same map gives the same bytes.

    Args:
        scene_map: The map.
        path: ``.gpkg`` (all layers, with styles), ``.geojson`` (trees, EPSG:4326), ``.csv`` (one row a tree) or
            ``.json`` (COCO in source pixels).

    Raises:
        DataError: As ``check_output``, or if a text cannot be written.
        OSError: If the disk is full or the folder not writable. What was at the path is still there.
    """
    path = Path(path)
    check_output(path, on_a_map=scene_map.crs is not None)
    check_text(scene_map, path)
    WRITERS[path.suffix.lower()](scene_map, path)

"""A GeoPackage with nothing but the standard library and shapely: OGC 12-128r19, features only, no index."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import shapely
from rasterio.crs import CRS

from data_prep.atomic import atomic_write

APPLICATION_ID, USER_VERSION = 0x47504B47, 10300  # 'GPKG', 1.3.0
TYPES = {int: 'INTEGER', float: 'DOUBLE', str: 'TEXT'}
CHANGED = '2000-01-01T00:00:00.000Z'  # always the same, so that the same content gives the same bytes

TABLES = """
CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER PRIMARY KEY, organization TEXT NOT NULL,
  organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
  description TEXT DEFAULT '', last_change DATETIME NOT NULL, min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE,
  srs_id INTEGER, CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL,
  geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL, z TINYINT NOT NULL, m TINYINT NOT NULL,
  CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name), CONSTRAINT uk_gc_table_name UNIQUE (table_name),
  CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
  CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id));
INSERT INTO gpkg_spatial_ref_sys VALUES ('Undefined cartesian SRS', -1, 'NONE', -1, 'undefined', NULL);
INSERT INTO gpkg_spatial_ref_sys VALUES ('Undefined geographic SRS', 0, 'NONE', 0, 'undefined', NULL);
"""


@dataclass(frozen=True)
class Layer:
    """Features of one kind.

    Attributes:
        name: Of the table.
        kind: POLYGON, MULTIPOLYGON, LINESTRING, MULTILINESTRING.
        geometry: In map coordinates.
        columns: Names and types of the fields.
        rows: Values of the fields, one tuple for each geometry.
    """

    name: str
    kind: str
    geometry: Sequence[shapely.Geometry]
    columns: dict[str, type]
    rows: Sequence[tuple]


def write_geopackage(path: Path, layers: Sequence[Layer], crs: str) -> None:
    """Write layers that share one CRS.

    Args:
        path: Target; replaced when all is written.
        layers: With different names.
        crs: As ``EPSG:32633``.
    """
    code = int(crs.rpartition(':')[2])
    with closing(sqlite3.connect(':memory:')) as base:
        base.execute(f'PRAGMA application_id = {APPLICATION_ID}')
        base.execute(f'PRAGMA user_version = {USER_VERSION}')
        base.executescript(TABLES)
        for known in sorted({code, 4326}):
            definition = CRS.from_epsg(known).to_wkt()
            base.execute('INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, NULL)',
                         (f'EPSG:{known}', known, 'EPSG', known, definition))  # fmt: skip
        for layer in layers:
            _add(base, layer, code)
        base.commit()
        content = base.serialize()
    with atomic_write(path, 'wb') as file:
        file.write(content)


def _add(base: sqlite3.Connection, layer: Layer, code: int) -> None:
    bounds = [float(v) for v in shapely.total_bounds(list(layer.geometry))] if len(layer.geometry) else [None] * 4
    base.execute('INSERT INTO gpkg_contents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
                 (layer.name, 'features', layer.name, '', CHANGED, *bounds, code))  # fmt: skip
    base.execute('INSERT INTO gpkg_geometry_columns VALUES (?, ?, ?, ?, 0, 0)', (layer.name, 'geom', layer.kind, code))
    fields = ''.join(f', "{name}" {TYPES[kind]}' for name, kind in layer.columns.items())
    base.execute(
        f'CREATE TABLE "{layer.name}" (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom {layer.kind}{fields})'
    )
    holders = ', '.join('?' * (len(layer.columns) + 1))
    names = ', '.join(f'"{name}"' for name in ('geom', *layer.columns))
    for geometry, row in zip(layer.geometry, layer.rows, strict=True):
        blob = geometry_blob(_as_kind(geometry, layer.kind), code)
        base.execute(f'INSERT INTO "{layer.name}" ({names}) VALUES ({holders})', (blob, *row))


def _as_kind(geometry: shapely.Geometry, kind: str) -> shapely.Geometry:
    """Wrap a single part where the layer holds multi-parts."""
    if kind.startswith('MULTI') and not geometry.geom_type.startswith('Multi'):
        wrap = shapely.multipolygons if kind == 'MULTIPOLYGON' else shapely.multilinestrings
        return wrap(shapely.get_parts(geometry))
    return geometry


def geometry_blob(geometry: shapely.Geometry, code: int) -> bytes:
    """GeoPackage binary: 'GP', version 0, flags, SRS, envelope (min x, max x, min y, max y), then little-endian WKB."""
    empty = geometry.is_empty
    head = struct.pack('<2sBBi', b'GP', 0, 0b0001_0001 if empty else 0b0000_0011, code)
    x0, y0, x1, y1 = geometry.bounds if not empty else (0, 0, 0, 0)
    envelope = b'' if empty else struct.pack('<4d', x0, x1, y0, y1)
    return head + envelope + shapely.to_wkb(geometry, byte_order=1)

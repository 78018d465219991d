"""GeoPackage and Shapefile in, GeoPackage out: whatever a column can hold gets one, the rest goes together as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from data_prep.convert.document import Document, Item, Keys, marks, opened, with_keys
from data_prep.convert.geojson import add_feature, crs_code
from data_prep.errors import DataError
from data_prep.labels.features import parse_crs
from data_prep.labels.geopackage import Layer, write_geopackage
from data_prep.labels.rle import Part
from data_prep.labels.vectors import read_layer

REST = 'extra_json'  # column for what no column can hold
COLUMN = re.compile(r'[A-Za-z_][A-Za-z0-9_ ]*')
RESERVED = {'fid', 'geom', REST}


def read(path: Path, label_field: str) -> list[Document]:
    """Read a GeoPackage with one layer, or a Shapefile, with all fields.

    Raises:
        DataError: If it is not what its name says, cannot be read, has several layers, no such field, or no CRS.
        MissingPackage: If pyogrio is not installed.
    """
    info, geometries, columns = read_layer(path, label_field)
    types = dict(zip(info['fields'], info['ogr_types'], strict=True))
    document = Document(path.stem, path, [], crs=parse_crs(info['crs'], path))
    for number, (geometry, *values) in enumerate(zip(geometries, *columns, strict=True), 1):
        row = {name: _value(value, types[name]) for name, value in zip(types, values, strict=True)}
        keys = _with_rest({name: value for name, value in row.items() if value is not None or name == label_field})
        add_feature(document, number, keys, label_field, *_parts(geometry))
    return [document]


def _parts(geometry: shapely.Geometry | None) -> tuple[list[Part], str | None]:
    """Rings of a geometry, or why there are none."""
    if geometry is None:
        return [], 'no readable geometry (missing, or a ring of fewer than 3 points)'
    if geometry.geom_type not in ('Polygon', 'MultiPolygon'):
        return [], f'{geometry.geom_type} is not a polygon'
    polygons = [part for part in shapely.get_parts(geometry) if not part.is_empty]
    rings = [(polygon.exterior, *polygon.interiors) for polygon in polygons]
    return [[opened([list(point) for point in ring.coords]) for ring in part] for part in rings], None


def _value(value: Any, kind: str) -> Any:
    """A field's value as JSON holds it; None where it is missing."""
    value = value.item() if isinstance(value, np.generic) and not isinstance(value, np.datetime64) else value
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, float):
        if value != value:
            return None
        return int(value) if kind.startswith('OFTInteger') else value  # pyogrio makes floats of whole numbers with gaps
    return value


def _with_rest(row: Keys) -> Keys:
    """Unpack the column that holds what no column can hold."""
    try:
        rest = json.loads(row[REST])
    except (KeyError, TypeError, ValueError):
        return row
    return {**{key: value for key, value in row.items() if key != REST}, **rest} if isinstance(rest, dict) else row


def check(document: Document, label_field: str) -> None:
    """Refuse what a GeoPackage cannot name.

    Raises:
        DataError: If the CRS has no EPSG code, or the field is no name of a column.
    """
    authority, code = crs_code(document)
    if authority != 'EPSG':
        raise DataError(f'{document.source} has the CRS {authority}:{code}; GeoPackage output takes an EPSG code; '
                        f'reproject it first, or write GeoJSON')  # fmt: skip
    if not COLUMN.fullmatch(label_field) or label_field.lower() in RESERVED:
        raise DataError(f'--label-field must be the name of a column, such as species; got {label_field!r}')


def write(path: Path, document: Document, label_field: str) -> None:
    """Write a GeoPackage with one layer, named like the document, which ``check`` has let through."""
    _, code = crs_code(document)
    rows = [{label_field: i.label, **marks(i), **with_keys(i.extra, (label_field, 'id'))} for i in document.items]
    columns = _columns(rows, label_field)
    kind = 'MULTIPOLYGON' if any(len(item.parts) > 1 for item in document.items) else 'POLYGON'
    packed = any(_rest(row, columns) for row in rows)
    layer = Layer(
        re.sub(r'\W', '_', document.name) or 'labels',
        kind,
        [geometry(item) for item in document.items],
        {**columns, **({REST: str} if packed else {})},
        [_row(row, columns, packed) for row in rows],
    )
    write_geopackage(path, [layer], f'EPSG:{code}')


def geometry(item: Item) -> shapely.Geometry:
    """An object's rings as they are."""
    polygons = [shapely.Polygon(part[0], part[1:]) for part in item.parts]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)


def _columns(rows: list[Keys], label_field: str) -> dict[str, type]:
    """Fields that hold one kind of value in all rows that have them; the label first."""
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for key, value in row.items():
            kinds.setdefault(key, set()).add(
                type(value) if not isinstance(value, int) or abs(value) < 1 << 62 else object
            )
    found, taken = {label_field: str}, {*RESERVED, label_field.lower()}
    for key, types in kinds.items():
        if len(types) == 1 and types <= {int, float, str} and COLUMN.fullmatch(key) and key.lower() not in taken:
            found[key] = next(iter(types))
            taken.add(key.lower())  # SQL does not tell capitals apart
    return found


def _rest(row: Keys, columns: dict[str, type]) -> Keys:
    return {key: value for key, value in row.items() if key not in columns}


def _row(row: Keys, columns: dict[str, type], packed: bool) -> tuple:
    rest = _rest(row, columns)
    text = (json.dumps(rest, ensure_ascii=False) if rest else None,) if packed else ()
    return (*(row.get(name) for name in columns), *text)

"""Vector files in map coordinates: GeoJSON by itself, GeoPackage and Shapefile through pyogrio."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from shapely.geometry import shape as build_geometry

from data_prep.errors import DataError, MissingPackage
from data_prep.labels.features import Feature, FeatureFile, label_text, parse_crs

MAGIC = {'.gpkg': b'SQLite format 3\0', '.shp': b'\0\0\x27\x0a'}  # what the first bytes must be


def read_geojson(path: Path, content: dict[str, Any], label_field: str) -> FeatureFile:
    """Take the features of a parsed GeoJSON file.

    The CRS is the ``crs`` member of old GeoJSON where there is one, else EPSG:4326 as RFC 7946 says.

    Raises:
        DataError: If it is not a FeatureCollection, its CRS is unknown, or a feature lacks the label field.
    """
    features = content.get('features')
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise DataError(f'{path} must be a GeoJSON FeatureCollection with a list of features; export it again')
    name = _member(_member(content.get('crs'), 'properties'), 'name')
    return FeatureFile(
        path,
        [_geojson_feature(path, n, feature, label_field) for n, feature in enumerate(features, 1)],
        crs=parse_crs(str(name), path) if name else rasterio.CRS.from_epsg(4326),
    )


def _geojson_feature(path: Path, number: int, feature: dict[str, Any], label_field: str) -> Feature:
    properties = feature.get('properties')
    properties = properties if isinstance(properties, dict) else {}
    if label_field not in properties:
        raise DataError(_no_field(f'{path}, feature {number}', label_field, properties))
    label = label_text(properties[label_field])
    if feature.get('geometry') is None:
        return Feature(number, label, None, 'no geometry')
    try:
        with np.errstate(invalid='ignore'):  # NaN is told later, by name
            return Feature(number, label, shapely.force_2d(build_geometry(feature['geometry'])))
    except Exception as error:  # shapely trips over strange nesting in many ways
        return Feature(number, label, None, f'geometry cannot be built: {error}')


@contextmanager
def quiet_ogr() -> Iterator[None]:
    """Keep GDAL's doubts about a vector file to itself; what cannot be read is an error anyway."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)
        yield


@quiet_ogr()
def read_ogr(path: Path, label_field: str) -> FeatureFile:
    """Read a GeoPackage with one layer, or a Shapefile.

    Raises:
        DataError, MissingPackage: As ``read_layer``.
    """
    info, geometries, (labels,) = read_layer(path, label_field, only_label=True)
    pairs = enumerate(zip(labels, geometries, strict=True), 1)
    return FeatureFile(
        path, [Feature(n, label_text(label), geometry) for n, (label, geometry) in pairs], parse_crs(info['crs'], path)
    )


def read_layer(
    path: Path, label_field: str, *, only_label: bool = False
) -> tuple[dict[str, Any], np.ndarray, list[np.ndarray]]:
    """Read the one layer of a GeoPackage or Shapefile.

    Args:
        path: The file.
        label_field: Field that must be there.
        only_label: Whether to leave out the values of all other fields.

    Returns:
        pyogrio's description of the layer, geometries (N,), flat, and the values (N,) of each field.

    Raises:
        DataError: If it is not what its name says, cannot be read, has several layers, no such field, or no CRS.
        MissingPackage: If pyogrio is not installed.
    """
    check_magic(path)
    try:
        import pyogrio
    except ModuleNotFoundError:
        raise MissingPackage(f'reading {path.name} needs pyogrio: pip install fallen-trees[vectors]') from None
    source = os.path.abspath(path)
    try:
        layers = [name for name, geometry in pyogrio.list_layers(source) if geometry is not None]
        if len(layers) != 1:
            raise DataError(f'{path} must have one layer with geometry; got {len(layers)} {layers}; export one alone')
        info = pyogrio.read_info(source, layer=layers[0])
        if label_field not in info['fields']:
            raise DataError(_no_field(str(path), label_field, list(info['fields'])))
        wanted = [label_field] if only_label else None
        _, _, wkb, columns = pyogrio.raw.read(source, layer=layers[0], columns=wanted, force_2d=True)
    except DataError:
        raise
    except (RuntimeError, ValueError) as error:  # pyogrio's own errors, and text that is not in its encoding
        raise DataError(f'{path} cannot be read: {error}; export it again') from None
    if not info['crs']:
        raise DataError(f'{path} has no CRS, so it cannot be placed on its raster; set one in the layer')
    with np.errstate(invalid='ignore'):  # NaN is told later, by name
        return info, shapely.from_wkb(wkb, on_invalid='ignore'), columns


def check_magic(path: Path) -> None:
    """Refuse a file of another kind under this name, so that no driver that follows links gets to see it.

    Raises:
        DataError: If its first bytes are not those of its suffix, or it cannot be read.
    """
    expected = MAGIC[path.suffix.lower()]
    try:
        with open(path, 'rb') as file:
            start = file.read(len(expected))
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror}') from None
    if start != expected:
        raise DataError(f'{path} is not a {path.suffix.lower()} file (first bytes {start[:8]!r}); export it again')


def _member(content: Any, key: str) -> Any:
    return content.get(key) if isinstance(content, dict) else None


def _no_field(where: str, label_field: str, fields: Any) -> str:
    names = ', '.join(map(str, fields)) or 'none'
    return f"{where} has no field '{label_field}' (fields: {names}); pass --label-field"

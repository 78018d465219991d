"""GeoJSON in and out. Coordinates stay on their map, vertices in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.warp
from rasterio._err import CPLE_BaseError  # what warp.transform raises; rasterio.errors does not offer it

from data_prep.convert.document import (
    Document,
    Item,
    Keys,
    closed,
    marks,
    opened,
    other_keys,
    plain,
    required_label,
    ring_problem,
    take_marks,
    with_keys,
)
from data_prep.errors import DataError
from data_prep.labels.features import parse_crs
from data_prep.labels.rle import Part

COLLECTION = ('type', 'features', 'crs', 'name', 'bbox', 'image', 'coco')
GUESS = 25  # percent of confidence from which GDAL's guess at a CRS is tried
SAME = 1e-7  # metres or degrees


def read(path: Path, content: Keys, label_field: str) -> list[Document]:
    """Take the features of a parsed GeoJSON file.

    Raises:
        DataError: If it is not a FeatureCollection, its CRS is unknown, or a feature lacks the label field.
    """
    features = content.get('features')
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise DataError(f'{path} must be a GeoJSON FeatureCollection with a list of features; export it again')
    image = content.get('image') if isinstance(content.get('image'), dict) else {}
    dataset = content.get('coco')
    document = Document(
        name=path.stem,
        source=path,
        items=[],
        crs=_geojson_crs(path, content.get('crs')),
        file_name=image.get('file_name') if isinstance(image.get('file_name'), str) else None,
        extra={**other_keys(content, COLLECTION), **other_keys(image, ('file_name', 'width', 'height'))},
        dataset=dataset if isinstance(dataset, dict) else {},
    )
    for number, feature in enumerate(features, 1):
        properties = feature.get('properties')
        keys = dict(properties) if isinstance(properties, dict) else {}
        if 'id' in feature:
            keys.setdefault('id', feature['id'])
        parts, problem = geojson_parts(feature.get('geometry'))
        add_feature(document, number, keys, label_field, parts, problem)
    return [document]


def _geojson_crs(path: Path, crs: Any) -> rasterio.CRS:
    properties = crs.get('properties') if isinstance(crs, dict) else None
    name = properties.get('name') if isinstance(properties, dict) else None
    return parse_crs(str(name), path) if name else rasterio.CRS.from_epsg(4326)


def add_feature(
    document: Document, number: int, keys: Keys, label_field: str, parts: list[Part], problem: str | None
) -> None:
    """Add one feature of a vector file to its document.

    Raises:
        DataError: If it has no such field, or no label in it.
    """
    if label_field not in keys:
        names = ', '.join(map(str, keys)) or 'none'
        raise DataError(f"{document.source}, feature {number} has no field '{label_field}' (fields: {names}); "
                        f'pass --label-field')  # fmt: skip
    label = required_label(plain(keys[label_field]), document.source, number)
    if 'id' in keys and type(keys['id']) is not int:
        keys = {**keys, 'feature_id': keys['id']}  # text, say; COCO wants a whole number
        del keys['id']
    extra = other_keys(keys, (label_field,))
    problems = [problem] if problem else [text for part in parts for ring in part if (text := ring_problem(ring))]
    if problems or not parts:
        document.lose(number, problems[0] if problems else 'empty geometry')
        return
    document.items.append(Item(label, parts, **take_marks(extra), extra=extra))


def geojson_parts(geometry: Any) -> tuple[list[Part], str | None]:
    """Rings of a parsed GeoJSON geometry in two dimensions, or why there are none."""
    if geometry is None:
        return [], 'no geometry'
    kind = geometry.get('type') if isinstance(geometry, dict) else None
    if kind not in ('Polygon', 'MultiPolygon'):
        return [], f'{str(kind)[:40]} is not a polygon'
    coordinates = geometry.get('coordinates')
    try:
        polygons = [coordinates] if kind == 'Polygon' else list(coordinates)
        parts = [[opened([point[:2] for point in ring]) for ring in rings] for rings in polygons]
    except (TypeError, KeyError):
        return [], 'coordinates are not nested as GeoJSON nests them'
    return [part for part in parts if part], None


def write(document: Document, label_field: str) -> Keys:
    """Content of a GeoJSON file.

    Args:
        document: In map coordinates; a CRS other than EPSG:4326 gets a ``crs`` member, as GDAL writes it.
        label_field: Property that holds the label.

    Raises:
        DataError: If its CRS has no code.
    """
    authority = crs_code(document)
    crs = {'type': 'name', 'properties': {'name': 'urn:ogc:def:crs:{}::{}'.format(*authority)}}
    image = {key: value for key, value in image_keys(document).items() if value is not None}
    return {
        'type': 'FeatureCollection',
        'name': document.name,
        **({'crs': crs} if authority != ('EPSG', '4326') else {}),
        **({'image': image} if image else {}),
        **({'coco': document.dataset} if document.dataset else {}),
        'features': [_feature(item, label_field) for item in document.items],
    }


def image_keys(document: Document) -> Keys:
    """What is known of the image of a document."""
    width, height = document.size_wh or (None, None)
    return {'file_name': document.file_name, 'width': width, 'height': height,
            **with_keys(document.extra, ('file_name', 'width', 'height'))}  # fmt: skip


def _feature(item: Item, label_field: str) -> Keys:
    parts = [[closed(ring) for ring in part] for part in item.parts]
    geometry = {'type': 'Polygon', 'coordinates': parts[0]} if len(parts) == 1 else {
        'type': 'MultiPolygon', 'coordinates': parts}  # fmt: skip
    properties = {label_field: item.label, **marks(item), **with_keys(item.extra, (label_field, 'id'))}
    return {'type': 'Feature', 'properties': properties, 'geometry': geometry}


def crs_code(document: Document) -> tuple[str, str]:
    """Authority and code of a document's CRS.

    Esri's names in Shapefiles get a code by guess, which is taken where it puts all objects on the same spot.

    Raises:
        DataError: If it has none.
    """
    sure = document.crs.to_authority()
    if sure is not None:
        return sure
    guess = document.crs.to_authority(confidence_threshold=GUESS)
    points = np.array([part[0][0] for item in document.items for part in item.parts] or [(0, 0)], np.float64)
    if guess is not None and _same_spot(points, document.crs, rasterio.CRS.from_authority(*guess)):
        return guess
    raise DataError(f'{document.source} has a CRS without a code ({document.crs.to_wkt()[:60]}...), which the output '
                    f'cannot name; reproject it to an EPSG code first')  # fmt: skip


def _same_spot(points: np.ndarray, crs: rasterio.CRS, other: rasterio.CRS) -> bool:
    try:
        moved = np.stack(rasterio.warp.transform(crs, other, *points.T), axis=1)
    except CPLE_BaseError:
        return False
    return bool(np.abs(moved - points).max() < SAME)

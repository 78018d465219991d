"""From a scene's label file to its objects: placed on the raster's pixels, repaired, and what was dropped and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio.warp
import shapely
from rasterio._err import CPLE_BaseError  # what warp.transform raises; rasterio.errors does not offer it

from data_prep.errors import DataError
from data_prep.imagery.rasters import RasterInfo
from data_prep.labels.coco_file import last_json, read_coco
from data_prep.labels.features import Feature, FeatureFile
from data_prep.labels.label_map import LabelMap
from data_prep.labels.labelme import read_labelme
from data_prep.labels.vectors import read_geojson, read_ogr
from data_prep.polygons import Area, repair, unusable
from data_prep.scenes import Scene, json_kind

OUTSIDE = 'wholly outside the raster'


@dataclass(frozen=True)
class SceneObject:
    """One whole object of a scene, valid, in source pixels; it may reach past the raster."""

    object_id: str  # scene/feature number
    feature: int
    label: str
    polygon: Area


@dataclass(frozen=True)
class Note:
    """A line of report.json: what happened to one feature."""

    file: str
    feature: int
    reason: str


@dataclass
class SceneObjects:
    """All objects of a scene in file order, and the features that were repaired, dropped or skipped."""

    objects: list[SceneObject] = field(default_factory=list)
    repaired: list[Note] = field(default_factory=list)
    dropped: list[Note] = field(default_factory=list)
    skipped: list[Note] = field(default_factory=list)


def load_objects(
    scene: Scene,
    info: RasterInfo,
    label_field: str = 'label',
    keep_label: Callable[[str], bool] | None = None,
    label_map: LabelMap | None = None,
) -> SceneObjects:
    """Read, place and repair the objects of one scene.

    Args:
        scene: Raster and label file.
        info: Header of the raster.
        label_field: Field of vector files that holds the class.
        keep_label: Says False for a label that is passed over; it may raise ValueError with the reason to refuse one,
            to which file and feature number are added here. None keeps all.
        label_map: Renames labels before ``keep_label`` sees them; those without a new name are passed over.

    Returns:
        Objects that overlap the raster. Every feature of the file is an object, dropped or skipped.

    Raises:
        DataError: If the file cannot be read or placed, a feature has no label, or all polygons lie outside.
    """
    result = SceneObjects()
    if scene.labels is None:
        return result
    source = _read(scene.labels, info, label_field)
    geometries = _to_pixels(source, info)
    for feature, geometry in zip(source.features, geometries, strict=True):
        where = (scene.labels.name, feature.number)
        label = (label_map or {}).get(feature.label, feature.label)
        if label is None and feature.label is not None:
            result.skipped.append(Note(*where, f'label {feature.label} is dropped by --label-map'))
            continue
        if feature.skip:
            result.skipped.append(Note(*where, feature.skip))
            continue
        if not _wanted(label, f'{scene.labels}, feature {feature.number}', keep_label):
            result.skipped.append(Note(*where, f'label {label} is not in --classes'))
            continue
        polygon, problem, reason = _clean(feature, geometry, info)
        if polygon is None:
            result.dropped.append(Note(*where, reason))
            continue
        if problem:
            result.repaired.append(Note(*where, problem))
        result.objects.append(SceneObject(f'{scene.name}/{feature.number}', feature.number, label, polygon))
    if not result.objects and any(note.reason == OUTSIDE for note in result.dropped):
        raise DataError(f'{scene.labels}: every polygon lies outside {info.path}; check the CRS and the pairing')
    return result


def _read(path: Path, info: RasterInfo, label_field: str) -> FeatureFile:
    suffix = path.suffix.lower()
    if suffix in ('.gpkg', '.shp'):
        return read_ogr(path, label_field)
    if suffix not in ('.json', '.geojson'):
        raise DataError(f'{path} must end in .json, .geojson, .gpkg or .shp')
    content = last_json(path)
    kind = json_kind(path, content)
    if kind == 'labelme':
        return read_labelme(path, content, (info.width, info.height))
    if kind == 'geojson':
        return read_geojson(path, content, label_field)
    return read_coco(path, info.path.name, (info.width, info.height))


def _to_pixels(source: FeatureFile, info: RasterInfo) -> list[shapely.Geometry | None]:
    """Place all geometries on the raster; None for what cannot be an object or cannot be placed."""
    geometries = [None if f.problem or unusable(f.geometry) else f.geometry for f in source.features]
    if source.crs is None:
        return geometries
    if info.crs is None:
        raise DataError(f'{info.path} has no CRS, so {source.path} ({source.crs.to_string()}) cannot be placed on it; '
                        f'set one (gdal_edit.py -a_srs), or label in pixels with LabelMe')  # fmt: skip

    def place(xy: np.ndarray) -> np.ndarray:
        x, y = xy.T
        if source.crs != info.crs:
            x, y = (np.asarray(axis) for axis in rasterio.warp.transform(source.crs, info.crs, x, y))
        to_pixel = ~info.transform
        with np.errstate(invalid='ignore'):
            column = to_pixel.a * x + to_pixel.b * y + to_pixel.c
            row = to_pixel.d * x + to_pixel.e * y + to_pixel.f
        return np.stack((column, row), axis=1)

    try:
        return shapely.transform(np.array(geometries, object), place).tolist()  # all at once: one call into PROJ
    except CPLE_BaseError:
        return [_place_one(geometry, place) for geometry in geometries]


def _place_one(geometry: shapely.Geometry | None, place: Callable[[np.ndarray], np.ndarray]) -> shapely.Geometry | None:
    """Place one geometry; PROJ refuses some coordinates (a latitude of 100 degrees) with an error."""
    try:
        return shapely.transform(geometry, place)
    except CPLE_BaseError:
        return None


def _wanted(label: str | None, where: str, keep_label: Callable[[str], bool] | None) -> bool:
    if label is None:
        raise DataError(f'{where} has no label; give it one')
    try:
        return keep_label is None or keep_label(label)
    except ValueError as error:
        raise DataError(f'{where}: {error}') from None


def _clean(
    feature: Feature, placed: shapely.Geometry | None, info: RasterInfo
) -> tuple[Area | None, str | None, str | None]:
    """Return the polygon, what was repaired, and why there is no polygon."""
    reason = feature.problem or unusable(feature.geometry)
    if reason:
        return None, None, reason
    if unusable(placed):
        return None, None, OUTSIDE  # it can be an object, but has no place on the raster's map
    polygon, problem = repair(placed)
    if polygon is None:
        return None, None, 'no area'
    if shapely.intersection(polygon, shapely.box(0, 0, info.width, info.height)).area == 0:
        return None, None, OUTSIDE
    return polygon, problem, None

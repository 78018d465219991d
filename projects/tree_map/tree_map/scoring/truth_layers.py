"""Labels in vector files, whose columns may hold measures: GeoPackage, Shapefile, GeoJSON, and drawn worlds.

A drawn world tells of each tree what was drawn: its outline, what of it is seen, its centreline, its measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS

from data_prep.errors import DataError
from data_prep.labels.coco_file import last_json
from data_prep.labels.features import label_text
from data_prep.labels.vectors import check_magic, quiet_ogr, read_geojson
from data_prep.polygons import repair, unusable
from tree_map.scoring.label_rules import LabelRules, Tell, tell_unusable
from tree_map.scoring.plane import Plane
from tree_map.scoring.scored_scene import MEASURES

LAYERS = ('visible', 'trees', 'outlines')  # of a GeoPackage with several: drawn worlds, and corrected maps
NUMBERS = ('tree', 'tree_id')  # columns that number the trees
LABELLED, SHARE_INSIDE = 'labelled', 'inside_share'  # columns of drawn worlds


def read_vectors(name: str, path: Path, plane: Plane, rules: LabelRules, note: Tell) -> gpd.GeoDataFrame:
    """Read a vector file; see ``read_truth``. A column ``scene`` that names this scene chooses its rows."""
    geojson = path.suffix.lower() in ('.json', '.geojson')
    rows, labels, lines = _features(path, rules) if geojson else _layer(path, rules)
    if 'scene' in rows and (own := (rows['scene'] == name).to_numpy(bool)).any():
        rows, labels = rows[own], [label for label, mine in zip(labels, own, strict=True) if mine]
    rows, classes = _usable(path, rows, labels, rules, note)
    number = next((rows[key] for key in NUMBERS if key in rows), rows.index.to_series() + 1)
    frame = pd.DataFrame({'tree_id': [str(value) for value in number], 'class': classes}, dtype=object)
    for column in MEASURES:
        if column in rows:
            frame[column] = rows[column].to_numpy()
    if LABELLED in rows:
        frame['ignored'] = (rows[LABELLED] == 0).to_numpy()
    if SHARE_INSIDE in rows:
        frame['inside'] = rows[SHARE_INSIDE].to_numpy(float)
    known = _centrelines(lines, plane, str(path))
    frame['centreline'] = pd.Series([known.get(value) for value in number], dtype=object)
    placed = plane.from_crs(rows.geometry.to_numpy(), rows.crs, str(path))
    return gpd.GeoDataFrame(frame, geometry=placed)


Source = tuple[gpd.GeoDataFrame, list[str | None], gpd.GeoDataFrame | None]  # rows, their labels, centrelines


def _features(path: Path, rules: LabelRules) -> Source:
    content = last_json(path)
    source = read_geojson(path, content, rules.column)
    columns = pd.DataFrame([feature.get('properties') or {} for feature in content['features']])
    shapes = [None if item.problem else item.geometry for item in source.features]
    rows = gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(shapes), crs=CRS.from_user_input(source.crs.to_wkt()))
    return rows, [item.label for item in source.features], None


@quiet_ogr()
def _layer(path: Path, rules: LabelRules) -> Source:
    check_magic(path)
    try:
        layers = [layer for layer, kind in pyogrio.list_layers(path) if kind is not None]
        rows = pyogrio.read_dataframe(path, layer=_chosen(path, layers, rules.layer), force_2d=True)
        lines = pyogrio.read_dataframe(path, layer='centrelines', force_2d=True) if 'centrelines' in layers else None
    except (DataLayerError, DataSourceError) as error:
        raise DataError(f'{path} cannot be read: {error}; export it again') from None
    if rows.crs is None:
        raise DataError(f'{path} has no CRS, so it cannot be placed on its raster; set one in the layer')
    return rows, _labels(path, rows, rules), lines


def _chosen(path: Path, layers: Sequence[str], asked: str | None) -> str:
    if asked is not None and asked not in layers:
        raise DataError(f'{path} has no layer {asked!r} (layers: {", ".join(layers)}); choose another with --layer')
    wanted = [asked] if asked else layers if len(layers) == 1 else [name for name in LAYERS if name in layers]
    if not wanted:
        raise DataError(f'{path} must have one layer with geometry; got {len(layers)} ({", ".join(layers)}); '
                        f'choose one with --layer')  # fmt: skip
    return wanted[0]


def _labels(path: Path, rows: gpd.GeoDataFrame, rules: LabelRules) -> list[str | None]:
    """Labels of rows; where no field holds them and one class is scored, all are of that."""
    for column in (rules.column, 'class'):
        if column in rows:
            return [label_text(value) for value in rows[column]]
    if len(rules.classes) == 1:
        return [rules.classes[0]] * len(rows)
    fields = ', '.join(str(name) for name in rows.columns if name != rows.geometry.name)
    raise DataError(f"{path} has no field '{rules.column}' (fields: {fields}); pass --label-field")


def _usable(
    path: Path, rows: gpd.GeoDataFrame, labels: Sequence[str | None], rules: LabelRules, note: Tell
) -> tuple[gpd.GeoDataFrame, list[str]]:
    """Rows that are trees of the scored classes, repaired, and their classes; the index stays."""
    kept, classes, shapes, broken = [], [], [], []
    for place, (number, label, shape) in enumerate(zip(rows.index + 1, labels, rows.geometry, strict=True)):
        name = rules.class_of(label, f'{path}, feature {number}')
        if name is None or (LABELLED in rows and shape is not None and shape.is_empty):  # drawn, but nothing is seen
            continue
        reason = unusable(shape)
        polygon = None if reason else repair(shape)[0]
        if polygon is None:
            broken.append((number, reason or 'no area'))
            continue
        kept.append(place)
        classes.append(name)
        shapes.append(polygon)
    tell_unusable(path, broken, note)
    return rows.iloc[kept].set_geometry(gpd.GeoSeries(shapes, rows.index[kept], crs=rows.crs)), classes


def _centrelines(lines: gpd.GeoDataFrame | None, plane: Plane, where: str) -> dict[object, shapely.LineString]:
    """Centrelines by the number of the tree, each in one part."""
    column = next((name for name in NUMBERS if lines is not None and name in lines), None)
    if column is None:
        return {}
    known = zip(lines[column], plane.from_crs(lines.geometry.to_numpy(), lines.crs, where), strict=True)
    return {key: joined(line) for key, line in known if shapely.get_num_coordinates(line) > 1}


def joined(line: shapely.LineString | shapely.MultiLineString) -> shapely.LineString:
    """Put the parts of a centreline together as they follow each other; a seam of the image moves them a little apart.

    Each part runs from base to top, but they come in any order.
    """
    parts = [shapely.get_coordinates(part) for part in shapely.get_parts(line)]
    along = np.subtract(*max(((part[-1], part[0]) for part in parts), key=lambda ends: np.hypot(*(ends[0] - ends[1]))))
    return shapely.LineString(np.concatenate(sorted(parts, key=lambda part: float((part[0] + part[-1]) @ along))))

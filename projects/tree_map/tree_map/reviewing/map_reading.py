"""A map's file back into memory, a ``SceneMap`` for each scene; also one that was edited in QGIS."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import shapely

from data_prep.convert import coco_reading
from data_prep.errors import DataError
from data_prep.labels.strict_json import read_json
from data_prep.labels.vectors import check_magic
from data_prep.polygons import unusable
from data_prep.scenes import json_kind
from tree_map.reviewing.trees import polygon_of, tree_number
from tree_map.scene_map import SceneMap

SUFFIXES = ('.gpkg', '.json')
# Values of the table `provenance` that are JSON; all others are text as it is.
AS_JSON = ('width', 'height', 'transform', 'stretch_lo_hi', 'bands', 'classes', 'scale', 'gsd_m', 'scenes')


def read_maps(path: Path) -> list[SceneMap]:
    """Read the trees of a map, scene by scene, with how it was made; other layers are not read.

    Args:
        path: ``.gpkg`` or ``.json`` (COCO), as ``tools/predict.py`` writes them.

    Returns:
        A map for each scene, in the order in which they were mapped. One from COCO has no CRS, its trees lie in
        (x, -y) of source pixels. Features that were drawn later have no ``tree_id``.

    Raises:
        DataError: If it is no such file, or it does not say how it was made.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f'a map to correct must end in {", ".join(SUFFIXES)}, which hold whole outlines; got {path}')
    return _from_geopackage(path) if suffix == '.gpkg' else _from_coco(path)


def class_of(value: object, classes: Sequence[str], where: str) -> str:
    """Class of a tree; where the map has but one, a tree that was drawn later need not say it.

    Raises:
        DataError: If it says none of several.
    """
    if isinstance(value, str) and value.strip():
        return value.strip()
    if len(classes) > 1:
        raise DataError(f"{where} must have one of the classes {', '.join(classes)} in the field 'class'; it is empty; "
                        f'fill it in')  # fmt: skip
    return classes[0]


def numbered(scene_map: SceneMap, path: Path) -> SceneMap:
    """The same map with a number and a class for each tree, also for those drawn or copied in QGIS.

    Raises:
        DataError: If a tree has no class, or no outline.
    """
    trees, classes = scene_map.trees.copy(), list(scene_map.provenance['classes'])
    for row, outline in enumerate(trees.geometry):
        if problem := unusable(outline):
            raise DataError(f'{path}, tree {row + 1}: {problem}; delete it')
    trees['class'] = [class_of(name, classes, f'{path}, tree {row}') for row, name in enumerate(trees['class'], 1)]
    old = trees['tree_id'].isna() | trees['tree_id'].duplicated()
    first = 1 if old.all() else int(trees['tree_id'].max()) + 1
    trees.loc[old, 'tree_id'] = range(first, first + int(old.sum()))
    return SceneMap(trees, provenance=scene_map.provenance)


def _from_geopackage(path: Path) -> list[SceneMap]:
    check_magic(path)
    try:
        layers = {name for name, _ in pyogrio.list_layers(path)}
        if not {'trees', 'provenance'} <= layers:
            raise DataError(f'{path} must hold the layers trees and provenance of a map; got {sorted(layers)}')
        trees = gpd.read_file(path, layer='trees')
        with closing(sqlite3.connect(f'{path.resolve().as_uri()}?mode=ro', uri=True)) as base:
            texts = dict(base.execute('SELECT key, value FROM provenance'))
    except (RuntimeError, sqlite3.Error) as error:  # the former are pyogrio's own
        raise DataError(f'{path} cannot be read: {error}; copy it again') from None
    made = {key: _value(path, key, text) for key, text in texts.items()}
    scenes = made['scenes'] if isinstance(made.get('scenes'), list) else [made]
    names = [scene.get('scene') for scene in scenes]
    owners = _owners(path, trees, names)
    return [_scene_map(path, trees[owners == name], scene) for name, scene in zip(names, scenes, strict=True)]


def _value(path: Path, key: str, text: str | None) -> Any:
    if key not in AS_JSON or text is None:
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise DataError(f"{path}: '{key}' of the provenance must be JSON; got {text[:40]!r}; map again") from None


def _owners(path: Path, trees: gpd.GeoDataFrame, names: list[str]) -> np.ndarray:
    """Name of each tree's scene; where there is but one, new trees need not say it."""
    given = trees['scene'].to_numpy('object') if 'scene' in trees else np.full(len(trees), None)
    if len(names) == 1:
        return np.full(len(trees), names[0], object)
    for number, name in enumerate(given, 1):
        if name not in names:
            raise DataError(f"{path}, tree {number} must name its scene in the field 'scene', one of "
                            f'{", ".join(names)}; got {name!r}; fill it in')  # fmt: skip
    return given


def _scene_map(path: Path, trees: gpd.GeoDataFrame, provenance: Mapping[str, Any]) -> SceneMap:
    missing = [key for key in ('scene', 'width', 'height', 'classes') if not provenance.get(key)]
    if missing:
        raise DataError(f'{path} does not say {", ".join(missing)} of its scene; map it again with tools/predict.py')
    if 'tree_id' in trees and (trees['tree_id'].astype('float64') % 1 > 0).any():
        raise DataError(f'{path}: tree_id must be a whole number or empty; correct it')
    try:
        return SceneMap(trees.reset_index(drop=True), provenance=dict(provenance))
    except ValueError as error:
        raise DataError(f'{path}: {error}; correct it, or copy the map again') from None


def _from_coco(path: Path) -> list[SceneMap]:
    content = read_json(path)
    if json_kind(path, content) != 'coco':
        raise DataError(f'{path} must be a map as COCO; got another kind of labels; pass the file that predict wrote')
    info = content.get('info')
    made = info.get('provenance') if isinstance(info, dict) else None
    documents = coco_reading.read(path, content)
    if not isinstance(made, list) or len(made) != len(documents):
        raise DataError(f'{path} does not say how it was made (info.provenance); pass the file that predict wrote')
    return [_scene_map(path, _frame(document.items, scene), scene)
            for document, scene in zip(documents, made, strict=True)]  # fmt: skip


def _frame(items: Iterable[Any], provenance: Mapping[str, Any]) -> gpd.GeoDataFrame:
    scene = provenance.get('scene')
    rows = [{'tree_id': tree_number(item.extra.get('object_id'), scene), 'class': item.label,
             'score': item.extra.get('score'), 'scene': scene} for item in items]  # fmt: skip
    outlines = [shapely.transform(polygon_of(item.parts), lambda xy: xy * (1, -1)) for item in items]
    return gpd.GeoDataFrame(rows, columns=['tree_id', 'class', 'score', 'scene'], geometry=outlines)

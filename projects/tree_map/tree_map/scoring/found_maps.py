"""Maps that ``tools/predict.py`` wrote, read back scene by scene: GeoPackage, GeoJSON and COCO."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine
from pyogrio.errors import DataLayerError, DataSourceError

from data_prep.errors import DataError
from data_prep.imagery.rasters import RasterInfo
from data_prep.labels.coco_file import outline, parse_coco
from data_prep.labels.strict_json import read_json
from data_prep.labels.vectors import check_magic
from data_prep.polygons import repair
from tree_map.scoring.scored_scene import MEASURES

Record = dict[str, Any]
# Values of the table `provenance` that are JSON; all others are text as it is.
JSON_KEYS = ('width', 'height', 'transform', 'scale', 'gsd_m', 'score_thr', 'classes', 'scenes', 'unread_windows')
AGAIN = 'pass a map that tools/predict.py wrote'


@dataclass(frozen=True)
class FoundScene:
    """What a map holds of one scene.

    Attributes:
        name: Of the scene.
        file: The map.
        trees: With the columns of ``columns.TREES`` that the file has; geometry in its CRS, without one in (x, -y) of
            source pixels.
        lines: Centrelines by tree_id, likewise; empty where the file has none.
        provenance: How the map was made.
        info: Header of the raster as the map tells it; None where it does not say the CRS.
    """

    name: str
    file: Path
    trees: gpd.GeoDataFrame
    lines: dict[int, shapely.LineString]
    provenance: Record
    info: RasterInfo | None


def read_maps(paths: Sequence[Path]) -> list[FoundScene]:
    """Read maps.

    Raises:
        DataError: If one is not a map, or two hold the same scene.
    """
    readers = {'.gpkg': _read_geopackage, '.geojson': _read_geojson, '.json': _read_coco}
    found: dict[str, FoundScene] = {}
    for path in paths:
        if path.suffix.lower() not in readers:
            raise DataError(f'a map must end in {", ".join(readers)}; got {path}')
        for scene in readers[path.suffix.lower()](path):
            if scene.name in found:
                raise DataError(f'the scene {scene.name} stands in {found[scene.name].file} and {path}; pass one map')
            found[scene.name] = scene
    return list(found.values())


def threshold_of(maps: Sequence[FoundScene]) -> float:
    """The score below which the maps hold no tree: the greatest that any of them says, 0 where none does."""
    said = [scene.provenance.get('score_thr') for scene in maps]
    return max((float(value) for value in said if isinstance(value, int | float)), default=0.0)


def _read_geopackage(path: Path) -> list[FoundScene]:
    check_magic(path)
    try:
        names = {name for name, _ in pyogrio.list_layers(path)}
        if not {'trees', 'provenance'} <= names:
            raise DataError(f'{path} must have the layers trees and provenance; got {sorted(names)}; {AGAIN}')
        trees = pyogrio.read_dataframe(path, layer='trees')
        lines = pyogrio.read_dataframe(path, layer='centrelines') if 'centrelines' in names else None
        table = pyogrio.read_dataframe(path, layer='provenance')
    except (DataLayerError, DataSourceError) as error:
        raise DataError(f'{path} cannot be read: {error}; {AGAIN}') from None
    known = {key: _value(path, key, text) for key, text in zip(table['key'], table['value'], strict=True)}
    by_id = {} if lines is None else dict(zip(lines['tree_id'], lines.geometry, strict=True))
    return _by_scene(path, trees, by_id, known)


def _value(path: Path, key: str, text: object) -> Any:
    if not isinstance(text, str):
        return None
    try:
        return json.loads(text) if key in JSON_KEYS else text
    except ValueError:
        raise DataError(f"{path}: provenance '{key}' must be JSON; got {text[:60]!r}; {AGAIN}") from None


def _read_geojson(path: Path) -> list[FoundScene]:
    content = read_json(path)
    known = content.get('provenance') if isinstance(content, dict) else None
    if not isinstance(known, dict) or not isinstance(content.get('features'), list):
        raise DataError(f"{path} has no member 'provenance', so nobody knows its scene; {AGAIN}")
    features = content['features']
    trees = gpd.GeoDataFrame.from_features(features, crs=4326) if features else _no_trees(4326)
    return _by_scene(path, trees, {}, known)


def _no_trees(crs: object) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({'tree_id': [], 'class': [], 'score': [], 'scene': []}, geometry=[], crs=crs)


def _by_scene(path: Path, trees: gpd.GeoDataFrame, lines: dict, known: Record) -> list[FoundScene]:
    """Split a map by its column ``scene``; a scene without a tree counts."""
    scenes = known.get('scenes') or [known]
    names = [item.get('scene') for item in scenes]
    for column in ('tree_id', 'class', 'score'):
        if column not in trees or trees[column].isna().any():
            raise DataError(f"{path}: every tree must have a '{column}'; {AGAIN}")
    owner = trees['scene'] if 'scene' in trees and len(scenes) > 1 else np.full(len(trees), names[0], object)
    strange = sorted({str(name) for name in owner} - {str(name) for name in names})
    if strange:
        raise DataError(f'{path} has trees of the scene {strange[0]!r}, which its provenance does not name; {AGAIN}')
    found = []
    for name, item in zip(names, scenes, strict=True):
        own = trees[np.asarray(owner == name, bool)].reset_index(drop=True)
        unread = [entry for entry in known.get('unread_windows') or () if entry.get('scene') in (name, None)]
        item = {**known, **item, 'unread_windows': unread}
        crs = None if trees.crs is None else trees.crs.to_wkt()
        info = None if path.suffix.lower() == '.geojson' else header(path, item, crs)
        mine = {number: lines[number] for number in own['tree_id'] if number in lines}
        found.append(FoundScene(str(name), path, own, mine, item, info))
    return found


def header(path: Path, known: Record, crs: str | None) -> RasterInfo:
    """Header of a scene's raster as its map tells it.

    Raises:
        DataError: If size or transform are missing.
    """
    size, transform = (known.get('width'), known.get('height')), known.get('transform')
    if not all(isinstance(side, int) and side > 0 for side in size):
        raise DataError(f'{path}: provenance must say width and height of the scene; got {size}; {AGAIN}')
    if crs and not (isinstance(transform, list) and len(transform) == 6):
        raise DataError(f'{path}: provenance must hold six numbers as transform; got {transform!r}; {AGAIN}')
    return RasterInfo(
        path=Path(known.get('source') or known.get('file_name') or str(known.get('scene'))),
        width=size[0],
        height=size[1],
        count=1,
        dtype='uint8',
        crs=rasterio.CRS.from_user_input(crs) if crs else None,
        transform=Affine(*transform) if crs else Affine.identity(),
        nodata=None,
    )


def _read_coco(path: Path) -> list[FoundScene]:
    content = read_json(path)
    said = content.get('info', {}).get('provenance') if isinstance(content, dict) else None
    if not isinstance(said, list) or len(said) != len(content.get('images', ())):
        raise DataError(f"{path} has no 'info.provenance' for each of its images; {AGAIN}")
    coco, found = parse_coco(path, content), []
    for image, known in zip(coco.images.values(), said, strict=True):
        info = header(path, {**known, **image}, image.get('crs'))
        trees = [_tree(path, coco.label(number, entry), number, entry, (info.width, info.height))
                 for number, entry in coco.annotations[image['id']]]  # fmt: skip
        frame = gpd.GeoDataFrame(trees, geometry='geometry') if trees else _no_trees(None)
        found.append(FoundScene(str(image.get('scene') or known.get('scene')), path, frame, {}, known, info))
    return found


def _tree(path: Path, label: str | None, number: int, entry: Record, size_wh: tuple[int, int]) -> Record:
    """A row of the frame; the rings of a tree with a hole share edges and are put together again."""
    parts, problems = outline(entry.get('segmentation'), size_wh)
    if not parts or not isinstance(entry.get('score'), int | float):
        reason = problems[0] if problems else 'no outline' if not parts else 'no score'
        raise DataError(f'{path}, annotation {number} must have an outline and a score: {reason}; {AGAIN}')
    polygon = shapely.union_all([repair(shapely.Polygon(part[0], part[1:]))[0] for part in parts])
    tree_id = int(str(entry.get('object_id', number)).rpartition('/')[2])
    return {
        'tree_id': tree_id,
        'class': label,
        'score': float(entry['score']),
        **{name: entry.get(name) for name in MEASURES},
        'geometry': shapely.transform(polygon, lambda xy: xy * (1, -1)),
    }

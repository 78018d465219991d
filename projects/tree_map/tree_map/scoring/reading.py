"""Maps and labels to scenes that can be scored: paired, in one plane of metres, on the ground that was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from data_prep.errors import DataError
from data_prep.grid import Grid
from data_prep.imagery.rasters import SUFFIXES, RasterInfo, raster_info, sha256
from data_prep.labels.label_map import LabelMap
from data_prep.polygons import polygon_parts
from data_prep.scenes import unique_names
from tree_map.scoring.found_maps import FoundScene, read_maps
from tree_map.scoring.label_rules import LabelRules, Tell
from tree_map.scoring.plane import Plane, plane_of
from tree_map.scoring.scored_scene import MEASURES, ScoredScene
from tree_map.scoring.trimming import on_ground, with_measures
from tree_map.scoring.truth_files import label_file, read_truth

COLUMNS = ['tree_id', 'class', *MEASURES, 'centreline']


def read_scenes(
    maps: Sequence[Path | FoundScene],
    truth: Path,
    *,
    scenes: Sequence[Path] = (),
    layer: str | None = None,
    label_field: str = 'label',
    label_map: LabelMap | None = None,
    classes: Sequence[str] = (),
    skip_other_labels: bool = False,
    gsd_of_scene: float | None = None,
    note: Tell = lambda line: None,
) -> list[ScoredScene]:
    """Read maps and the labels of their scenes.

    Args:
        maps: Files that ``tools/predict.py`` wrote, or what ``read_maps`` made of them.
        truth: A label file, or a folder of them, paired by the names of the scenes.
        scenes: Rasters, or folders of them, where they do not lie where the maps say.
        layer: Of a GeoPackage of labels with several.
        label_field: Field of vector files that holds the class.
        label_map: Renames labels.
        classes: That are scored; empty: those of the maps.
        skip_other_labels: Pass over other labels instead of refusing them.
        gsd_of_scene: Side of a pixel, m, of scenes without a CRS.
        note: Is told each thing that a user should look at.

    Returns:
        One for each scene that has labels, in the order of the maps.

    Raises:
        DataError: If a file cannot be used, no scene has labels, or nobody knows how long a metre is.
    """
    found = [item for item in maps if isinstance(item, FoundScene)]
    found += read_maps([item for item in maps if not isinstance(item, FoundScene)])
    known = tuple(classes) or tuple(dict.fromkeys(name for scene in found for name in _classes(scene)))
    rules = LabelRules(layer, label_field, label_map or {}, known, skip_other_labels)
    rasters = unique_names((path.stem, path) for item in scenes for path in _rasters(Path(item)))
    scored = []
    for scene in found:
        info = _header(scene, rasters.get(scene.name), note)
        file = label_file(Path(truth), scene.name, scene.provenance.get('file_name') or info.path.name)
        if file is None:
            note(f'{scene.name} is not scored: {truth} holds no labels of that name')
            continue
        scored.append(_scored(scene, plane_of(info, gsd_of_scene or told_gsd(scene)), file, rules, note))
    if not scored:
        raise DataError(f'{truth} holds labels of no scene of the maps ({", ".join(item.name for item in found[:3])}); '
                        f'give them the names of the scenes')  # fmt: skip
    if not sum(len(item.truth) for item in scored) and any(len(item.found) for item in scored):
        note('no tree is labelled on the ground looked at; check that maps and labels belong together')
    return scored


def _classes(scene: FoundScene) -> list[str]:
    return list(scene.provenance.get('classes') or sorted(set(scene.trees['class'])))


def _rasters(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not path.is_file():
        raise DataError(f'--scenes {path} does not exist; name rasters or folders of them')
    return [path]


def told_gsd(scene: FoundScene) -> float | None:
    """Side of a source pixel, m, as the map tells it."""
    gsd_m, scale = scene.provenance.get('gsd_m'), scene.provenance.get('scale') or 1.0
    return gsd_m * scale if gsd_m else None


def _header(scene: FoundScene, given: Path | None, note: Tell) -> RasterInfo:
    """Header of the scene's raster: as the map tells it, else from the raster, which is compared where it is there."""
    source = scene.provenance.get('source')
    path = given or (Path(source) if source and Path(source).is_file() else None)
    if path is None and scene.info is None:
        raise DataError(f'{scene.file} does not say the CRS of {scene.name}, and its raster {source} is not there; '
                        f'pass --scenes FOLDER')  # fmt: skip
    if path is None:
        return scene.info
    info, wanted = raster_info(path), scene.provenance.get('source_sha256')
    if scene.info is not None and (info.width, info.height) != (scene.info.width, scene.info.height):
        raise DataError(f'{path} has {info.width} x {info.height} px; {scene.file} was made of {scene.info.width} x '
                        f'{scene.info.height} px; pass the raster that was mapped as --scenes')  # fmt: skip
    if wanted and sha256(path) != wanted:
        note(f'{path} has changed since {scene.file} was made of it')
    return info if scene.info is None else scene.info


def _scored(scene: FoundScene, plane: Plane, file: Path, rules: LabelRules, note: Tell) -> ScoredScene:
    ground = ground_of(scene, plane)
    labelled = read_truth(scene.name, file, plane, rules, note)
    inside = on_ground(labelled, ground)
    if len(labelled) > len(inside):
        note(f'{scene.name}: {len(labelled) - len(inside)} of {len(labelled)} labelled trees lie outside the ground '
             f'looked at and are left out')  # fmt: skip
    ignored = inside.get('ignored', pd.Series(False, inside.index)).to_numpy(bool)
    found = on_ground(found_in(scene, plane, rules.classes), ground)
    return ScoredScene(
        name=scene.name,
        truth=with_measures(inside[~ignored], plane.gsd_m)[[*COLUMNS, 'geometry']],
        found=with_measures(found, scene.provenance.get('gsd_m') or plane.gsd_m)[['score', *COLUMNS, 'geometry']],
        ground=ground,
        gsd_m=plane.gsd_m,
        plane_to_pixel=plane.plane_to_pixel,
        ignored=inside.loc[ignored, ['class', 'geometry']].reset_index(drop=True),
    )


def ground_of(scene: FoundScene, plane: Plane) -> shapely.Geometry:
    """The scene without the windows that could not be read."""
    grid = Grid((plane.info.width, plane.info.height), scene.provenance.get('scale') or 1.0)
    windows = [entry['window_xywh'] for entry in scene.provenance.get('unread_windows') or ()]
    if not windows:
        return plane.extent
    x, y, width, height = np.array(windows, float).T
    boxes = shapely.transform(shapely.box(x, y, x + width, y + height), lambda xy: xy * grid.step_xy)
    return shapely.difference(plane.extent, shapely.union_all(plane.from_pixels(boxes)))


def found_in(scene: FoundScene, plane: Plane, classes: Sequence[str]) -> gpd.GeoDataFrame:
    """Found trees of these classes in the plane, surest first, with what the map says of them."""
    trees = scene.trees[scene.trees['class'].isin(classes)].sort_values('score', ascending=False, kind='stable')
    shapes, lines = trees.geometry.to_numpy(), np.array([scene.lines.get(key) for key in trees['tree_id']], object)
    if scene.info is None:
        shapes = plane.from_crs(shapes, trees.crs, str(scene.file))
    elif trees.crs is None:  # (x, -y) in source pixels
        shapes, lines = (plane.from_pixels(_flipped(items)) for items in (shapes, lines))
    else:
        shapes, lines = plane.from_map(shapes), plane.from_map(lines)
    said = {name: trees[name].to_numpy() for name in MEASURES if name in trees}
    frame = pd.DataFrame({'tree_id': trees['tree_id'].to_numpy(int), 'class': trees['class'].to_numpy(object),
                          'score': trees['score'].to_numpy(float), **said})  # fmt: skip
    frame['centreline'] = pd.Series(lines, dtype=object)
    return gpd.GeoDataFrame(frame, geometry=[polygon_parts(shape) for shape in shapely.make_valid(shapes)])


def _flipped(geometries: np.ndarray) -> np.ndarray:
    return shapely.transform(geometries, lambda xy: xy * (1, -1))

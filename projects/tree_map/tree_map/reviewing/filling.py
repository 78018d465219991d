"""From maps to files that people correct: LabelMe or COCO, over the scenes themselves or over crops of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from data_prep.errors import DataError
from data_prep.grid import Window
from data_prep.imagery.rasters import RasterInfo, raster_info
from data_prep.labels.strict_json import write_json
from tree_map.reviewing.doubts import Doubt, doubts, write_table
from tree_map.reviewing.folder import COCO, KEPT, Review, found_scene, keep
from tree_map.reviewing.pictures import write_pictures
from tree_map.reviewing.sheets import Sheet, crops
from tree_map.scene_map import SceneMap
from tree_map.writing.coco import coco_content, image_size
from tree_map.writing.labelme import write_labelme
from tree_map.writing.rings import in_pixels

LARGE = 4096  # pixels a side from which on LabelMe is slow or refuses
PLACE = 1e-6  # pixels by which the place of a raster may differ from that of its map


@dataclass(frozen=True)
class Filling:
    """How files are filled.

    Attributes:
        format: labelme or coco.
        score_thr: Trees below are left out.
        tiles: Side of the crops in source pixels; None takes the scenes themselves.
        uncertain_first: Whether doubtful trees come first, in the table and in each file.
    """

    format: str = 'labelme'
    score_thr: float = 0.0
    tiles: int | None = None
    uncertain_first: bool = False


def fill(maps: Sequence[SceneMap], rasters: Mapping[str, Path], folder: Path, how: Filling) -> tuple[Review, list[str]]:
    """Write the files of a review, the table ``review.csv`` and what was found.

    Args:
        maps: One a scene.
        rasters: Of the scenes, by name; LabelMe and crops need them all.
        folder: Of the review; made where it is missing.
        how: Format, threshold, crops and order.

    Returns:
        What was written, and what is worth saying.

    Raises:
        DataError: If a raster is missing or is not the one that was mapped, or the folder holds a review already.
        OSError: If the disk is full or the folder not writable.
    """
    if (folder / KEPT).exists():
        raise DataError(f'{folder} holds a review already, which may have been corrected; choose another --out')
    infos = [_raster(item, rasters.get(item.provenance['scene']), how) for item in maps]
    folder.mkdir(parents=True, exist_ok=True)
    review, drawn, table, notes = Review(how.format, [], []), [], [], []
    for scene_map, info in zip(maps, infos, strict=True):
        trees, doubtful = _chosen(scene_map, how)
        own = _sheets(trees, info, folder, how)
        if how.tiles:
            own = write_pictures(info.path, trees, own, folder)
        raster = None if info is None else Path(os.path.relpath(info.path, folder)).as_posix()
        review.scenes.append(found_scene(trees, raster))
        review.sheets.extend(own)
        drawn += [on_sheet(trees, sheet) for sheet in own]
        table += [(sheet.name, doubtful[row]) for sheet in own for row in sheet.rows]
        notes += _warnings(info, how)
    _write(review.sheets, drawn, folder, how)
    write_table(table, folder / 'review.csv', uncertain_first=how.uncertain_first)
    keep(review, folder)
    return review, notes


def _raster(scene_map: SceneMap, path: Path | None, how: Filling) -> RasterInfo | None:
    """Header of a scene's raster, held against its map."""
    made, scene = scene_map.provenance, scene_map.provenance['scene']
    if path is None:
        if how.format == 'labelme' or how.tiles:
            raise DataError(f'the raster of scene {scene} is needed and was not found; pass --scenes with its folder')
        return None
    info = raster_info(path)
    if (info.width, info.height) != image_size(scene_map):
        width, height = image_size(scene_map)
        raise DataError(f'scene {scene} was mapped on {width} x {height} px; {path} has {info.width} x {info.height} '
                        f'px; pass the raster that was mapped')  # fmt: skip
    if scene_map.crs is not None and not np.allclose(info.transform[:6], made['transform'], rtol=0,
                                                     atol=PLACE * abs(made['transform'][0] or 1)):  # fmt: skip
        raise DataError(f'scene {scene} was mapped at {made["transform"]}; {path} lies at {list(info.transform[:6])}; '
                        f'pass the raster that was mapped')  # fmt: skip
    return info


def _chosen(scene_map: SceneMap, how: Filling) -> tuple[SceneMap, list[Doubt]]:
    """Trees to correct in the order of the files, and what is doubtful of each."""
    scores = scene_map.trees['score'].fillna(1)
    kept = scene_map.trees[scores >= how.score_thr].reset_index(drop=True)
    found = doubts(SceneMap(kept, provenance=scene_map.provenance))
    order = sorted(range(len(kept)), key=lambda n: -found[n].doubt) if how.uncertain_first else list(range(len(kept)))
    trees = SceneMap(kept.iloc[order].reset_index(drop=True), provenance=scene_map.provenance)
    return trees, [found[n] for n in order]


def _sheets(trees: SceneMap, info: RasterInfo | None, folder: Path, how: Filling) -> list[Sheet]:
    scene, size = trees.provenance['scene'], image_size(trees)
    if how.tiles:
        return crops(scene, size, shapely.bounds(in_pixels(trees)), how.tiles)
    image = trees.provenance.get('file_name') or scene
    if info is not None:
        image = Path(os.path.relpath(info.path, folder)).as_posix()
    return [Sheet(scene, scene, Window(0, 0, *size), image, True, list(range(len(trees.trees))))]


def on_sheet(scene_map: SceneMap, sheet: Sheet) -> SceneMap:
    """The trees of one sheet, as a map of its own picture."""
    x, y, width, height = sheet.window
    made, trees = dict(scene_map.provenance), scene_map.trees.iloc[sheet.rows]
    made |= {'width': width, 'height': height, 'file_name': Path(sheet.image).name}
    if scene_map.crs is None:
        trees = trees.set_geometry(trees.geometry.translate(-x, y))
    else:
        a, b, c, d, e, f = scene_map.pixel_to_map
        made['transform'] = [a, b, a * x + b * y + c, d, e, d * x + e * y + f]
    return SceneMap(trees, provenance=made)


def _write(sheets: Sequence[Sheet], drawn: Sequence[SceneMap], folder: Path, how: Filling) -> None:
    if how.format == 'labelme':
        for sheet, scene_map in zip(sheets, drawn, strict=True):
            write_labelme(scene_map, folder / f'{sheet.name}.json', folder / sheet.image)
        return
    content = coco_content(drawn)
    for image, sheet in zip(content['images'], sheets, strict=True):
        image['window_xywh'] = list(sheet.window)
    for entry in content['annotations']:  # of CVAT, which brings attributes back, and no other keys
        entry['attributes'] = {'object_id': entry['object_id'], 'score': entry['score']}
    write_json(folder / COCO, content)


def _warnings(info: RasterInfo | None, how: Filling) -> list[str]:
    """What a labelling tool will not like about a raster."""
    if info is None or how.tiles:
        return []
    odd = [f'{info.width} x {info.height} px'] if max(info.width, info.height) > LARGE else []
    odd += [] if info.dtype == 'uint8' and info.count in (1, 3) else [f'{info.count} bands of {info.dtype}']
    return [f'{info.path} has {" and ".join(odd)}, which LabelMe may not open; pass --tiles 2048'] if odd else []

"""One scene becomes tiles: plan the windows, clip the objects, read, write. Scenes do not depend on each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
import shapely

from data_prep.atomic import atomic_write
from data_prep.coco import Record, annotation, image
from data_prep.grid import Window, tile_name, tile_windows
from data_prep.imagery.pixels import encode_png, read_tile
from data_prep.imagery.rasters import RasterInfo, open_raster
from data_prep.labels.objects import SceneObject
from data_prep.polygons import clip, to_tile
from data_prep.tile.splits import Region

MIN_SIDE_PX = 1.0  # of the bounding box; thinner parts are slivers that no mask can show
MIN_AREA_PX = 4.0


@dataclass(frozen=True)
class TileRule:
    """How scenes are cut."""

    tile_size: int = 512  # pixels
    overlap: float = 0.25  # of train tiles
    min_visible: float = 0.5  # of the whole object's area
    max_nodata: float = 0.95  # of a tile without objects


@dataclass
class Tile:
    """One tile with its annotations, both without ids."""

    split: str
    image: Record
    annotations: list[Record]
    written: bool = True

    @property
    def window(self) -> Window:
        """The tile in source pixels."""
        return Window(*self.image['window_xywh'])

    @property
    def read(self) -> Window:
        """The filled part, in source pixels."""
        return Window(*self.image['read_xywh'])


@dataclass
class SceneTiles:
    """The tiles of a scene, row by row within each region, and what was left out."""

    tiles: list[Tile] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # slivers, parts_below_min_visible, tiles dropped for nodata


@dataclass(frozen=True)
class SceneJob:
    """All that one scene needs; plain data, so that it can be handed to another process."""

    info: RasterInfo
    objects: Sequence[SceneObject]
    regions: Sequence[Region]
    keys: Record  # of coco.scene_keys
    category_ids: dict[str, int]
    rule: TileRule


def count_windows(job: SceneJob) -> int:
    """Number of windows a scene is cut into."""
    return sum(len(_windows(region, job.rule)) for region in job.regions)


def cut_scene(job: SceneJob, images: Path, on_tile: Callable[[], object] = lambda: None) -> SceneTiles:
    """Write the tiles of one scene.

    Train tiles without an object are not written but listed with ``written=False``: how many are wanted is known only
    after all scenes (see ``write_tiles``).

    Args:
        job: The scene.
        images: Folder that holds a folder for each split.
        on_tile: Called after each window.

    Returns:
        Tiles that hold enough data.

    Raises:
        DataError: If the raster cannot be read to its end.
    """
    result = SceneTiles()
    with open_raster(job.info.path) as dataset:
        for region in job.regions:
            for window, parts in _plan(job, region, result.counts):
                tile = _describe(job, region, window, parts)
                pixels, nodata_share = _read(dataset, tile)
                limit = 1.0 if tile.annotations else job.rule.max_nodata
                if nodata_share == 1 or nodata_share > limit:
                    result.counts['tiles_dropped_for_nodata'] += 1
                    result.counts['parts_in_dropped_tiles'] += len(tile.annotations)
                else:
                    tile.written = bool(tile.annotations) or region.split != 'train'
                    if tile.written:
                        _write(images, tile, pixels)
                    result.tiles.append(tile)
                on_tile()
    return result


def write_tiles(job: SceneJob, tiles: Sequence[Tile], images: Path) -> None:
    """Write listed tiles of one scene that were not written before."""
    with open_raster(job.info.path) as dataset:
        for tile in tiles:
            _write(images, tile, _read(dataset, tile)[0])
            tile.written = True


def _read(dataset: rasterio.DatasetReader, tile: Tile) -> tuple[np.ndarray, float]:
    return read_tile(dataset, tile.window, tile.read, tile.image['bands'], tile.image['stretch_lo_hi'])


def _write(images: Path, tile: Tile, pixels: np.ndarray) -> None:
    with atomic_write(images / tile.split / tile.image['file_name'], 'wb', sync=False) as file:
        file.write(encode_png(pixels))


def _windows(region: Region, rule: TileRule) -> list[Window]:
    overlap = rule.overlap if region.split == 'train' else None
    return tile_windows(region.window, rule.tile_size, overlap)


def _plan(job: SceneJob, region: Region, counts: Counter[str]) -> Iterator[tuple[Window, list[Record]]]:
    """Windows of a region with the annotations of each, in the order of the objects."""
    tree = shapely.STRtree([item.polygon for item in job.objects])
    for window in _windows(region, job.rule):
        read = window.intersect(region.window)
        box = (read.x, read.y, read.right, read.bottom)
        touching = sorted(tree.query(shapely.box(*box)).tolist())
        parts = (_visible_part(job, job.objects[index], window, box, counts) for index in touching)
        yield window, [part for part in parts if part is not None]


def _visible_part(
    job: SceneJob, item: SceneObject, window: Window, box: tuple[int, int, int, int], counts: Counter[str]
) -> Record | None:
    """Annotation of what a window shows of an object; None where that is too little."""
    part = clip(item.polygon, box)
    if part is None:
        return None
    fraction = part.area / item.polygon.area
    if fraction < job.rule.min_visible - 1e-9:  # a half cut by floating point stays a half
        counts['parts_below_min_visible'] += 1
        return None
    part = to_tile(part, window.x, window.y)
    if part is None or _is_sliver(part):
        counts['slivers'] += 1
        return None
    return annotation(
        part,
        (window.width, window.height),
        category_id=job.category_ids[item.label],
        object_id=item.object_id,
        visible_fraction=min(fraction, 1.0),
    )


def _is_sliver(part: shapely.Geometry) -> bool:
    x0, y0, x1, y1 = part.bounds
    return min(x1 - x0, y1 - y0) < MIN_SIDE_PX or part.area < MIN_AREA_PX


def _describe(job: SceneJob, region: Region, window: Window, parts: list[Record]) -> Tile:
    read = window.intersect(region.window)
    entry = image(tile_name(job.keys['scene'], window), window, read, scene=job.keys, info=job.info)
    return Tile(region.split, entry, parts)

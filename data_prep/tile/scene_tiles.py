"""One scene becomes tiles: plan the windows, clip the objects, read a block, write. Blocks depend on no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import rasterio
import shapely

from data_prep.coco import Record, annotation, image
from data_prep.grid import Window, tile_name, tile_windows
from data_prep.imagery.rasters import RasterInfo, open_raster
from data_prep.labels.objects import SceneObject
from data_prep.polygons import Area, clip, to_tile
from data_prep.tile.blocks import CACHE_BYTES, Block, around
from data_prep.tile.splits import Region
from data_prep.tile.tile_files import FileRule, write_tile

MIN_SIDE_PX = 1.0  # of the bounding box; thinner parts are slivers that no mask can show
MIN_AREA_PX = 4.0


@dataclass(frozen=True)
class TileRule:
    """How scenes are cut."""

    tile_size: int = 512  # pixels
    overlap: float = 0.25  # of train tiles
    min_visible: float = 0.5  # of the whole object's area
    max_nodata: float = 0.95  # of a tile without objects
    border: str = 'auto'  # or 'pad', 'shift', see ``grid.tile_windows``
    partial: str = 'keep'  # or 'drop', 'crowd': what becomes of parts below min_visible


@dataclass
class Tile:
    """One tile with its annotations, both without ids."""

    split: str
    window: Window  # in pixels of the scene's grid
    read: Window  # its filled part
    image: Record
    annotations: list[Record]
    written: bool = True

    @property
    def has_objects(self) -> bool:
        """Whether it shows more than regions to ignore."""
        return any(not part['iscrowd'] for part in self.annotations)


@dataclass
class SceneTiles:
    """Tiles of a scene, or of a block of it, and what was left out."""

    tiles: list[Tile] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # slivers, parts_below_min_visible, tiles dropped for nodata
    files: dict[str, int] = field(default_factory=dict)  # sizes of what was written, by path in the data set


@dataclass(frozen=True)
class SceneJob:
    """All that one scene needs; plain data, so that it can be handed to another process."""

    info: RasterInfo
    objects: Sequence[SceneObject]
    regions: Sequence[Region]
    keys: Record  # of coco.scene_keys
    category_ids: dict[str, int]
    rule: TileRule
    files: FileRule = FileRule()


def region_windows(region: Region, rule: TileRule) -> list[Window]:
    """Windows of a region, row by row."""
    overlap = rule.overlap if region.split == 'train' else None
    return tile_windows(region.window, rule.tile_size, overlap, rule.border)


def count_windows(job: SceneJob) -> int:
    """Number of windows a scene is cut into."""
    return sum(len(region_windows(region, job.rule)) for region in job.regions)


def describe(job: SceneJob, region: Region, window: Window, parts: list[Record]) -> Tile:
    """Tile of a window, with its image entry."""
    read = window.intersect(region.window)
    name = tile_name(job.keys['scene'], window, job.files.suffix)
    return Tile(region.split, window, read, image(name, window, read, scene=job.keys, info=job.info), parts)


def cut_block(job: SceneJob, region: Region, windows: Sequence[Window], folder: Path) -> SceneTiles:
    """Write the tiles of one block.

    Train tiles without an object are not written but listed with ``written=False``: how many are wanted is known only
    after all scenes (see ``write_empty``).

    Args:
        job: The scene; objects that touch no window may be left out.
        region: That the windows belong to.
        windows: Read together.
        folder: Of the data set, with a folder for each kind of file and split.

    Returns:
        Tiles that hold enough data, in the order of the windows.

    Raises:
        DataError: If the raster cannot be read to its end.
    """
    result = SceneTiles()
    tiles = list(_plan(job, region, windows, result.counts))
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), open_raster(job.info.path) as dataset:
        block = _read(dataset, job, tiles)
    for tile in tiles:
        nodata_share = block.nodata_share(tile.window, tile.read)
        limit = 1.0 if tile.has_objects else job.rule.max_nodata
        if nodata_share == 1 or nodata_share > limit:
            result.counts['tiles_dropped_for_nodata'] += 1
            result.counts['parts_in_dropped_tiles'] += len(tile.annotations)
            continue
        tile.written = tile.has_objects or region.split != 'train'
        if tile.written:
            result.files |= _write(job, block, tile, folder)
        result.tiles.append(tile)
    return result


def write_empty(job: SceneJob, region: Region, windows: Sequence[Window], folder: Path) -> SceneTiles:
    """Write train tiles without an object that were chosen; the result holds no tiles, for they are known."""
    result = SceneTiles()
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), open_raster(job.info.path) as dataset:
        for tile in _plan(job, region, windows, Counter()):
            result.files |= _write(job, _read(dataset, job, [tile]), tile, folder)
    return result


def _read(dataset: rasterio.DatasetReader, job: SceneJob, tiles: Sequence[Tile]) -> Block:
    area, keys = around([tile.read for tile in tiles]), job.keys
    return Block(dataset, area, keys['bands'], keys['scale'], keep_pixels=job.files.shows_pixels)


def _write(job: SceneJob, block: Block, tile: Tile, folder: Path) -> dict[str, int]:
    pixels = block.tile(tile.window, tile.read, job.keys['stretch_lo_hi']) if job.files.shows_pixels else None
    return write_tile(folder, tile.split, tile.image, tile.annotations, pixels, job.files)


def _plan(job: SceneJob, region: Region, windows: Sequence[Window], counts: Counter[str]) -> Iterable[Tile]:
    """Tiles with the annotations of each, in the order of the objects."""
    tree = shapely.STRtree([item.polygon for item in job.objects])
    for window in windows:
        read = window.intersect(region.window)
        box = (read.x, read.y, read.right, read.bottom)
        touching = sorted(tree.query(shapely.box(*box)).tolist())
        parts = (_visible_part(job, job.objects[index], window, box, counts) for index in touching)
        yield describe(job, region, window, [part for part in parts if part is not None])


def _visible_part(
    job: SceneJob, item: SceneObject, window: Window, box: tuple[int, int, int, int], counts: Counter[str]
) -> Record | None:
    """Annotation of what a window shows of an object; None where that is too little."""
    part = clip(item.polygon, box)
    if part is None:
        return None
    fraction = part.area / item.polygon.area
    partial = fraction < job.rule.min_visible - 1e-9  # a half cut by floating point stays a half
    if partial:
        counts['parts_below_min_visible'] += 1
        if job.rule.partial == 'drop':
            return None
    part = to_tile(part, window.x, window.y)
    if part is None or _is_sliver(part):
        counts['slivers'] += 1
        return None
    return _annotated(job, item, part, window, fraction, iscrowd=partial and job.rule.partial == 'crowd')


def _annotated(
    job: SceneJob, item: SceneObject, part: Area, window: Window, fraction: float, *, iscrowd: bool
) -> Record:
    return annotation(
        part,
        (window.width, window.height),
        category_id=job.category_ids[item.label],
        object_id=item.object_id,
        visible_fraction=min(fraction, 1.0),
        as_rle=job.files.segmentation == 'rle',
        iscrowd=iscrowd,
    )


def _is_sliver(part: shapely.Geometry) -> bool:
    x0, y0, x1, y1 = part.bounds
    return min(x1 - x0, y1 - y0) < MIN_SIDE_PX or part.area < MIN_AREA_PX

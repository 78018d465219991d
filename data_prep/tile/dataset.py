"""A data set from scenes: read labels, split, cut, choose tree-less tiles, write the records.

    out/  images/{train,val,test}/SCENE_X_Y.png
          annotations/instances_{train,val,test}.json
          split_info.json  report.json  TRACKING.json

The folder appears whole at the end, or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from data_prep.coco import scene_keys
from data_prep.imagery.rasters import open_raster, sha256, three_bands
from data_prep.imagery.stretch import needs_stretch, stretch_limits
from data_prep.scenes import find_scenes
from data_prep.tile.loading import LoadedScene, class_names, load_scene, plan_splits
from data_prep.tile.records import MadeDataset, write_records
from data_prep.tile.scene_tiles import SceneJob, SceneTiles, count_windows, cut_scene, write_tiles
from data_prep.tile.settings import Settings
from data_prep.tile.splits import SPLITS, Region, rank
from data_prep.tile.staging import check_out, staged_folder

Progress = Callable[[int], Callable[[], object]]


def build_dataset(
    inputs: Sequence[Path],
    out: Path,
    settings: Settings,
    *,
    labels: Path | None = None,
    overwrite: bool = False,
    progress: Progress = lambda total: lambda: None,
) -> MadeDataset:
    """Cut scenes into a COCO data set.

    Args:
        inputs: Folders and rasters.
        out: Folder to make.
        settings: How.
        labels: Label file or folder; None looks beside the rasters.
        overwrite: Whether an older data set at ``out`` may be replaced.
        progress: Gets the number of windows, returns what is called after each.

    Returns:
        What was made. ``out`` is complete; the same inputs and settings give the same bytes.

    Raises:
        DataError: If an input is wrong; ``out`` is as it was.
        OSError: If writing fails; ``out`` is as it was.
    """
    scenes = find_scenes(inputs, labels, unlabelled=settings.unlabelled)
    sources = [path for scene in scenes for path in (scene.raster, scene.labels) if path is not None]
    out = check_out(out, sources, overwrite=overwrite)
    loaded = [load_scene(scene, settings) for scene in scenes]
    classes = class_names(loaded, settings)
    split_by, regions = plan_splits(loaded, settings)
    jobs = [_job(item, regions[item.scene.name], out, classes, settings) for item in loaded]
    on_tile = progress(sum(count_windows(job) for job in jobs))
    with staged_folder(out) as folder:
        for name in ('annotations', *(f'images/{split}' for split in SPLITS)):
            (folder / name).mkdir(parents=True)
        cut = [cut_scene(job, folder / 'images', on_tile) for job in jobs]
        _write_empty_tiles(jobs, cut, folder / 'images', settings)
        made = MadeDataset(loaded, jobs, cut, classes, split_by, settings)
        write_records(folder, made)
    return made


def _job(item: LoadedScene, regions: list[Region], out: Path, classes: Sequence[str], settings: Settings) -> SceneJob:
    info, limits = item.info, None
    bands = three_bands(info, settings.bands)
    if needs_stretch(info, settings.stretch):
        with open_raster(info.path) as dataset:
            limits = stretch_limits(dataset, bands)
    source = Path(os.path.relpath(os.path.realpath(info.path), out)).as_posix()
    return SceneJob(
        info=info,
        objects=item.found.objects,
        regions=regions,
        keys=scene_keys(item.scene.name, source, sha256(info.path), bands=bands, limits=limits, info=info),
        category_ids={name: number for number, name in enumerate(classes, 1)},
        rule=settings.rule,
    )


def _write_empty_tiles(jobs: Sequence[SceneJob], cut: Sequence[SceneTiles], images: Path, settings: Settings) -> None:
    """Keep as many tree-less train tiles as ``empty_share`` allows, chosen by a hash of seed and name."""
    train = [tile for scene in cut for tile in scene.tiles if tile.split == 'train']
    names = [tile.image['file_name'] for tile in train if not tile.written]
    quota = empty_quota(len(train) - len(names), settings.empty_share)
    chosen = set(sorted(names, key=lambda name: rank(settings.seed, name))[:quota])
    for job, scene in zip(jobs, cut, strict=True):
        wanted = [tile for tile in scene.tiles if not tile.written and tile.image['file_name'] in chosen]
        if wanted:
            write_tiles(job, wanted, images)
        scene.counts['empty_train_tiles_left_out'] += sum(not tile.written for tile in scene.tiles)
        scene.tiles = [tile for tile in scene.tiles if tile.written]


def empty_quota(with_objects: int, share: float) -> int | None:
    """Most tree-less tiles that are at most ``share`` of all tiles; None where all may stay."""
    return None if share >= 1 else int(with_objects * share / (1 - share) + 1e-9)

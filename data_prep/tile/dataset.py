"""A data set from scenes: read labels, split, cut, choose tree-less tiles, write the records.

    out/  images/{train,val,test}/SCENE_X_Y.png      and masks/, previews/ where asked for
          annotations/instances_{train,val,test}.json
          split_info.json  report.json  TRACKING.json

The folder appears whole at the end, or not at all. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path

from data_prep.coco import scene_keys
from data_prep.errors import DataError
from data_prep.imagery.rasters import open_raster, sha256
from data_prep.imagery.stretch import LoHi, needs_stretch, stretch_limits
from data_prep.labels.strict_json import read_json, write_json
from data_prep.pool import run_all, workers
from data_prep.tile.journal import begin, identity, objects_digest
from data_prep.tile.loading import LoadedScene, class_names, load_scene, plan_splits
from data_prep.tile.records import EmptyTiles, MadeDataset, write_records
from data_prep.tile.scene_tiles import SceneJob, SceneTiles, Tile, count_windows
from data_prep.tile.scenes_table import scenes_of
from data_prep.tile.settings import Settings
from data_prep.tile.splits import SPLITS, Region, rank
from data_prep.tile.staging import DATA, JOURNAL, check_out, staged_folder
from data_prep.tile.tasks import chosen_tasks, collect, do_all, scene_tasks
from data_prep.tile.tile_files import is_native, tile_bands

Progress = Callable[[int], Callable[[int], object]]


def build_dataset(
    inputs: Sequence[Path],
    out: Path,
    settings: Settings,
    *,
    labels: Path | None = None,
    scenes_table: Path | None = None,
    overwrite: bool = False,
    jobs: int = 1,
    scheduler: str | None = None,
    progress: Progress = lambda total: lambda count: None,
    note: Callable[[str], object] = lambda text: None,
) -> MadeDataset:
    """Cut scenes into a COCO data set.

    Args:
        inputs: Folders and rasters.
        out: Folder to make.
        settings: How.
        labels: Label file or folder; None looks beside the rasters.
        scenes_table: In place of ``inputs`` and ``labels``, see ``scenes_table``.
        overwrite: Whether an older data set at ``out`` may be replaced.
        jobs: Processes.
        scheduler: Address of a Dask scheduler whose workers do the work instead.
        progress: Gets the number of windows, returns what is called with the number of those done.
        note: Gets a line about an earlier run of the same ``out`` that was stopped.

    Returns:
        What was made. ``out`` is complete; the same inputs and settings give the same bytes, with any number of
        processes and whether the run was stopped and started again or not.

    Raises:
        DataError: If an input is wrong; ``out`` is as it was.
        OSError: If writing fails; ``out`` is as it was, and finished parts wait for the next run.
    """
    scenes = scenes_of(inputs, labels, scenes_table, unlabelled=settings.unlabelled)
    sources = [path for scene in scenes for path in (scene.raster, scene.labels) if path is not None]
    out = check_out(out, sources, overwrite=overwrite)
    loaded = [load_scene(scene, settings) for scene in scenes]
    classes = class_names(loaded, settings)
    plan = plan_splits(loaded, settings)
    before = [_stamp(path) for path in sources]
    with workers(jobs, scheduler) as executor:
        hashes = hash_files(sources, executor)
        run = identity(settings, [_source(item, out, hashes) for item in loaded])
        with staged_folder(out) as staging:
            _begin(staging, run, settings, note)
            limits = _limits(loaded, settings, staging, executor)
            cut_jobs = [
                _job(item, plan.regions[item.scene.name], out, classes, settings, hashes, limit)
                for item, limit in zip(loaded, limits, strict=True)
            ]
            on_tiles = progress(sum(count_windows(job) for job in cut_jobs))
            cut, empty = _cut(cut_jobs, settings, staging, executor, on_tiles, plan.folds)
            made = MadeDataset(loaded, cut_jobs, cut, classes, plan.split_by, settings, hashes, plan.folds, empty)
            _finish(staging / DATA, made, sources, before)
    return made


def hash_files(paths: Sequence[Path], executor: Executor | None = None) -> dict[Path, str]:
    """Sha256 of files by path, read side by side."""
    absolute = {Path(os.path.abspath(path)): path for path in paths}
    return {absolute[path]: digest for path, digest in run_all(sha256, list(absolute), executor)}


def _stamp(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def _relative(path: Path, out: Path) -> str:
    return Path(os.path.relpath(os.path.realpath(path), out)).as_posix()


def _source(item: LoadedScene, out: Path, hashes: dict[Path, str]) -> dict[str, str | None]:
    labels = item.scene.labels
    return {
        'scene': item.scene.name,
        'source': _relative(item.info.path, out),
        'sha256': hashes[item.scene.raster],
        'labels_sha256': hashes[labels] if labels else None,
        'objects': objects_digest(item.found.objects),
        'split': item.scene.split,
    }


def _begin(staging: Path, run: dict, settings: Settings, note: Callable[[str], object]) -> None:
    """Go on with an earlier run's work, or begin anew, and say which."""
    if why := begin(staging, run):
        note(f'a stopped run of the same --out differs in {why}; its work is not used')
    elif (finished := len(list((staging / JOURNAL).glob('*.json'))) - 1) > 0:
        note(f'going on with a run that was stopped; {finished} of its parts are finished')
    for name in ('annotations', *(f'{kind}/{split}' for kind in settings.files.folders() for split in SPLITS)):
        (staging / DATA / name).mkdir(parents=True, exist_ok=True)


def _limits(
    loaded: Sequence[LoadedScene], settings: Settings, staging: Path, executor: Executor | None
) -> list[LoHi | None]:
    """Stretch of each scene, None where there is none; known ones are taken from the journal."""
    limits: list[LoHi | None] = [None] * len(loaded)
    wanted = {}
    for number, item in enumerate(loaded):
        native = is_native(settings.files, settings.stretch)
        if not native and needs_stretch(item.info, settings.stretch):
            entry = staging / JOURNAL / f'{number:05d}-stretch.json'
            if entry.is_file():  # synced when it was written
                limits[number] = read_json(entry)
            else:
                bands = tile_bands(item.info, settings.bands, settings.files)
                wanted[number] = (os.path.abspath(item.info.path), bands, settings.stretch, entry)
    numbers = {task: number for number, task in wanted.items()}
    for task, found in run_all(scene_limits, list(numbers), executor):
        limits[numbers[task]] = found
    return limits


def scene_limits(task: tuple[str, tuple[int, ...], str, Path]) -> LoHi:
    """Stretch of one scene, noted in the journal."""
    path, bands, mode, entry = task
    with open_raster(path) as dataset:
        limits = stretch_limits(dataset, bands, mode)
    write_json(entry, limits)
    return limits


def _job(
    item: LoadedScene,
    regions: list[Region],
    out: Path,
    classes: Sequence[str],
    settings: Settings,
    hashes: dict[Path, str],
    limits: LoHi | None,
) -> SceneJob:
    bands = tile_bands(item.info, settings.bands, settings.files)
    source, digest = _relative(item.info.path, out), hashes[item.scene.raster]
    return SceneJob(
        info=item.info,
        objects=item.found.objects,
        regions=regions,
        keys=scene_keys(item.scene.name, source, digest, bands=bands, limits=limits, info=item.info),
        category_ids={name: number for number, name in enumerate(classes, 1)},
        rule=settings.rule,
        files=settings.files,
    )


def _cut(
    jobs: Sequence[SceneJob],
    settings: Settings,
    staging: Path,
    executor: Executor | None,
    on_tiles: Callable[[int], object],
    folds: dict[str, int],
) -> tuple[list[SceneTiles], EmptyTiles]:
    """Cut all scenes, then write as many tree-less train tiles as ``empty_share`` allows.

    Returns:
        Tiles of each scene, and the names of the tree-less train tiles that each fold shows; fold None without folds.
    """
    tasks = [scene_tasks(number, job, staging) for number, job in enumerate(jobs)]
    do_all([task for scene in tasks for task in scene], executor, on_tiles)
    cut = [collect(job, scene) for job, scene in zip(jobs, tasks, strict=True)]
    by_fold = choose_empty([tile for scene in cut for tile in scene.tiles if tile.split == 'train'], settings, folds)
    chosen = set().union(*by_fold.values())
    if settings.files.folders():
        pairs = zip(tasks, cut, strict=True)
        do_all([task for scene, tiles in pairs for task in chosen_tasks(scene, tiles, chosen)], executor)
    for scene in cut:
        keep = [tile for tile in scene.tiles if tile.written or tile.image['file_name'] in chosen]
        scene.counts['empty_train_tiles_left_out'] += len(scene.tiles) - len(keep)
        scene.tiles = keep
    return cut, by_fold


def choose_empty(train: Sequence[Tile], settings: Settings, folds: dict[str, int]) -> EmptyTiles:
    """Names of tree-less train tiles to keep, by fold, chosen by a hash of seed and name.

    Each fold gets the share that it would get by itself; all take the first of one order, so few tiles are written.
    """
    empty = sorted((tile.image['file_name'], tile.image['scene']) for tile in train if not tile.written)
    empty.sort(key=lambda item: rank(settings.seed, item[0]))
    chosen: EmptyTiles = {}
    for fold in sorted(set(folds.values())) or [None]:
        full = sum(tile.written and folds.get(tile.image['scene'], -1) != fold for tile in train)
        names = [name for name, scene in empty if folds.get(scene, -1) != fold]
        chosen[fold] = set(names[: empty_quota(full, settings.empty_share)])
    return chosen


def empty_quota(with_objects: int, share: float) -> int | None:
    """Most tree-less tiles that are at most ``share`` of all tiles; None where all may stay."""
    return None if share >= 1 else int(with_objects * share / (1 - share) + 1e-9)


def _finish(folder: Path, made: MadeDataset, sources: Sequence[Path], before: Sequence[tuple[int, int]]) -> None:
    """Write the records, and make sure that the files are those of the records, from sources that stood still."""
    for path, stamp in zip(sources, before, strict=True):
        if _stamp(path) != stamp:
            raise DataError(f'{path} must not change while it is read, but it did; run again')
    for kind in made.settings.files.folders():
        for split in SPLITS:
            stems = {Path(tile.image['file_name']).stem for tile in made.tiles(split)}
            for path in (folder / kind / split).iterdir():
                if path.stem not in stems:  # half a file, of a process that was killed
                    path.unlink()
    for path in [*folder.glob('*'), *folder.glob('annotations/**/*')]:
        if path.is_file():  # of a run that was killed while it wrote its records
            path.unlink()
    write_records(folder, made)

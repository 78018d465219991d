"""Scenes with their headers and objects, and what follows from all of them: the classes and the split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import shapely

from data_prep.errors import DataError
from data_prep.grid import Grid
from data_prep.imagery.rasters import RasterInfo, raster_info
from data_prep.imagery.scale import scaled
from data_prep.labels.objects import SceneObject, SceneObjects, load_objects
from data_prep.scenes import Scene
from data_prep.tile.known_split import KnownSplit, repeat_blocks
from data_prep.tile.settings import Settings
from data_prep.tile.splits import Region, fold_scenes, name_scenes, split_blocks, split_scenes
from data_prep.tile.tile_files import check_files

MIN_SCENES = 3  # from here on whole scenes are split, below it blocks


@dataclass(frozen=True)
class LoadedScene:
    """A scene with its header and objects, whose polygons are in pixels of ``info.grid``."""

    scene: Scene
    info: RasterInfo
    found: SceneObjects


def load_scene(scene: Scene, settings: Settings) -> LoadedScene:
    """Read a scene's header and labels.

    Raises:
        DataError: If the raster or the labels cannot be used, or a label is not among the classes asked for.
    """
    info = scaled(raster_info(scene.raster), scale=settings.scale, gsd_m=settings.gsd_m)
    check_files(info, settings.bands, settings.files, settings.stretch)  # told before any label is read

    def keep(label: str) -> bool:
        if not settings.classes or label in settings.classes:
            return True
        if settings.skip_other_labels:
            return False
        raise ValueError(f"label '{label}' is not in --classes {','.join(settings.classes)}; add it, correct the "
                         f'feature, or pass --skip-other-labels')  # fmt: skip

    found = load_objects(scene, info, settings.label_field, keep, settings.label_map)
    if info.scale != 1:
        found.objects = [_on_grid(item, info.grid) for item in found.objects]
    return LoadedScene(scene, info, found)


def _on_grid(item: SceneObject, grid: Grid) -> SceneObject:
    """Move an object from source pixels to pixels of the grid."""
    return replace(item, polygon=shapely.transform(item.polygon, lambda xy: xy / grid.step_xy))


def class_names(loaded: Sequence[LoadedScene], settings: Settings) -> list[str]:
    """Classes in the order of their ids: as asked for, else all labels found, sorted.

    Raises:
        DataError: If there is none.
    """
    classes = list(settings.classes) or sorted({item.label for scene in loaded for item in scene.found.objects})
    if not classes:
        raise DataError('no object was found in any scene, so there are no classes; name them with --classes')
    return classes


@dataclass(frozen=True)
class SplitPlan:
    """Who trains and who tests."""

    split_by: str  # 'scene', 'blocks' or 'kfold'
    regions: dict[str, list[Region]]  # by scene, in pixels of its grid
    folds: dict[str, int] = field(default_factory=dict)  # by scene, for k-fold: the fold that it validates


def plan_splits(loaded: Sequence[LoadedScene], settings: Settings) -> SplitPlan:
    """Decide how to split.

    Returns:
        The split. No pixel and no object lies in regions of two splits, or of train and val of one fold.

    Raises:
        DataError: If the scenes cannot be split as asked.
    """
    named = bool(settings.val or settings.test)
    if any(item.scene.split for item in loaded):
        if settings.split_options():
            raise DataError('the scenes table has a column split, so no other option of the split goes with it; '
                            'drop one')  # fmt: skip
        return _by_scene(loaded, {item.scene.name: item.scene.split for item in loaded})
    if settings.known_split:
        return _repeat(loaded, settings.known_split)
    objects = {item.scene.name: len(item.found.objects) for item in loaded}
    if settings.kfold:
        return _kfold(loaded, objects, settings)
    split_by = settings.split_by or ('scene' if named or len(objects) >= MIN_SCENES else 'blocks')
    if split_by == 'blocks':
        return SplitPlan(split_by, {item.scene.name: _blocks(item, settings) for item in loaded})
    if named:
        return _by_scene(loaded, name_scenes(list(objects), settings.val, settings.test))
    return _by_scene(loaded, split_scenes(objects, settings.shares, settings.seed))


def _by_scene(loaded: Sequence[LoadedScene], splits: dict[str, str]) -> SplitPlan:
    names = {item.scene.name: item.info.grid.window for item in loaded}
    return SplitPlan('scene', {name: [Region(splits[name], window)] for name, window in names.items()})


def _kfold(loaded: Sequence[LoadedScene], objects: dict[str, int], settings: Settings) -> SplitPlan:
    """Each scene but those of the test is cut twice, as train and as val tiles; its fold takes the latter."""
    splits = name_scenes(list(objects), (), settings.test)
    shared = {name: count for name, count in objects.items() if splits[name] == 'train'}
    return _folds(loaded, fold_scenes(shared, settings.kfold, settings.seed))


def _folds(loaded: Sequence[LoadedScene], folds: dict[str, int]) -> SplitPlan:
    regions = {}
    for item in loaded:
        splits = ('train', 'val') if item.scene.name in folds else ('test',)
        regions[item.scene.name] = [Region(split, item.info.grid.window) for split in splits]
    return SplitPlan('kfold', regions, folds)


def _repeat(loaded: Sequence[LoadedScene], known: KnownSplit) -> SplitPlan:
    """Give every scene the place it had; scenes that are missing now leave their places empty."""
    rows = {item.scene.name: known.of_scene(item.scene.name) for item in loaded}
    if known.split_by == 'kfold':
        return _folds(loaded, {name: fold for name, fold in known.folds.items() if name in rows})
    if known.split_by == 'scene':
        return _by_scene(loaded, {name: found[0].split for name, found in rows.items()})
    regions = {}
    for item in loaded:
        polygons = [found.polygon for found in item.found.objects]
        regions[item.scene.name] = repeat_blocks(rows[item.scene.name], item.info.grid, polygons)
    return SplitPlan('blocks', regions)


def _blocks(item: LoadedScene, settings: Settings) -> list[Region]:
    polygons = [found.polygon for found in item.found.objects]
    try:
        return split_blocks(item.info.grid.window, polygons, settings.shares)
    except DataError as error:
        raise DataError(f'{item.info.path}: {error}') from None

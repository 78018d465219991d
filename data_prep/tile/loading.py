"""Scenes with their headers and objects, and what follows from all of them: the classes and the split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from data_prep.errors import DataError
from data_prep.imagery.rasters import RasterInfo, raster_info, three_bands
from data_prep.imagery.stretch import needs_stretch
from data_prep.labels.objects import SceneObjects, load_objects
from data_prep.scenes import Scene
from data_prep.tile.settings import Settings
from data_prep.tile.splits import Region, name_scenes, split_blocks, split_scenes

MIN_SCENES = 3  # from here on whole scenes are split, below it blocks


@dataclass(frozen=True)
class LoadedScene:
    """A scene with its header and objects."""

    scene: Scene
    info: RasterInfo
    found: SceneObjects


def load_scene(scene: Scene, settings: Settings) -> LoadedScene:
    """Read a scene's header and labels.

    Raises:
        DataError: If the raster or the labels cannot be used, or a label is not among the classes asked for.
    """
    info = raster_info(scene.raster)
    three_bands(info, settings.bands)  # wrong options are told before any label is read
    needs_stretch(info, settings.stretch)

    def keep(label: str) -> bool:
        if not settings.classes or label in settings.classes:
            return True
        if settings.skip_other_labels:
            return False
        raise ValueError(f"label '{label}' is not in --classes {','.join(settings.classes)}; add it, correct the "
                         f'feature, or pass --skip-other-labels')  # fmt: skip

    return LoadedScene(scene, info, load_objects(scene, info, settings.label_field, keep))


def class_names(loaded: Sequence[LoadedScene], settings: Settings) -> list[str]:
    """Classes in the order of their ids: as asked for, else all labels found, sorted.

    Raises:
        DataError: If there is none.
    """
    classes = list(settings.classes) or sorted({item.label for scene in loaded for item in scene.found.objects})
    if not classes:
        raise DataError('no object was found in any scene, so there are no classes; name them with --classes')
    return classes


def plan_splits(loaded: Sequence[LoadedScene], settings: Settings) -> tuple[str, dict[str, list[Region]]]:
    """Decide how to split, and the regions of each scene.

    Returns:
        'scene' or 'blocks', and regions by scene name. No pixel and no object lies in regions of two splits.

    Raises:
        DataError: If the scenes cannot be split as asked.
    """
    names = [item.scene.name for item in loaded]
    named = bool(settings.val or settings.test)
    split_by = settings.split_by or ('scene' if named or len(names) >= MIN_SCENES else 'blocks')
    if split_by == 'blocks':
        if named:
            raise DataError('--val and --test name whole scenes, so they do not go with --split-by blocks; drop one')
        return split_by, {item.scene.name: _blocks(item, settings) for item in loaded}
    if named:
        by_scene = name_scenes(names, settings.val, settings.test)
    else:
        by_scene = split_scenes(names, settings.ratios, settings.seed)
    return split_by, {item.scene.name: [Region(by_scene[item.scene.name], item.info.window)] for item in loaded}


def _blocks(item: LoadedScene, settings: Settings) -> list[Region]:
    polygons = [found.polygon for found in item.found.objects]
    try:
        return split_blocks(item.info.window, polygons, settings.ratios)
    except DataError as error:
        raise DataError(f'{item.info.path}: {error}') from None

"""A checkpoint tested on whole scenes: what `tools/test_scenes.py` does between its flags and its last line.

The network looks at each scene once, from a low score on. Figures are those of the map as `tools/predict.py` makes it;
trees below its threshold only lengthen the curve that AP needs (`joining.below`).
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from data_prep.errors import DataError
from data_prep.imagery.rasters import raster_info
from data_prep.labels.strict_json import write_json
from tree_map.assembling import together
from tree_map.command import find_scenes
from tree_map.joining.below import join_with_those_below
from tree_map.mapper import TreeMapper
from tree_map.predicting.journal import drop, parts_folder
from tree_map.scene_map import SceneMap
from tree_map.scoring.found_maps import read_maps
from tree_map.scoring.score_command import scenes_of, settings_of
from tree_map.scoring.scores import Scores, score
from tree_map.writing import write_map

LOWEST = 0.05  # score that the curves begin at
Say = Callable[[str], object]


def prepare(args: Namespace) -> dict[str, Path]:
    """Find out before the work what would spoil it; returns rasters by name.

    Args:
        args: Of `tools/test_scenes.py`.

    Raises:
        DataError: If a scene or the labels are missing, or a target is no place for a file.
        OSError: If the folder cannot be made.
    """
    if not args.truth.exists():
        raise DataError(
            f'--truth {args.truth} does not exist; name a label file, or a folder of files named as the scenes'
        )
    if args.card is not None and not args.card.is_file():
        raise DataError(f'--card {args.card} is no file; a training run writes it as MODEL_CARD.md')
    scenes = find_scenes(args.scenes)
    for path in scenes.values():
        raster_info(path)
    if args.report:
        from data_prep.show.output import require_report_packages

        require_report_packages()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    return scenes


def run_test(mapper: TreeMapper, scenes: Mapping[str, Path], args: Namespace, say: Say) -> tuple[Scores, list[str]]:
    """Map scenes, score the maps, and write both.

    Args:
        mapper: Whose threshold is `LOWEST`.
        scenes: Of `prepare`.
        args: Of `tools/test_scenes.py`.
        say: Called with each line for the user.

    Returns:
        The scores, and what a user should look at.

    Raises:
        DataError: If a scene cannot be read, or its labels cannot.
        OSError: If the disk is full.
    """
    used = max(mapper.model.chosen_thr if args.score_thr is None else args.score_thr, LOWEST)
    folder, notes = args.work_dir, []
    with parts_folder(folder / 'map.gpkg') as parts:
        paths = write_maps(mapper, scenes, folder, parts, used, notes)
        maps = read_maps(paths)
        args.scenes = list(scenes.values())
        labelled = scenes_of(args, maps, notes)
        if len(labelled) < len(scenes):
            raise DataError(f'every scene must have labels; {notes[0]}')
        scores = score(labelled, replace(settings_of(args, maps), score_thr=used))
        scores = replace(scores, notes=(*notes, *scores.notes))
        if args.report:
            write_page(args, maps, used, folder / 'report.html')
        write_json(folder / 'metrics.json', scores.to_json(), indent=1)  # last: where it is, all is
        drop(parts)
    for line in scores.notes:
        say(f'note: {line}')
    return scores, notes


def write_page(args: Namespace, maps: list, used: float, path: Path) -> None:
    """Write the report."""
    from tree_map.reporting.page import write_report
    from tree_map.reporting.report_command import make_report

    args.score_thr = used
    write_report(make_report(args, maps, []), path)


def map_for_scoring(mapper: TreeMapper, path: Path, parts: Path, score_thr: float) -> SceneMap:
    """Map a scene from the mapper's score on, its trees from `score_thr` on exactly those of the map in use.

    Args:
        mapper: With the lowest score of the curves as its threshold.
        path: Of the raster.
        parts: Folder that finished windows are kept in.
        score_thr: Of the map in use.

    Raises:
        DataError: If the scene cannot be read at all, or not by this network.
        OSError: If the disk is full.
    """
    seen = mapper.look(path, parts)
    trees = join_with_those_below(seen.pieces, mapper.joining(seen), score_thr)
    return mapper.made_of(seen, trees, score_thr=score_thr, score_from=mapper.model.score_thr)


def write_maps(
    mapper: TreeMapper, scenes: Mapping[str, Path], folder: Path, parts: Path, score_thr: float, notes: list[str]
) -> list[Path]:
    """Map scenes into a folder; a second call goes on where the first was stopped.

    Args:
        mapper: As `map_for_scoring` takes it.
        scenes: Rasters by name.
        folder: For the maps.
        parts: Folder that finished windows are kept in.
        score_thr: Of the map in use.
        notes: What could not be read is added.

    Returns:
        `map.gpkg`, or where the scenes have several CRSs `maps/NAME.gpkg` of each.
    """
    if len({raster_info(path).crs_name for path in scenes.values()}) == 1:
        maps = {folder / 'map.gpkg': list(scenes)}
    else:
        (folder / 'maps').mkdir(exist_ok=True)
        maps = {folder / 'maps' / f'{name}.gpkg': [name] for name in scenes}
    for target, members in maps.items():
        made = together([map_for_scoring(mapper, scenes[name], parts / name, score_thr) for name in members])
        notes += [
            f'{entry["scene"]}, window {entry["window_xywh"]} was not read: {entry["reason"]}' for entry in made.unread
        ]
        write_map(made, target)
    return list(maps)

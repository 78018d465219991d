"""Blocks of all scenes as tasks that any process can do, each noted in the journal when it is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import shapely

from data_prep.grid import Window
from data_prep.imagery.rasters import open_raster
from data_prep.pool import run_all
from data_prep.tile.blocks import around, group, layout
from data_prep.tile.journal import is_finished, note_finished, read_finished
from data_prep.tile.scene_tiles import SceneJob, SceneTiles, cut_block, region_windows, write_empty
from data_prep.tile.splits import Region
from data_prep.tile.staging import DATA, JOURNAL

OnTiles = Callable[[int], object]  # gets the number of windows that were done


@dataclass(frozen=True)
class Task:
    """One block, with no more of its scene than it needs."""

    job: SceneJob
    region: Region
    windows: Sequence[Window]
    staging: Path
    name: str  # of the journal's entry
    chosen: bool = False  # the windows are tree-less train tiles that shall be written

    @property
    def entry(self) -> Path:
        """The journal's entry."""
        return self.staging / JOURNAL / f'{self.name}.json'


def scene_tasks(number: int, job: SceneJob, staging: Path) -> list[Task]:
    """Tasks of a scene, in the order of its tiles by region.

    Args:
        number: Of the scene in the run.
        job: The scene.
        staging: See ``staging``.
    """
    with open_raster(job.info.path) as dataset:
        raster = layout(dataset, job.keys['bands'])
    job = replace(job, info=replace(job.info, path=Path(os.path.abspath(job.info.path))))
    tree = shapely.STRtree([item.polygon for item in job.objects])
    blocks = [(region, b) for region in job.regions for b in group(region_windows(region, job.rule), raster)]
    return [
        Task(_near(job, tree, windows), region, windows, staging, f'{number:05d}-{index:06d}')
        for index, (region, windows) in enumerate(blocks)
    ]


def _near(job: SceneJob, tree: shapely.STRtree, windows: Sequence[Window]) -> SceneJob:
    """The job with the objects that may touch the windows, in their order."""
    area = around(windows)
    touching = sorted(tree.query(shapely.box(area.x, area.y, area.right, area.bottom)).tolist())
    return replace(job, objects=[job.objects[index] for index in touching])


def do(task: Task) -> int:
    """Do one task and note it; returns its number of windows."""
    if task.chosen:
        result = write_empty(task.job, task.region, task.windows, task.staging / DATA)
    else:
        result = cut_block(task.job, task.region, task.windows, task.staging / DATA)
    note_finished(task.entry, result)
    return len(task.windows)


def do_all(tasks: Sequence[Task], executor: Executor | None, on_tiles: OnTiles = lambda count: None) -> None:
    """Do the tasks that are not finished, in any order.

    Raises:
        DataError: If a raster cannot be read to its end.
    """
    waiting = [task for task in tasks if not is_finished(task.entry, task.staging / DATA)]
    on_tiles(sum(len(task.windows) for task in tasks) - sum(len(task.windows) for task in waiting))
    for _, count in run_all(do, waiting, executor):
        on_tiles(count)


def collect(job: SceneJob, tasks: Sequence[Task]) -> SceneTiles:
    """All tiles of a scene whose tasks are finished, row by row within each region."""
    scene = SceneTiles()
    for region in job.regions:
        parts = [read_finished(task.entry, job, region) for task in tasks if task.region == region]
        tiles = [tile for part in parts for tile in part.tiles]
        scene.tiles += sorted(tiles, key=lambda tile: (tile.window.y, tile.window.x))
        for part in parts:
            scene.counts.update(part.counts)
    return scene


def chosen_tasks(tasks: Sequence[Task], scene: SceneTiles, chosen: set[str]) -> list[Task]:
    """Tasks that write the chosen tree-less tiles of a scene, block by block."""
    wanted = {tile.window for tile in scene.tiles if not tile.written and tile.image['file_name'] in chosen}
    found = []
    for task in tasks:
        windows = [window for window in task.windows if window in wanted] if task.region.split == 'train' else []
        if windows:
            found.append(replace(task, windows=windows, name=f'{task.name}-empty', chosen=True))
    return found

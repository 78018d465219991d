"""From the folder of a data set to a packed one with the same layout.

    data/coco/         annotations/instances_train2017.json   train2017/000000000009.jpg ...
    data/coco_packed/  annotations/instances_train2017.json   train2017/index.json shard-00000-of-00037.tar ...

The index says for each image in which shard its bytes lie, from where and how many, so that a loader reads any of them
at once, in any order: the order of a training run stays a function of its seed, and it can be resumed to the bit.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data_prep.atomic import atomic_path
from data_prep.check.layout import PACK_INDEX
from data_prep.labels.strict_json import read_json, write_json
from data_prep.pack.plan import ImageFolder, Plan, make_plan
from data_prep.pack.shards import ShardTask, label, read_entry, write_shard
from data_prep.pool import run_all, workers
from data_prep.tile.staging import DATA, JOURNAL, MARKER, RUN, check_out, staged_folder

FORMAT = 1


@dataclass(frozen=True)
class Packed:
    """What was made.

    Attributes:
        out: The packed data set.
        images: How many.
        shards: How many.
        bytes: Of all shards.
        kept: Shards that an earlier run, which was stopped, had written.
    """

    out: Path
    images: int
    shards: int
    bytes: int
    kept: int


def pack_dataset(
    data: Path,
    out: Path,
    *,
    shards: int | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    progress: Callable[[int], object] = lambda images: None,
) -> Packed:
    """Pack the images of a data set; its COCO files are copied.

    Args:
        data: Folder of the data set.
        out: Folder to make, whole or not at all. A run that was stopped goes on with the shards that were done.
        shards: Of each folder of images; None makes them of about 512 MB.
        jobs: Processes that write.
        overwrite: Whether an older data set in ``out`` may be replaced.
        progress: Called with the number of images of each shard that is done.

    Raises:
        DataError: If the data set lacks images, or ``out`` is in the way.
        OSError: If the disk is full.
    """
    out = check_out(out, [data], overwrite=overwrite)
    plan = make_plan(data, shards)
    with staged_folder(out) as staging:
        _begin(staging, plan)
        tasks, kept = [], 0
        for folder in plan.folders:
            (staging / DATA / folder.path).mkdir(parents=True, exist_ok=True)
            for task in _tasks(plan, folder, staging):
                if read_entry(Path(task.entry), Path(task.target)) is None:
                    tasks.append(task)
                else:
                    kept += 1
                    progress(len(task.images))
        with workers(min(jobs, max(1, len(tasks)))) as executor:
            for task, _ in run_all(write_shard, tasks, executor):
                progress(len(task.images))
        return _finish(staging, plan, out, kept)


def _begin(staging: Path, plan: Plan) -> None:
    """Prepare the staging folder; work of another run in it is removed."""
    run = staging / JOURNAL / RUN
    if run.is_file() and read_json(run) == plan.identity():
        return
    for name in (DATA, JOURNAL):
        shutil.rmtree(staging / name, ignore_errors=True)
        (staging / name).mkdir()
    write_json(run, plan.identity())


def _tasks(plan: Plan, folder: ImageFolder, staging: Path) -> Iterator[ShardTask]:
    position = plan.folders.index(folder)
    for number, (name, images) in enumerate(zip(folder.shard_names(), folder.shares(), strict=True)):
        yield ShardTask(
            source=str(plan.data / folder.path),
            target=str(staging / DATA / folder.path / name),
            entry=str(staging / JOURNAL / f'{position:03d}-{number:05d}.json'),
            label=label(folder.pack_id, number, folder.shards),
            images=tuple(image[:2] for image in images),
        )


def _finish(staging: Path, plan: Plan, out: Path, kept: int) -> Packed:
    """Write indexes, annotations and what was packed; all shards are there."""
    total = 0
    for folder in plan.folders:
        shards, images = [], {}
        for number, task in enumerate(_tasks(plan, folder, staging)):
            entry = read_entry(Path(task.entry), Path(task.target))
            shards.append({key: entry[key] for key in ('file', 'bytes', 'sha256')})
            for (name, size), offset in zip(task.images, entry['offsets'], strict=True):
                images[name] = [number, offset, size]
        total += sum(shard['bytes'] for shard in shards)
        content = {'format': FORMAT, 'pack': folder.pack_id, 'shards': shards, 'images': images}
        write_json(staging / DATA / folder.path / PACK_INDEX, content)
    for path in plan.annotations:
        (staging / DATA / path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(staging / DATA / path, sync=False) as temporary:
            shutil.copyfile(plan.data / path, temporary)
    identity = plan.identity()
    write_json(staging / DATA / MARKER, {'command': 'pack', 'source': str(plan.data), **identity}, indent=1)
    counts = (sum(len(folder.images) for folder in plan.folders), sum(folder.shards for folder in plan.folders))
    return Packed(out, *counts, total, kept)

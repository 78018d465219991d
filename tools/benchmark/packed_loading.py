"""Loose image files against a pack: reading them, and feeding a training run.

    python tools/benchmark/packed_loading.py --photos DIR            # 60 copies of each photo: ten minutes
    python tools/benchmark/packed_loading.py --photos DIR --quick    # 12 copies: under a minute

DIR holds `instances.json` and `images/` (default: `coco_permissive33` in the folder that REAL_DATA names). Every photo
is written many times under names of its own, in the layout of COCO, and packed by `data_prep pack`; all of it on the
disk of `--work`. The arms take turns, each first in every other round, photos in random order:

- `read`: bytes of all files through MMEngine's storage backends, cold and warm. Cold: the kernel is told to forget the
  pages of the files (posix_fadvise, DONTNEED, after they were synced). Names and inodes of loose files stay known to
  it, which is in favour of them; whether bytes then came from the disk is counted (`disk_mb`, by /proc/self/io).
- `feed`: what a run of `m2f_r50_480.py` is fed, decoded and augmented, by loader workers, warm; by elapsed seconds, and
  by CPU seconds of all processes (`feed_cpu`), which other work on the machine disturbs less.
- `check`: what `derive` does before a run, that every image is there.

Medians of the rounds, photos a second. The first samples of both arms are compared. The last line is one line of JSON;
ratios are packed by loose, above 1 where the pack is faster.
"""

import argparse
import contextlib
import json
import logging
import os
import random
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

logging.disable(logging.INFO)

import torch  # noqa: E402
from mmengine import fileio  # noqa: E402
from mmengine.runner import Runner  # noqa: E402

from data_prep.atomic import atomic_path, atomic_write  # noqa: E402
from data_prep.pack import pack_dataset  # noqa: E402
from fallen_trees.derive.config import REPOSITORY, derive  # noqa: E402
from fallen_trees.launch import config_of  # noqa: E402
from fallen_trees.resume.exactness import make_exact  # noqa: E402

ARMS, FOLDER = ('loose', 'packed'), 'train2017'
SAME = 16  # samples that are compared


def main() -> None:
    """Measure and print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    real = os.environ.get('REAL_DATA')
    parser.add_argument('--photos', type=Path, default=real and Path(real, 'coco_permissive33'))
    parser.add_argument('--quick', action='store_true', help='12 copies of each photo, 2 rounds')
    parser.add_argument('--copies', type=int, help='instead of 60')
    parser.add_argument('--shards', type=int, default=8)
    parser.add_argument('--workers', type=int, default=2, help='of the loader')
    parser.add_argument('--rounds', type=int, help='instead of 6')
    parser.add_argument('--work', type=Path, help='a folder on the disk to be measured (default: the temporary one)')
    args = parser.parse_args()
    if args.photos is None or not (args.photos / 'instances.json').is_file():
        parser.error('--photos must hold instances.json and images/; or set REAL_DATA')
    torch.set_num_threads(1)
    copies, rounds = args.copies or (12 if args.quick else 60), args.rounds or (2 if args.quick else 6)
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        roots = {arm: Path(folder, arm) for arm in ARMS}
        names = write_loose(args.photos, roots['loose'], copies)
        packed = pack_dataset(roots['loose'], roots['packed'], shards=args.shards)
        rows = measure(roots, names, rounds, args.workers)
    for name, row in rows.items():
        print(f'{name:10}' + ''.join(f'  {key} {value}' for key, value in row.items()))
    ratios = {name: round(row['packed'] / row['loose'], 2) for name, row in rows.items() if name != 'disk_mb'}
    facts = dict(photos=len(names), mb=round(packed.bytes / 1e6), shards=packed.shards, workers=args.workers)
    print(json.dumps(ratios | facts | dict(rounds=rounds, rows=rows)))


def write_loose(photos: Path, root: Path, copies: int) -> list[str]:
    """Write a data set in COCO's layout with each photo many times; returns the names."""
    coco = json.loads((photos / 'instances.json').read_text())
    (root / 'annotations').mkdir(parents=True)
    (root / FOLDER).mkdir()
    images, annotations = [], []
    for copy in range(copies):
        ids = {image['id']: len(images) + n for n, image in enumerate(coco['images'], 1)}
        for image in coco['images']:
            name = f'{ids[image["id"]]:012d}{Path(image["file_name"]).suffix}'
            with atomic_path(root / FOLDER / name) as temporary:
                shutil.copyfile(photos / 'images' / image['file_name'], temporary)
            images.append({**image, 'id': ids[image['id']], 'file_name': name})
        annotations += [{**a, 'id': copy * 10**6 + n, 'image_id': ids[a['image_id']]}
                        for n, a in enumerate(coco['annotations'], 1)]  # fmt: skip
    with atomic_write(root / f'annotations/instances_{FOLDER}.json') as file:
        json.dump(dict(coco, images=images, annotations=annotations), file)
    return [image['file_name'] for image in images]


def measure(roots: dict[str, Path], names: list[str], rounds: int, workers: int) -> dict[str, dict[str, float]]:
    """Photos a second of both arms in each discipline, and MB that came from the disk when they were cold."""
    configs, checks = {}, {}
    for arm, root in roots.items():
        configs[arm], checks[arm] = config(root, workers)
    require_same(configs)
    found: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds):
        order = random.Random(number).sample(names, len(names))
        for arm in ARMS[:: 1 - 2 * (number % 2)]:
            forget(roots[arm] / FOLDER)
            from_disk = bytes_from_disk()
            cold = seconds(lambda: read(roots[arm] / FOLDER, order))  # noqa: B023
            note(found, 'disk_mb', arm, (bytes_from_disk() - from_disk) / 1e6)
            note(found, 'read_cold', arm, len(names) / cold)
            note(found, 'read_warm', arm, len(names) / seconds(lambda: read(roots[arm] / FOLDER, order)))  # noqa: B023
            began = cpu_seconds()
            note(found, 'feed_warm', arm, len(names) / seconds(lambda: feed(configs[arm], len(names))))  # noqa: B023
            note(found, 'feed_cpu', arm, len(names) / (cpu_seconds() - began))
            note(found, 'check', arm, len(names) / config(roots[arm], workers)[1])
    return {
        name: {arm: round(statistics.median(values), 1) for arm, values in row.items()} for name, row in found.items()
    }


def note(found: dict, name: str, arm: str, value: float) -> None:
    """Keep one measurement."""
    found.setdefault(name, {arm: [] for arm in ARMS})[arm].append(value)


def config(root: Path, workers: int) -> tuple[object, float]:
    """The config of a run on a data set, made exact; and the seconds that `derive` took."""
    options = {'data_root': str(root), 'train_dataloader.num_workers': workers}
    cfg = config_of(REPOSITORY / 'configs/coco/m2f_r50_480.py', options=options)
    took = seconds(lambda: derive(cfg, ('train',)))
    make_exact(cfg)
    cfg.train_dataloader.persistent_workers = False
    return cfg, took


def require_same(configs: dict[str, object]) -> None:
    """Make sure that both arms are fed the same, and that the pack is what is read."""
    loose, packed = (Runner.build_dataloader(configs[arm].train_dataloader, seed=0).dataset for arm in ARMS)
    for index in range(SAME):
        if not torch.equal(loose[index]['inputs'], packed[index]['inputs']):
            raise SystemExit(f'packed_loading: sample {index} is another one when it comes from the pack')


def feed(cfg: object, photos: int) -> None:
    """Take batches as a training run does, until all photos have been seen."""
    batches = iter(Runner.build_dataloader(cfg.train_dataloader, seed=0))
    for _ in range(-(-photos // cfg.train_dataloader.batch_size)):
        next(batches)


def read(folder: Path, names: list[str]) -> None:
    """Read files as `LoadImageFromFile` does."""
    for name in names:
        fileio.get(str(folder / name), backend_args=dict(backend='pack' if 'packed' in folder.parts else 'local'))


def forget(folder: Path) -> None:
    """Have the kernel drop the pages of all files of a folder."""
    for path in folder.iterdir():
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def bytes_from_disk() -> int:
    """What this process has had fetched from storage."""
    with contextlib.suppress(OSError):
        lines = dict(line.split(': ') for line in Path('/proc/self/io').read_text().splitlines())
        return int(lines['read_bytes'])
    return 0


def cpu_seconds() -> float:
    """CPU seconds of this process and of the workers that have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def seconds(work: Callable[[], object]) -> float:
    """Elapsed seconds of a piece of work."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == '__main__':
    main()

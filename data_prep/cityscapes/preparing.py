"""From Cityscapes' folders to the files that training reads; images and maps stay where they lie.

OUT/images                                  a link to Cityscapes
OUT/annotations/instances_{train,val,test}  objects; test: whole cities of Cityscapes' train, held back
OUT/annotations/trainval.json subset.json   train and val together; some of train
OUT/annotations/semantic_{coarse,val,test}  label maps of 19 classes; coarse: of train and train_extra
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.cityscapes.annotations import LINK, Task, look
from data_prep.cityscapes.choosing import balanced, held_back, spread
from data_prep.cityscapes.classes import categories
from data_prep.cityscapes.folders import COARSE, FINE, Frame, find_frames, has_split
from data_prep.coco import Record
from data_prep.errors import DataError
from data_prep.labels.strict_json import write_json
from data_prep.pool import run_all, workers

MAPS = ('instanceIds', 'labelIds')
Looked = tuple[Record, list[Record]]


@dataclass(frozen=True)
class Wanted:
    """What to make: images in the subset and in the coarse list, the share of train held back, and the seed."""

    subset: int = 372
    coarse: int = 4120
    test: float = 0.1
    seed: int = 0


@dataclass
class Prepared:
    """What was made: images and annotations by file, cities of the test, and what is to be looked at."""

    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    test_cities: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def prepare(
    root: Path, out: Path, wanted: Wanted, *, jobs: int = 1, progress: Callable[[int], Callable[[], object]]
) -> Prepared:
    """Write all files of a data set.

    Args:
        root: Cityscapes.
        out: Folder; made where it is missing. Files of an earlier run are replaced.
        wanted: What to make.
        jobs: Processes that read maps.
        progress: Gets the number of maps to read, and gives what is called after each.

    Raises:
        DataError: If files are missing or damaged, or there are fewer images than wanted. Nothing is written then.
    """
    done = Prepared()
    train, val = (find_frames(root, FINE, split, MAPS) for split in ('train', 'val'))
    done.test_cities = _test_cities(train, wanted)
    test = [frame for frame in train if frame.city in done.test_cities] or val
    train = [frame for frame in train if frame.city not in done.test_cities]
    if wanted.subset > len(train):
        raise DataError(f'--subset {wanted.subset} must be at most the {len(train)} images of train; lower it')
    coarse = _coarse(root, wanted, done)
    scored = [*val, *([] if test is val else test)]
    tasks = [Task(frame, True) for frame in [*train, *scored]]
    tasks += [Task(frame, False) for frame in [*coarse, *scored]]
    found: dict[Task, Looked] = {}
    tick = progress(len(tasks))
    with workers(jobs) as executor:
        for task, result in run_all(look, tasks, executor):
            found[task] = result
            tick()
    objects = {split: [found[Task(frame, True)] for frame in frames]
               for split, frames in (('train', train), ('val', val), ('test', test))}  # fmt: skip
    maps = {split: [found[Task(frame, False)] for frame in frames]
            for split, frames in (('coarse', coarse), ('val', val), ('test', test))}  # fmt: skip
    _write(root, out, objects, maps, wanted, done)
    return done


def _test_cities(train: Sequence[Frame], wanted: Wanted) -> list[str]:
    images = Counter(frame.city for frame in train)
    if wanted.test > 0 and len(images) < 2:
        raise DataError(f'--test {wanted.test} holds whole cities back; train has one alone, {next(iter(images))}; '
                        'bring the others, or pass --test 0')  # fmt: skip
    return held_back(images, wanted.test, wanted.seed) if wanted.test > 0 else []


def _coarse(root: Path, wanted: Wanted, done: Prepared) -> list[Frame]:
    """Coarsely labelled images of what may be trained on: no city of the test, and nothing of val."""
    splits = [split for split in ('train', 'train_extra') if has_split(root, COARSE, split)]
    if not splits:
        find_frames(root, COARSE, 'train', MAPS[1:])  # says what is missing
    found = [frame for split in splits for frame in find_frames(root, COARSE, split, MAPS[1:])]
    found = [frame for frame in found if frame.city not in done.test_cities]
    if len(found) < wanted.coarse:
        more = '' if 'train_extra' in splits else '; leftImg8bit_trainextra.zip brings 19998 more'
        done.warnings.append(
            f'{wanted.coarse} coarse images are wanted and {len(found)} are there; all are taken{more}'
        )
    cities = [frame.city for frame in found]
    chosen = spread([frame.name for frame in found], cities, min(wanted.coarse, len(found)), wanted.seed)
    return [found[number] for number in chosen]


def _write(
    root: Path,
    out: Path,
    objects: dict[str, list[Looked]],
    maps: dict[str, list[Looked]],
    wanted: Wanted,
    done: Prepared,
) -> None:
    folder = out / 'annotations'
    out.mkdir(parents=True, exist_ok=True)
    _link(root, out / LINK)
    folder.mkdir(exist_ok=True)
    train = objects['train']
    shown = [{part['category_id'] for part in parts} for _, parts in train]
    names, cities = [image['file_name'] for image, _ in train], [image['scene'] for image, _ in train]
    subset = [train[number] for number in balanced(shown, names, cities, wanted.subset, wanted.seed)]
    seen = '' if done.test_cities else ', which are those of val: a network trained on trainval.json has seen them'
    files = {
        'instances_train': (train, 'Cityscapes gtFine/train without the cities of the test'),
        'instances_val': (objects['val'], 'Cityscapes gtFine/val'),
        'instances_test': (objects['test'], f'cities held back from gtFine/train: {done.test_cities}{seen}'),
        'trainval': (train + objects['val'], 'instances_train and instances_val'),
        'subset': (subset, f'{wanted.subset} images of instances_train, seed {wanted.seed}'),
        'semantic_coarse': (maps['coarse'], f'gtCoarse, seed {wanted.seed}'),
        'semantic_val': (maps['val'], 'gtFine/val'),
        'semantic_test': (maps['test'], 'the images of instances_test'),
    }
    for name, (looked, note) in files.items():
        content = _content(looked, note, things=not name.startswith('semantic'))
        write_json(folder / f'{name}.json', content)
        done.files[name] = (len(content['images']), len(content['annotations']))


def _content(looked: Sequence[Looked], note: str, *, things: bool) -> Record:
    images = [{'id': number, **image} for number, (image, _) in enumerate(looked, 1)]
    parts = [(number, part) for number, (_, found) in enumerate(looked, 1) for part in found]
    return {
        'info': {'description': note, 'version': '1.0'},
        'licenses': [],
        'images': images,
        'annotations': [{'id': n, 'image_id': image, **part} for n, (image, part) in enumerate(parts, 1)],
        'categories': categories(things=things),
    }


def _link(root: Path, link: Path) -> None:
    """Point to Cityscapes; an older link is pointed anew."""
    target = os.path.realpath(root)
    if link.is_symlink():
        if os.path.realpath(link) == target:
            return
        link.unlink()
    elif link.exists():
        raise DataError(
            f'{link} must be a link to {root}, which this command makes; move it away, or choose another --out'
        )
    link.symlink_to(target, target_is_directory=True)

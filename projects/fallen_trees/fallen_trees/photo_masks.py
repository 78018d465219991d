"""A folder of photos in, a folder of masks out, each file named by its class.

    OUT/photo_0001/01_dog_0.93.png 02_cat_0.71.png ...   masks of the photo's size, 255 inside, the surest first
                   overlay.jpg                           the photo with masks, boxes, names and scores
                   instances.json                        file, class, score, bbox and run lengths of each
    OUT/predictions.json                                 all of them as one COCO file, with scores
    OUT/RUN.json                                         what they were made with

A photo's folder appears whole or not at all, and is not made again while the photo stays as it is: a run that was
stopped goes on with the same command.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as pycoco

from data_prep.atomic import atomic_write
from fallen_trees.errors import ConfigError
from fallen_trees.predictor import Prediction

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
RECORD, RUN, ALL = 'instances.json', 'RUN.json', 'predictions.json'


@dataclass(frozen=True)
class Photo:
    """A file to be looked at.

    Attributes:
        path: Of the file.
        name: From the folder that was given.
        folder: For its masks, in the output.
    """

    path: Path
    name: str
    folder: Path

    def version(self) -> dict[str, object]:
        """What tells that the file is another one."""
        status = self.path.stat()
        return dict(file_name=self.name, bytes=status.st_size, mtime_ns=status.st_mtime_ns)


@dataclass(frozen=True)
class Outcome:
    """What a folder of photos came to.

    Attributes:
        photos: How many have masks now.
        kept: Those of them that an earlier run had done.
        instances: In all photos.
        unreadable: A line for each file that is no image.
    """

    photos: int
    kept: int
    instances: int
    unreadable: list[str]


def predict_photos(
    predict: Callable[[Path], Prediction],
    images: Sequence[Path],
    out: Path,
    made_with: Mapping[str, object],
    progress: Callable[[int], object] = lambda number: None,
) -> Outcome:
    """Write the masks of all photos.

    Args:
        predict: A Predictor.
        images: Files, or folders that are searched with their sub-folders.
        out: Folder for the output; made if it is not there.
        made_with: Classes, threshold, checkpoint: what must be the same for a run to go on with another's work.
        progress: Called with 1 for each photo.

    Raises:
        ConfigError: If there is no photo, or `out` holds something else, or lies among the photos.
        OSError: If the disk is full or the folder not writable.
    """
    photos = find_photos(images, out)
    _begin(out, dict(made_with))
    kept, unreadable, records = 0, [], []
    for photo in photos:
        record = _finished(photo)
        kept += record is not None
        try:
            records.append(record or _write(predict(photo.path), photo))
        except ConfigError as error:
            unreadable.append(str(error))
        progress(1)
    _write_json(out / ALL, _as_coco(records, made_with['classes']))
    return Outcome(len(records), kept, sum(len(record['instances']) for record in records), unreadable)


def find_photos(images: Sequence[Path], out: Path) -> list[Photo]:
    """Photos in the order of their names, each with a folder of its own.

    Raises:
        ConfigError: If a folder is missing or holds the output, two photos have one name, or there is none.
    """
    found: dict[str, Path] = {}
    for given in images:
        if given.is_dir() and Path(os.path.realpath(out)).is_relative_to(os.path.realpath(given)):
            raise ConfigError(f'--out {out} must not lie in the folder of the photos, {given}; choose another.')
        if not given.exists():
            raise ConfigError(f'the folder of images {given} does not exist.')
        root, files = (given, _files(given)) if given.is_dir() else (given.parent, [given])
        for path in files:
            name = path.relative_to(root).as_posix()
            if found.setdefault(name, path) != path:
                raise ConfigError(f'{found[name]} and {path} have one name; predict them to two folders.')
    if not found:
        raise ConfigError(f'{", ".join(map(str, images))} holds no image ({", ".join(SUFFIXES)}).')
    stems = Counter(str(Path(name).with_suffix('')) for name in found)
    stems.update({str(parent) for name in found for parent in Path(name).parents})  # sub-folders of the output
    # a.jpg has the folder a, but a.jpg beside a.png or a folder a/ has a.jpg
    places = {name: str(Path(name).with_suffix('')) for name in found}
    folders = {name: out / (place if stems[place] == 1 else name) for name, place in places.items()}
    return [Photo(path, name, folders[name]) for name, path in sorted(found.items())]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob('[!.]*') if path.suffix.lower() in SUFFIXES and path.is_file())


def _begin(out: Path, made_with: dict[str, object]) -> None:
    """Make the folder, or make sure that it is one that this run may go on with."""
    if (out / RUN).is_file():
        before = json.loads((out / RUN).read_text(encoding='utf-8'))
        now = json.loads(json.dumps(made_with))
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        if changed:
            raise ConfigError(
                f'--out {out} holds masks made with another {" and ".join(changed)}; choose another folder.'
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f'--out {out} must be a new or empty folder, or one that this command made ({RUN} in it).')
    out.mkdir(parents=True, exist_ok=True)
    _write_json(out / RUN, made_with)


def _finished(photo: Photo) -> dict | None:
    """What was found in a photo that has been done and has not changed since."""
    try:
        record = json.loads((photo.folder / RECORD).read_text(encoding='utf-8'))
        return record if record['photo'] == photo.version() else None
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _write(found: Prediction, photo: Photo) -> dict:
    """Write a photo's folder aside, then move it into place."""
    partial = photo.folder.with_name(f'.{photo.folder.name}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    instances = list(_instances(found, partial))
    found.draw(partial / 'overlay.jpg')
    height, width = found.image.shape[:2]
    record = dict(photo=photo.version(), width=width, height=height, instances=instances)
    _write_json(partial / RECORD, record)
    shutil.rmtree(photo.folder, ignore_errors=True)
    os.replace(partial, photo.folder)
    return record


def _instances(found: Prediction, folder: Path) -> Iterator[dict]:
    digits = max(2, len(str(len(found))))
    for number, (name, score, rle, box) in enumerate(
        zip(found.class_names, found.scores.tolist(), found.rles, found.boxes_xyxy.tolist(), strict=True), 1
    ):
        file_name = f'{number:0{digits}d}_{plain(name)}_{score:.2f}.png'
        with atomic_write(folder / file_name, 'wb', sync=False) as file:
            file.write(cv2.imencode('.png', pycoco.decode(rle) * np.uint8(255))[1].tobytes())
        x0, y0, x1, y1 = box
        counts = rle['counts'].decode() if isinstance(rle['counts'], bytes) else rle['counts']
        yield {
            'mask': file_name, 'class': name, 'score': round(score, 6),
            'bbox': [round(value, 3) for value in (x0, y0, x1 - x0, y1 - y0)], 'area': float(pycoco.area(rle)),
            'segmentation': dict(size=[int(side) for side in rle['size']], counts=counts),
        }  # fmt: skip


def plain(name: str) -> str:
    """A class name as a part of a file name: letters, digits, - and _."""
    return ''.join(letter if letter.isalnum() or letter in '-_' else '_' for letter in name)[:60] or '_'


def _as_coco(records: list[dict], classes: Sequence[str]) -> dict:
    """One COCO file; its annotations, with their scores, are what pycocotools takes as results too."""
    ids = {name: number for number, name in enumerate(classes, 1)}
    images, annotations = [], []
    for image_id, record in enumerate(records, 1):
        size = dict(width=record['width'], height=record['height'])
        images.append(dict(id=image_id, file_name=record['photo']['file_name'], **size))
        for entry in record['instances']:
            kept = {key: entry[key] for key in ('bbox', 'area', 'segmentation', 'score')}
            category = ids[entry['class']]
            annotations.append(
                dict(id=len(annotations) + 1, image_id=image_id, category_id=category, iscrowd=0, **kept)
            )
    categories = [dict(id=number, name=name, supercategory='object') for name, number in ids.items()]
    return dict(images=images, annotations=annotations, categories=categories)


def _write_json(path: Path, content: object) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(content, ensure_ascii=False))

"""A COCO file with the chosen images, and copies of their files."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_prep.atomic import atomic_path
from data_prep.check.codes import Severity
from data_prep.check.files import check_names
from data_prep.check.layout import CocoFile, find_coco, image_folder
from data_prep.check.report import Findings
from data_prep.check.structure import examine
from data_prep.errors import DataError
from data_prep.labels.strict_json import read_json, write_json
from data_prep.select.scores import DEFAULT_WEIGHTS, Record, Score, Weights, best, score_images
from data_prep.select.splitting import split_files, write_splits

KEY = 'selection'  # of an image entry: its rank and scores


@dataclass(frozen=True)
class Selection:
    """What was chosen.

    Attributes:
        images: Entries with their scores, best first.
        total: Number of images to choose from.
        annotations: Number of annotations of the chosen.
        lost_classes: Names of classes that some image shows and no chosen one.
        split: Number of images in train, val and test, where they were shared out.
        shared_folders: Sub-folders with images in more than one split.
    """

    images: list[Record]
    total: int
    annotations: int
    lost_classes: list[str]
    split: list[int] | None = None
    shared_folders: int = 0


def select_images(
    path: Path,
    out: Path,
    count: int,
    *,
    weights: Weights = DEFAULT_WEIGHTS,
    balance: str = 'folder',
    images: Path | None = None,
    copy_to: Path | None = None,
    overwrite: bool = False,
    shares: Sequence[float] | None = None,
    seed: int = 0,
    progress: Callable[[], object] = lambda: None,
) -> Selection:
    """Keep the most informative images of a COCO file.

    Args:
        path: COCO file.
        out: COCO file to write: ids, order, categories and all other keys stay; chosen images gain ``selection``.
        count: Number of images to keep.
        weights: See ``score_images``.
        balance: See ``score_images``.
        images: Folder of the image files, looked at only for copying; None guesses it.
        copy_to: Folder for copies of the chosen files, with their sub-folders; None copies nothing.
        overwrite: Whether a file at ``out`` may be replaced.
        shares: Of the chosen for train, val and test, in files beside ``out``; None writes no such files.
        seed: Of this sharing out.
        progress: Called after each copied file.

    Returns:
        What was chosen; the same input gives the same bytes.

    Raises:
        DataError: If the file is not a usable COCO file, has fewer images, or an output is in the way. Then nothing is
            written.
    """
    for target in [out, *(split_files(out) if shares else ())]:
        _check_target(path, target, overwrite=overwrite)
    coco, content = _read(path, images, count)
    scores = score_images(content['images'], content['annotations'], weights=weights, balance=balance)
    subset, selection = _subset(content, best(content['images'], scores, count), scores)
    if copy_to is not None:
        names = [image['file_name'] for image in selection.images]
        _copy(_sources(coco, path, names), copy_to, progress)
    write_json(out, subset)
    if shares:
        split, shared = write_splits(out, subset, shares, seed)
        selection = replace(selection, split=split, shared_folders=shared)
    return selection


def _read(path: Path, images: Path | None, count: int) -> tuple[CocoFile, Record]:
    """The file and what it holds; usable, with at least ``count`` images."""
    if path.is_dir():
        raise DataError(f'{path} must be a COCO file; a folder is there; name one of its files')
    coco, content = find_coco(path, images)[0], read_json(path)
    _check_usable(path, content)
    if not 1 <= count <= len(content['images']):
        raise DataError(f'--n must be from 1 to the number of images, {len(content["images"])} in {path}; got {count}')
    return coco, content


def _check_usable(path: Path, content: Any) -> None:
    """Refuse a file whose entries cannot be told apart, or whose names lead out of the image folder."""
    findings = Findings()
    check_names(examine(content, path.name, findings), findings)
    for item in findings.sorted():
        if item.severity is Severity.ERROR:
            example = item.examples[0]
            raise DataError(f'{path}, {example.place}: {example.problem}; {item.advice} ({item.count} x {item.code}; '
                            'python -m data_prep check lists all)')  # fmt: skip


def _check_target(path: Path, out: Path, *, overwrite: bool) -> None:
    if out.exists() and path.exists() and out.samefile(path):
        raise DataError(f'--out {out} must not be the file that is read; choose another name')
    if out.is_dir() or not out.parent.is_dir():
        raise DataError(f'--out {out} must be a file in a folder that exists; choose another name')
    if out.exists() and not overwrite:
        raise DataError(f'--out {out} exists; choose another name, or pass --overwrite')


def _subset(content: Record, chosen: Sequence[int], scores: Sequence[Score]) -> tuple[Record, Selection]:
    ranks = {row: rank for rank, row in enumerate(chosen, 1)}
    images = {
        row: {**content['images'][row], KEY: {'rank': ranks[row], **scores[row]._asdict()}} for row in sorted(ranks)
    }  # fmt: skip
    ids = {image['id'] for image in images.values()}
    parts = [part for part in content['annotations'] if part['image_id'] in ids]
    kept, shown = ({part['category_id'] for part in group} for group in (parts, content['annotations']))
    lost = [entry['name'] for entry in content['categories'] if entry['id'] in shown - kept]
    subset = {**content, 'images': list(images.values()), 'annotations': parts}
    return subset, Selection([images[row] for row in chosen], len(content['images']), len(parts), lost)


def _sources(coco: CocoFile, path: Path, names: Sequence[str]) -> dict[str, Path]:
    """Files to copy, by name; all exist."""
    folder = image_folder(coco, names)
    if folder is None:
        raise DataError(f'the images of {path} were not found beside it; name their folder: --images FOLDER')
    found = {name: folder / name for name in names}
    missing = [name for name, source in found.items() if not source.is_file()]
    if missing:
        raise DataError(f'{folder} must hold the {len(names)} chosen images; {len(missing)} are not there, the first '
                        f'{missing[0]!r}; name their folder: --images FOLDER')  # fmt: skip
    return found


def _copy(sources: dict[str, Path], out: Path, progress: Callable[[], object]) -> None:
    """Copy files; what is there with the same bytes stays, and after an error the folder is as it was."""
    if out.exists() and not out.is_dir():
        raise DataError(f'--copy-images {out} must be a folder; a file is there; choose another name')
    targets = {out / name: source for name, source in sources.items()}
    present = {target for target in targets if os.path.lexists(target)}
    for target in present:
        if not target.is_file() or not filecmp.cmp(targets[target], target, shallow=False):
            raise DataError(f'--copy-images {out} holds another {target.name}; choose another folder')
    made: list[Path] = []
    try:
        for target, source in targets.items():
            if target not in present:
                _make_folders(target.parent, made)
                with atomic_path(target) as temporary:
                    shutil.copyfile(source, temporary)
                made.append(target)
            progress()
    except BaseException:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink()
        raise


def _make_folders(folder: Path, made: list[Path]) -> None:
    if not folder.is_dir():
        _make_folders(folder.parent, made)
        folder.mkdir()
        made.append(folder)

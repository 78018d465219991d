"""Image files: names that stay in their folder, files that are there, sizes that agree, files nobody lists."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from data_prep.check.codes import Severity
from data_prep.check.headers import Truncated, image_size
from data_prep.check.layout import PACK_INDEX, CocoFile, image_folder, inside, normal
from data_prep.check.report import Findings
from data_prep.check.structure import Content, shown
from data_prep.check.structure import image_size as listed_size
from data_prep.errors import DataError, one_line
from data_prep.imagery.rasters import SUFFIXES
from data_prep.labels.strict_json import read_json

Progress = Callable[[], object]

UNSAFE_PATH = re.compile(r'[\x00\ud800-\udfff]')  # no file has such a name
UNWRITTEN = '.window'  # end of file_name where ``tile --pixels none`` wrote no file


def check_names(content: Content, findings: Findings) -> list[int]:
    """Tell names that could lead out of the image folder; returns the rows of the others."""
    safe = [row for row, image in enumerate(content.images) if inside(image['file_name'])]
    bad = sorted(set(range(len(content.images))) - set(safe))
    findings.rows('file-name-unsafe', content.file, bad,
                  lambda row: (content.image_place(row), 'absolute, or leads out of the folder'))  # fmt: skip
    return safe


def check_files(
    coco: CocoFile, content: Content, findings: Findings, on_image: Progress = lambda: None
) -> tuple[Path | None, dict[int, Path]]:
    """Compare image entries with the headers of their files.

    Args:
        coco: Where the images may lie.
        content: The entries.
        findings: Gets what is wrong.
        on_image: Called after each image.

    Returns:
        The image folder, None where none was found, and the files that exist, by row of the image.
    """
    safe = check_names(content, findings)
    unwritten = {row for row in safe if content.images[row]['file_name'].endswith(UNWRITTEN)}
    _check_sources(coco, content, sorted(unwritten), findings)
    safe = [row for row in safe if row not in unwritten]
    packed = next((folder for folder in coco.folders if (folder / PACK_INDEX).is_file()), None)
    if packed is not None:
        _check_packed(packed, content, safe, findings)
        return None, {}
    folder = image_folder(coco, [content.images[row]['file_name'] for row in safe])
    if folder is None:
        if safe:
            looked = ', '.join(str(path) for path in coco.folders)
            findings.add('images-not-found', content.file, f'{len(safe)} images', f'none lies in {looked}')
        return None, {}
    root = os.path.realpath(folder)
    paths = {row: Path(root, content.images[row]['file_name']) for row in safe}
    found = {row: path for row, path in paths.items() if path.is_file()}
    missing = [row for row in safe if row not in found]
    findings.rows('file-missing', content.file, missing,
                  lambda row: (content.image_place(row), f'not in {root}{_other_case(paths[row])}'))  # fmt: skip
    for row, path in found.items():
        _check_file(path, root, row, content, findings)
        on_image()
    return folder, found


def _check_packed(folder: Path, content: Content, rows: list[int], findings: Findings) -> None:
    """Tell images that a pack does not list; ``data_prep pack --verify`` looks at its bytes."""
    index = read_json(folder / PACK_INDEX)
    listed = index.get('images', {}) if isinstance(index, dict) else {}
    missing = [row for row in rows if content.images[row]['file_name'] not in listed]
    findings.rows('file-missing', content.file, missing,
                  lambda row: (content.image_place(row), f'not in the pack {folder}'))  # fmt: skip


def _check_sources(coco: CocoFile, content: Content, rows: list[int], findings: Findings) -> None:
    """Tell tiles without pixels of their own whose raster is not there, and rasters that are cut short."""
    root = coco.root or coco.path.parent
    exists: dict[str, bool] = {}

    def lost(row: int) -> bool:
        source = content.images[row].get('source')
        if not isinstance(source, str) or UNSAFE_PATH.search(source):
            return True
        if source not in exists:
            exists[source] = (root / source).is_file()
            if exists[source]:
                _size(root / source, (content.file, f'source {shown(source)}'), findings)
        return not exists[source]

    def describe(row: int) -> tuple[str, str]:
        return content.image_place(row), f'source {shown(content.images[row].get("source"))}'

    findings.rows('source-missing', content.file, [row for row in rows if lost(row)], describe)


def _check_file(path: Path, root: str, row: int, content: Content, findings: Findings) -> None:
    image, place = content.images[row], content.image_place(row)
    if not os.path.realpath(path).startswith(os.path.join(root, '')):
        findings.add('file-link-outside', content.file, place, f'is {os.path.realpath(path)}')
    size = _size(path, (content.file, place), findings)
    if size is not None and listed_size(image) not in (None, size):
        text = f'the file has {size[0]} x {size[1]} px, the entry {image["width"]} x {image["height"]}'
        turned = ' (the sides are swapped)' if listed_size(image) == size[::-1] else ''
        findings.add('file-size-disagrees', content.file, place, text + turned)


def _size(path: Path, where: tuple[str, str], findings: Findings) -> tuple[int, int] | None:
    """Size in the header; None where it is not known, which is told."""
    try:
        size = image_size(path)
    except Truncated as error:
        findings.add('file-truncated', *where, one_line(error))
        return None
    except DataError as error:
        findings.add('file-unreadable', *where, one_line(error))
        return None
    if size is None:
        findings.add('file-format-unknown', *where, 'is no PNG, JPEG or TIFF')
    return size


def _other_case(path: Path) -> str:
    """The name of the file that differs by case only, as part of a sentence."""
    if not path.parent.is_dir():
        return ''
    with os.scandir(path.parent) as entries:
        alike = next((entry.name for entry in entries if entry.name.lower() == path.name.lower()), None)
    return '' if alike is None else f'; {shown(alike)} is there'


def check_unlisted(folder: Path, contents: list[Content], *, own: bool, findings: Findings) -> None:
    """Tell image files that no entry lists.

    Args:
        folder: The image folder; sub-folders are searched, hidden ones are not.
        contents: All COCO files whose images lie there.
        own: Whether the folder belongs to these files alone; then it is a warning.
        findings: Gets the files.
    """
    listed = {normal(image['file_name']) for content in contents for image in content.images}
    unlisted = sorted(name for name in _image_files(folder) if name not in listed)
    findings.rows('file-unlisted', contents[0].file, range(len(unlisted)),
                  lambda row: (f'file {shown(unlisted[row])}', f'in {folder}, but in no entry'),
                  severity=Severity.WARNING if own else None)  # fmt: skip


def _image_files(folder: Path) -> set[str]:
    names = set()
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith('.')]
        base = '' if at == str(folder) else f'{os.path.relpath(at, folder)}/'
        names |= {
            f'{base}{name}' for name in files if name.lower().endswith(SUFFIXES) and not name.startswith('.')
        }  # fmt: skip
    return names

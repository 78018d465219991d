"""Which raster goes with which label file: paired by name, and nothing left over unsaid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data_prep.errors import DataError
from data_prep.imagery.rasters import SUFFIXES
from data_prep.labels.coco_file import image_names
from data_prep.labels.strict_json import read_json

LABEL_SUFFIXES = ('.json', '.geojson', '.gpkg', '.shp')

CocoNames = dict[Path, dict[str, list[Path]]]  # folder -> file name of a raster -> COCO files that name it
JsonKind = Literal['labelme', 'geojson', 'coco']


@dataclass(frozen=True)
class Scene:
    """One raster and the file with its labels; the name, mostly the raster's stem, is unique in the data set."""

    name: str
    raster: Path
    labels: Path | None
    split: str | None = None  # where a scenes table gives one


def json_kind(path: Path, content: Any) -> JsonKind:
    """Tell label files apart by their content.

    Raises:
        DataError: If it is none of the kinds known here.
    """
    if isinstance(content, dict):
        if 'shapes' in content:
            return 'labelme'
        if content.get('type') == 'FeatureCollection':
            return 'geojson'
        if 'images' in content and 'annotations' in content:
            return 'coco'
    raise DataError(f"{path} is neither LabelMe (no 'shapes') nor GeoJSON nor COCO; move it away from the rasters")


def find_scenes(inputs: Sequence[Path], labels: Path | None = None, *, unlabelled: str = 'error') -> list[Scene]:
    """Find rasters and pair each with its label file.

    Args:
        inputs: Folders (searched flat) and rasters.
        labels: A label file for the one raster, a COCO file for all rasters it names, or a folder of them; None looks
            beside each raster.
        unlabelled: ``'error'`` or ``'empty'``: what a raster without a label file means.

    Returns:
        Scenes sorted by name; the same whatever the order of ``inputs``.

    Raises:
        DataError: If a path is missing, two rasters share a name, a raster has two label files or none, or a folder
            holds a label file without its raster.
    """
    rasters = unique_names((raster.stem, raster) for path in inputs for raster in _rasters(path))
    if labels is not None and labels.is_file():
        return _one_file(rasters, labels, unlabelled)
    if labels is not None and not labels.is_dir():
        raise DataError(f'--labels {labels} does not exist')
    only_folders = all(path.is_dir() for path in inputs)
    coco: CocoNames = {}
    folders = {labels} if labels is not None else {raster.parent for raster in rasters.values()}
    found = _labels_by_stem(folders, None if only_folders else set(rasters))
    _refuse_orphans(found, set(rasters))
    return [_pair(name, raster, found, coco, labels, unlabelled) for name, raster in sorted(rasters.items())]


def _rasters(path: Path) -> list[Path]:
    """Rasters of one input."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f'{path} does not exist; name folders or rasters on this machine')
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise DataError(f'{path} holds no raster; wanted are files ending in {", ".join(SUFFIXES)}')
    return found


def unique_names(pairs: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Map scene names to rasters; the same file given twice under one name counts once.

    Raises:
        DataError: If a name cannot begin the names of files, or two rasters share one (upper and lower case are equal).
    """
    by_name: dict[str, Path] = {}
    spelled: dict[str, tuple[str, Path]] = {}
    for name, raster in pairs:
        if not name.isprintable() or '\\' in name or '/' in name:
            raise DataError(f'the name {name!r} of {str(raster)!r} holds a slash, backslash or control character; '
                            'give it another')  # fmt: skip
        first, other = spelled.setdefault(name.casefold(), (name, raster))
        if other.resolve() != raster.resolve():
            raise DataError(f'two rasters share the scene name {name}: {other} and {raster}; rename one')
        by_name[first] = other
    return by_name


def _labels_by_stem(folders: Iterable[Path], stems: set[str] | None) -> dict[tuple[Path, str], list[Path]]:
    """Label files by (folder, stem), of the given stems or all.

    COCO files wait: one may label many rasters, whatever its name, and only those without a label file of their own.
    """
    found: dict[tuple[Path, str], list[Path]] = {}
    for folder in sorted(folders):
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in LABEL_SUFFIXES or not path.is_file():
                continue
            if stems is not None and path.stem not in stems:
                continue
            if path.suffix.lower() == '.json' and json_kind(path, read_json(path)) == 'coco':
                continue
            found.setdefault((folder, path.stem), []).append(path)
    return found


def _refuse_orphans(found: dict[tuple[Path, str], list[Path]], stems: set[str]) -> None:
    for (_, stem), paths in found.items():
        if stem not in stems:
            raise DataError(f'{paths[0]} has no raster of the same name; add {stem}.tif, or name rasters and --labels')


def _one_file(rasters: dict[str, Path], labels: Path, unlabelled: str) -> list[Scene]:
    """One label file for one raster; a COCO file for all that it names."""
    if len(rasters) == 1:
        return [Scene(name, raster, labels) for name, raster in rasters.items()]
    content = read_json(labels) if labels.suffix.lower() == '.json' else None
    if content is None or json_kind(labels, content) != 'coco':
        raise DataError(f'--labels with a file takes one raster; got {len(rasters)}; pass a folder of label files, or '
                        f'a COCO file that names the rasters')  # fmt: skip
    images = image_names(content)
    named = {name: raster.name in images for name, raster in rasters.items()}
    missing = [str(rasters[name]) for name in sorted(rasters) if not named[name]]
    if missing and unlabelled == 'error':
        raise DataError(f'--labels {labels} names no image {missing[0]} ({len(missing)} of {len(rasters)} rasters); '
                        f'rename it, or pass --unlabelled empty if it shows no object')  # fmt: skip
    return [Scene(name, raster, labels if named[name] else None) for name, raster in sorted(rasters.items())]


def _coco_files(folder: Path, raster: Path, coco: CocoNames) -> list[Path]:
    """COCO files of a folder that name a raster; the folder is read once, and only if a raster needs it."""
    if folder not in coco:
        coco[folder] = {}
        for path in sorted(file for file in folder.iterdir() if file.suffix.lower() == '.json' and file.is_file()):
            for name in _image_names(path):
                coco[folder].setdefault(name, []).append(path)
    return coco[folder].get(raster.name, [])


def _image_names(path: Path) -> set[str]:
    """Images that a COCO file names; none where it is something else, which is told elsewhere if it must be."""
    try:
        content = read_json(path)
        return image_names(content) if json_kind(path, content) == 'coco' else set()
    except DataError:
        return set()


def _pair(
    name: str,
    raster: Path,
    found: dict[tuple[Path, str], list[Path]],
    coco: CocoNames,
    labels: Path | None,
    unlabelled: str,
) -> Scene:
    candidates = found.get((labels or raster.parent, name), []) or _coco_files(labels or raster.parent, raster, coco)
    if len(candidates) > 1:
        both = ' and '.join(map(str, candidates))
        raise DataError(f'{raster} must have one label file; got {both}; keep one, or choose it with --labels')
    if not candidates and unlabelled == 'error':
        where = labels or raster.parent
        raise DataError(f'{raster} has no label file {name}.json, .geojson, .gpkg or .shp in {where}, and no COCO file '
                        f'there names it; add it, choose it with --labels, or pass --unlabelled empty if the scene '
                        f'shows no object')  # fmt: skip
    return Scene(name, raster, candidates[0] if candidates else None)

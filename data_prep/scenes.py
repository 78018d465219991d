"""Which raster goes with which label file: paired by name, and nothing left over unsaid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data_prep.errors import DataError
from data_prep.imagery.rasters import SUFFIXES
from data_prep.labels.strict_json import read_json

LABEL_SUFFIXES = ('.json', '.geojson', '.gpkg', '.shp')

JsonKind = Literal['labelme', 'geojson', 'coco']


@dataclass(frozen=True)
class Scene:
    """One raster and the file with its labels; the name is the raster's stem, unique in the data set."""

    name: str
    raster: Path
    labels: Path | None


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
        labels: A label file for the one raster, or a folder of them; None looks beside each raster.
        unlabelled: ``'error'`` or ``'empty'``: what a raster without a label file means.

    Returns:
        Scenes sorted by name; the same whatever the order of ``inputs``.

    Raises:
        DataError: If a path is missing, two rasters share a name, a raster has two label files or none, or a folder
            holds a label file without its raster.
    """
    rasters = _unique_names(raster for path in inputs for raster in _rasters(path))
    if labels is not None and labels.is_file():
        if len(rasters) != 1:
            raise DataError(f'--labels with a file takes one raster; got {len(rasters)}; pass a folder of label files')
        return [Scene(name, raster, labels) for name, raster in rasters.items()]
    if labels is not None and not labels.is_dir():
        raise DataError(f'--labels {labels} does not exist')
    only_folders = all(path.is_dir() for path in inputs)
    folders = {labels} if labels is not None else {raster.parent for raster in rasters.values()}
    found = _labels_by_stem(folders, None if only_folders else set(rasters))
    _refuse_orphans(found, set(rasters))
    return [_pair(name, raster, found, labels, unlabelled) for name, raster in sorted(rasters.items())]


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


def _unique_names(rasters: Iterable[Path]) -> dict[str, Path]:
    """Map scene names to rasters; the same file given twice counts once."""
    by_name: dict[str, Path] = {}
    spelled: dict[str, Path] = {}
    for raster in rasters:
        if not raster.stem.isprintable() or '\\' in raster.stem:
            raise DataError(f'the name {str(raster)!r} holds a backslash or control character; rename the raster')
        other = spelled.setdefault(raster.stem.casefold(), raster)
        if other.resolve() != raster.resolve():
            raise DataError(f'two rasters share the scene name {raster.stem}: {other} and {raster}; rename one')
        by_name[other.stem] = other
    return by_name


def _labels_by_stem(folders: Iterable[Path], stems: set[str] | None) -> dict[tuple[Path, str], list[Path]]:
    """Label files by (folder, stem), of the given stems or all.

    COCO files are passed over: beside rasters they hold the same labels once more, or those of other images.
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


def _pair(
    name: str, raster: Path, found: dict[tuple[Path, str], list[Path]], labels: Path | None, unlabelled: str
) -> Scene:
    candidates = found.get((labels or raster.parent, name), [])
    if len(candidates) > 1:
        both = ' and '.join(map(str, candidates))
        raise DataError(f'{raster} must have one label file; got {both}; keep one, or choose it with --labels')
    if not candidates and unlabelled == 'error':
        where = labels or raster.parent
        raise DataError(f'{raster} has no label file {name}.json, .geojson, .gpkg or .shp in {where}; add it, choose '
                        f'it with --labels, or pass --unlabelled empty if the scene shows no object')  # fmt: skip
    return Scene(name, raster, candidates[0] if candidates else None)

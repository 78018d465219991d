"""Where the pixels of mapped scenes lie, and how they are shown: with the bands and the stretch of the map."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.errors import DataError
from data_prep.imagery.rasters import SUFFIXES, RasterInfo, open_raster, raster_info, sha256, three_bands
from data_prep.imagery.stretch import LoHi, needs_stretch, stretch_limits
from data_prep.scenes import unique_names
from tree_map.reporting.picture import Source
from tree_map.scoring.found_maps import FoundScene


def given_rasters(paths: Sequence[Path]) -> dict[str, Path]:
    """Rasters that a user names, by the name of their scene; folders are searched flat.

    Raises:
        DataError: If one does not exist, or two share a name.
    """
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise DataError(f'--scenes {missing[0]} does not exist; name rasters or folders of them')
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return unique_names((file.stem, file) for file in files if file.suffix.lower() in SUFFIXES and file.is_file())


def source_of(scene: FoundScene, given: Mapping[str, Path], note: Callable[[str], object]) -> Source | None:
    """Find a scene's raster: as given, else where the map says it was, else beside the map.

    Args:
        scene: As the map tells it.
        given: Of ``given_rasters``.
        note: Is told why the page goes without a picture, and that a raster has changed.

    Returns:
        None where there is no raster of that size.
    """
    known = scene.provenance
    places = [given.get(scene.name), known.get('source'), scene.file.parent / str(known.get('file_name'))]
    path = next((Path(place) for place in places if place and Path(place).is_file()), None)
    if path is None:
        note(f'{scene.name} is shown without its picture: {known.get("source") or known.get("file_name")} is not '
             f'there; name its folder with --scenes')  # fmt: skip
        return None
    info = raster_info(path)
    size = (known.get('width'), known.get('height'))
    if None not in size and size != (info.width, info.height):
        note(f'{scene.name} is shown without its picture: {path} has {info.width} x {info.height} px, the map was made '
             f'of {size[0]} x {size[1]} px')  # fmt: skip
        return None
    if known.get('source_sha256') and sha256(path) != known['source_sha256']:
        note(f'{path} has changed since {scene.file} was made of it')
    return Source(info, *_looks(info, known))


def _looks(info: RasterInfo, known: Mapping[str, Any]) -> tuple[tuple[int, int, int], LoHi | None]:
    """Bands shown as red, green and blue, and their stretch: those that the network saw, else as tiles are cut."""
    bands, limits = _value(known.get('bands')), _value(known.get('stretch_lo_hi'))
    if not bands or max(bands) > info.count:
        bands, limits = three_bands(info, (1,) if info.count == 2 else None), None
    if len(bands) < 3:
        bands, limits = [bands[0]] * 3, limits and [limits[0]] * 3
    shown, limits = tuple(bands[:3]), limits and limits[:3]
    if not limits and needs_stretch(info, 'auto'):
        with open_raster(info.path) as dataset:
            limits = stretch_limits(dataset, shown)
    return shown, limits or None


def _value(value: Any) -> Any:
    """Lists come as JSON out of tables of text."""
    return json.loads(value) if isinstance(value, str) else value

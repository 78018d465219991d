"""Where the rasters of a map are: where people say, where they were when it was made, or beside the map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_prep.errors import DataError
from data_prep.imagery.rasters import SUFFIXES
from data_prep.scenes import unique_names
from tree_map.scene_map import SceneMap


def find_rasters(maps: Sequence[SceneMap], given: Sequence[Path], beside: Path) -> dict[str, Path]:
    """Find the rasters of scenes.

    Args:
        maps: Of one scene each, of different names.
        given: Rasters and folders of them; where there are any, nothing else is looked at.
        beside: A folder to look in last.

    Returns:
        Paths by name of the scene; without those that are nowhere.

    Raises:
        DataError: If two maps are of one scene, a path does not exist, or a scene is not among those given.
    """
    names = [item.provenance['scene'] for item in maps]
    doubles = {name for name in names if names.count(name) > 1}
    if doubles:
        raise DataError(f'two maps are of scene {sorted(doubles)[0]}; review one of them at a time')
    if given:
        found = unique_names((path.stem, path) for item in given for path in _rasters(item))
        missing = [name for name in names if name not in found]
        if missing:
            raise DataError(f'--scenes holds no raster {missing[0]} (it has {", ".join(sorted(found)[:5])}); add it')
        return {name: found[name] for name in names}
    places = {item.provenance['scene']: _places(item, beside) for item in maps}
    return {name: next(path for path in paths if path.is_file()) for name, paths in places.items()
            if any(path.is_file() for path in paths)}  # fmt: skip


def _places(scene_map: SceneMap, beside: Path) -> list[Path]:
    made = scene_map.provenance
    texts = [made.get('source'), made.get('file_name') and str(beside / str(made['file_name']))]
    return [Path(text) for text in texts if text]


def _rasters(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f'--scenes {path} does not exist; name rasters or folders on this machine')
    return sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())

"""Labels to score against: found by the name of the scene, read by ``data_prep``, named by its classes."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd

from data_prep.errors import DataError
from data_prep.labels.coco_file import image_names, last_json
from data_prep.labels.objects import OUTSIDE, load_objects
from data_prep.scenes import LABEL_SUFFIXES, Scene, json_kind
from tree_map.scoring.label_rules import LabelRules, Tell, tell_unusable
from tree_map.scoring.plane import Plane
from tree_map.scoring.truth_layers import read_vectors


def label_file(truth: Path, name: str, raster: str) -> Path | None:
    """The file with the labels of a scene.

    Args:
        truth: A file, which is it, or a folder with a file of the scene's name, or a COCO file that names its raster.
        name: Of the scene.
        raster: File name of its raster.

    Raises:
        DataError: If ``truth`` does not exist, or holds two such files.
    """
    if truth.is_file():
        return truth
    if not truth.is_dir():
        raise DataError(f'{truth} does not exist; name a label file, or a folder of them, as TRUTH')
    own = [path for suffix in LABEL_SUFFIXES if (path := truth / f'{name}{suffix}').is_file()]
    if not own:
        own = [path for path in sorted(truth.glob('*.json')) if raster in _images(path)]
    if len(own) > 1:
        raise DataError(f'the scene {name} must have one label file; got {own[0]} and {own[1]}; name one as TRUTH')
    return own[0] if own else None


def _images(path: Path) -> set[str]:
    content = last_json(path)
    return image_names(content) if isinstance(content, dict) and 'annotations' in content else set()


def read_truth(name: str, path: Path, plane: Plane, rules: LabelRules, note: Tell) -> gpd.GeoDataFrame:
    """Read the labels of one scene.

    Args:
        name: Of the scene.
        path: Label file.
        plane: Of the scene.
        rules: How labels become classes.
        note: Is told what cannot be used.

    Returns:
        Trees in the plane, which may reach past the scene or lie outside: ``tree_id``, ``class``, and what the file
        says of ``MEASURES``, ``centreline``, ``ignored`` and ``inside`` (share of the whole tree in the scene).

    Raises:
        DataError: If the file cannot be read or placed, or a label is refused.
    """
    suffix = path.suffix.lower()
    if suffix not in LABEL_SUFFIXES:
        raise DataError(f'{path} must end in {", ".join(LABEL_SUFFIXES)}')
    if suffix in ('.gpkg', '.shp') or json_kind(path, last_json(path)) == 'geojson':
        return read_vectors(name, path, plane, rules, note)
    found = load_objects(Scene(name, plane.info.path, path), plane.info, rules.column, rules.keep, rules.names)
    tell_unusable(path, [(item.feature, item.reason) for item in found.dropped if item.reason != OUTSIDE], note)
    frame = pd.DataFrame({'tree_id': [str(item.feature) for item in found.objects],
                          'class': [item.label for item in found.objects]}, dtype=object)  # fmt: skip
    polygons = np.array([item.polygon for item in found.objects], object)
    return gpd.GeoDataFrame(frame, geometry=plane.from_pixels(polygons))

"""The trees as COCO: one image a scene, outlines in its own pixels, as results and as labels to correct."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.coco import categories
from data_prep.errors import DataError
from data_prep.labels.strict_json import write_json
from tree_map.scene_map import SceneMap
from tree_map.writing.rings import in_pixels, rings
from tree_map.writing.text import plain, provenance

Record = dict[str, Any]
SCENE_KEYS = ('source', 'source_sha256', 'bands', 'stretch_lo_hi', 'nodata')  # of the COCO contract
MEASURED = ('visible_fraction', 'length_m', 'volume_m3', 'azimuth_deg', 'direction')


def write_coco(scene_maps: Sequence[SceneMap], path: Path) -> None:
    """Write one COCO file for scenes or photos.

    Args:
        scene_maps: One or more, of one model: their ``classes`` are the same.
        path: Target; replaced when all is written.

    Raises:
        DataError: If the classes differ.
        ValueError: If the provenance lacks ``classes``, ``width``, ``height``, or ``transform`` with a CRS.
        OSError: If the disk is full or the folder not writable.
    """
    write_json(path, coco_content(scene_maps))


def coco_content(scene_maps: Sequence[SceneMap]) -> Record:
    """Content of a COCO file; see ``write_coco``. Ids and categories count from 1.

    An annotation has ``score``, ``object_id`` and the measured values that are known. A tree with a hole comes as
    several rings that share edges.
    """
    classes = _classes(scene_maps)
    images, annotations = [], []
    for image_id, scene_map in enumerate(scene_maps, 1):
        images.append({'id': image_id, **_image(scene_map)})
        for entry in _annotations(scene_map, classes):
            annotations.append({'id': len(annotations) + 1, 'image_id': image_id, **entry})
    return {
        'info': {'description': 'Fallen trees found in a scene', 'version': '1.0',
                 'provenance': [provenance(scene_map) for scene_map in scene_maps]},
        'licenses': [],
        'images': images,
        'annotations': annotations,
        'categories': categories(classes),
    }  # fmt: skip


def _classes(scene_maps: Sequence[SceneMap]) -> list[str]:
    found = [scene_map.provenance.get('classes') for scene_map in scene_maps]
    if not found or not all(isinstance(classes, list | tuple) and classes for classes in found):
        raise ValueError(f"provenance['classes'] must list the names of the classes; got {found}")
    if any(list(classes) != list(found[0]) for classes in found):
        raise DataError(f'maps in one COCO file must have the same classes; got {found}; write one file for each')
    return list(found[0])


def image_size(scene_map: SceneMap) -> tuple[int, int]:
    """Width and height of the scene in source pixels.

    Raises:
        ValueError: If the provenance does not say them.
    """
    size = scene_map.provenance.get('width'), scene_map.provenance.get('height')
    if not all(isinstance(side, int | np.integer) and side > 0 for side in size):
        raise ValueError(f"provenance['width'] and ['height'] must be pixels of the scene; got {size}")
    return int(size[0]), int(size[1])


def _image(scene_map: SceneMap) -> Record:
    known, (width, height) = scene_map.provenance, image_size(scene_map)
    crs = scene_map.crs
    authority = crs.to_authority() if crs is not None else None
    return plain({
        'file_name': known.get('file_name') or known.get('scene') or '',
        'width': width,
        'height': height,
        'scene': known.get('scene'),
        'window_xywh': [0, 0, width, height],
        'scale': 1.0,
        **{key: known.get(key) for key in SCENE_KEYS},
        'gsd_m': None if not known.get('gsd_m') else known['gsd_m'] * known.get('scale', 1.0),
        'crs': None if crs is None else ':'.join(authority) if authority else crs.to_wkt(),
        'transform': list(scene_map.pixel_to_map) if crs is not None else [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    })  # fmt: skip


def _annotations(scene_map: SceneMap, classes: Sequence[str]) -> list[Record]:
    numbers = {name: number for number, name in enumerate(classes, 1)}
    scene, entries = scene_map.provenance.get('scene'), []
    for polygon, row in zip(in_pixels(scene_map), scene_map.trees.to_dict('records'), strict=True):
        if row['class'] not in numbers:
            raise ValueError(f'tree {row["tree_id"]} has the class {row["class"]!r}, which is none of {list(classes)}')
        outline = rings(polygon)
        if not outline:  # thinner than a thousandth of a pixel
            continue
        (x0, y0), (x1, y1) = np.vstack(outline).min(axis=0), np.vstack(outline).max(axis=0)
        entry = plain(
            {
                'category_id': numbers[row['class']],
                'bbox': [x0, y0, round(x1 - x0, 6), round(y1 - y0, 6)],
                'area': round(polygon.area, 6),
                'iscrowd': 0,
                'score': row['score'],
                'object_id': f'{row["scene"] or scene}/{row["tree_id"]}',
                **{key: row[key] for key in MEASURED if row[key] == row[key] and row[key] is not None},
            }
        )
        entries.append({**entry, 'segmentation': [ring.ravel().tolist() for ring in outline]})
    return entries

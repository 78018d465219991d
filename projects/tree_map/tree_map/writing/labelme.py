"""The trees of one photo as a LabelMe file, to look at and to correct in LabelMe."""

from __future__ import annotations

import os
from pathlib import Path

from data_prep.convert import labelme
from data_prep.convert.document import Document, Item
from data_prep.labels.strict_json import write_json
from tree_map.scene_map import SceneMap
from tree_map.writing.coco import image_size
from tree_map.writing.rings import in_pixels, rings
from tree_map.writing.text import check_text, plain


def write_labelme(scene_map: SceneMap, path: str | os.PathLike[str], image_path: str | os.PathLike[str]) -> None:
    """Write one polygon a part; the parts of a tree share a ``group_id``.

    ``description`` holds the score as text, for people; the key ``score`` holds it as a number, and ``id`` is the
    tree's number. A tree with a hole comes as parts that share edges, as LabelMe knows no holes. The image itself is
    not in the file.

    Args:
        scene_map: Trees of the photo; its provenance says ``width`` and ``height``.
        path: Target, replaced when all is written. LabelMe looks for the photo's name with ``.json``.
        image_path: The photo; the file names it as seen from its own folder.

    Raises:
        DataError: If a class name cannot be written as text.
        OSError: If the disk is full or the folder not writable.
    """
    path = Path(path)
    check_text(scene_map, path)
    where = Path(os.path.relpath(image_path, path.parent)).as_posix()
    document = Document(path.stem, path, _items(scene_map), file_name=where)
    write_json(path, labelme.write(document, image_size(scene_map)), indent=2)


def _items(scene_map: SceneMap) -> list[Item]:
    items = []
    for polygon, row in zip(in_pixels(scene_map), scene_map.trees.to_dict('records'), strict=True):
        parts = [[ring.tolist()] for ring in rings(polygon)]
        score = plain(row['score'])
        extra = {} if score is None else {'description': f'score {score:.3f}', 'score': round(score, 6)}
        if parts:
            items.append(Item(row['class'] or '', parts, id=int(row['tree_id']), extra=extra))
    return items

"""The folder of a review: ``as_found/review.json`` keeps what was written, so that corrections can be told from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_prep.errors import DataError
from data_prep.grid import Window
from data_prep.labels.strict_json import read_json, write_json
from tree_map.reviewing.sheets import Sheet
from tree_map.reviewing.trees import Found, FoundScene
from tree_map.scene_map import SceneMap
from tree_map.writing.coco import image_size
from tree_map.writing.rings import in_pixels, rings
from tree_map.writing.text import plain

KEPT = Path('as_found', 'review.json')  # in a folder of its own: data_prep takes any .json for labels
COCO = 'instances.json'


@dataclass(frozen=True)
class Review:
    """What was written for correction.

    Attributes:
        format: labelme or coco; map where nothing was written, and a map itself is compared.
        scenes: With their trees.
        sheets: Pictures that trees are corrected on; their ``rows`` are not kept.
    """

    format: str
    scenes: list[FoundScene]
    sheets: list[Sheet]


def found_scene(scene_map: SceneMap, raster: str | None = None) -> FoundScene:
    """What a map holds, in source pixels; trees thinner than a thousandth of a pixel are left out."""
    made, trees = scene_map.provenance, []
    for polygon, row in zip(in_pixels(scene_map), scene_map.trees.to_dict('records'), strict=True):
        parts = [[ring.tolist()] for ring in rings(polygon)]
        if parts:
            trees.append(Found(int(row['tree_id']), row['class'] or '', plain(row['score']), parts))
    name, classes = str(made['scene']), list(made['classes'])
    trees.sort(key=lambda tree: tree.tree_id)  # whatever came first in the files to correct
    return FoundScene(name, made.get('file_name') or name, raster, image_size(scene_map), classes, trees)


def keep(review: Review, folder: Path) -> None:
    """Write what was found beside what is to be corrected."""
    (folder / KEPT).parent.mkdir(exist_ok=True)
    write_json(folder / KEPT, asdict(review))


def read_review(folder: Path) -> Review:
    """Read what was found.

    Raises:
        DataError: If the folder is none of a review, or the file in it is damaged.
    """
    path = folder / KEPT
    if not path.is_file():
        raise DataError(f'{folder} must be a folder that the review command wrote; it has no {KEPT}; name the folder, '
                        f'or pass --against the map')  # fmt: skip
    content = read_json(path)
    try:
        scenes = [FoundScene(**{**scene, 'size_wh': tuple(scene['size_wh']), 'trees': _trees(scene['trees'])})
                  for scene in content['scenes']]  # fmt: skip
        sheets = [Sheet(**{**sheet, 'window': Window(*sheet['window'])}) for sheet in content['sheets']]
        return Review(content['format'], scenes, sheets)
    except (KeyError, TypeError) as error:
        raise DataError(f'{path} is damaged ({error}); copy it again, or pass --against the map') from None


def _trees(entries: Sequence[dict[str, Any]]) -> list[Found]:
    return [Found(**entry) for entry in entries]

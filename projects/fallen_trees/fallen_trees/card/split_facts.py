"""What the annotation file of a split says of its scenes, tiles and objects."""

import hashlib
import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from fallen_trees.annotations.map_sets import annotations_of
from fallen_trees.config_nodes import datasets_in

SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class SplitFacts:
    """A split as its COCO file tells it; what the file does not say is None or empty.

    Attributes:
        file: COCO file.
        sha256: Of it.
        scenes: Names of the scenes that its tiles were cut from.
        tiles: Number of images.
        empty: Images without an object.
        objects: Number of objects by class; what several tiles show of one counts once.
        gsd_m: Least and greatest side of a tile's pixel, m.
        bands: Of the scenes, from 1, in the order that the network takes.
        size_px: Width and height of most tiles.
        crs: Of the scenes.
        drawn: Whether all scenes are drawn (`data_prep synth`); None where nobody knows.
        longest_m: Longest object in a tile, by the diagonal of its box, m.
    """

    file: Path
    sha256: str
    scenes: tuple[str, ...]
    tiles: int
    empty: int
    objects: dict[str, int]
    gsd_m: tuple[float, float] | None
    bands: tuple[tuple[int, ...], ...]
    size_px: tuple[int, int] | None
    crs: tuple[str, ...]
    drawn: bool | None
    longest_m: float | None

    @property
    def from_above(self) -> bool:
        """Whether the images are tiles of scenes, as far as the file tells."""
        return bool(self.scenes or self.gsd_m)


def split_facts(cfg: Config) -> dict[str, SplitFacts]:
    """Facts of each split whose annotation file is there.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If it is no JSON.
    """
    found = {}
    for split in SPLITS:
        path = _annotation_file(cfg, split)
        if path is not None and path.is_file():
            found[split] = _facts(path)
    return found


def _annotation_file(cfg: Config, split: str) -> Path | None:
    node = next(datasets_in(cfg.get(f'{split}_dataloader')), None)
    if node is None:
        return None
    from fallen_trees.derive.config import find_data  # it imports much

    return find_data(node.get('data_root') or cfg.get('data_root') or '.') / node.ann_file


def _facts(path: Path) -> SplitFacts:
    raw = path.read_bytes()
    coco = json.loads(raw)
    images, annotations = coco['images'], annotations_of(coco)
    names = {category['id']: category['name'] for category in coco.get('categories') or []}
    by_image = {image['id']: image for image in images}
    objects = {(names.get(item['category_id']), item.get('object_id') or item['id']) for item in annotations}
    pitches = [image['gsd_m'] for image in images if image.get('gsd_m')]
    sizes = Counter((image.get('width'), image.get('height')) for image in images).most_common(1)
    lengths = [math.hypot(*item['bbox'][2:]) * gsd for item in annotations
               if (gsd := by_image.get(item['image_id'], {}).get('gsd_m'))]  # fmt: skip
    return SplitFacts(
        file=path,
        sha256=hashlib.sha256(raw).hexdigest(),
        scenes=tuple(sorted({str(image['scene']) for image in images if image.get('scene') is not None})),
        tiles=len(images),
        empty=len(images) - len({item['image_id'] for item in annotations}),
        objects=dict(Counter(str(name) for name, _ in objects)),
        gsd_m=(min(pitches), max(pitches)) if pitches else None,
        bands=tuple(sorted({tuple(image['bands']) for image in images if image.get('bands')})),
        size_px=sizes[0][0] if sizes else None,
        crs=tuple(sorted({str(image['crs']) for image in images if image.get('crs')})),
        drawn=_drawn(path, images),
        longest_m=max(lengths, default=None),
    )


def _drawn(path: Path, images: list[dict]) -> bool | None:
    """Whether the truth of drawn worlds lies beside every source."""
    folders = {(path.parents[1] / image['source']).parent for image in images if image.get('source')}
    there = {folder.is_dir() for folder in folders}
    if there != {True}:
        return None
    return all((folder / 'truth' / 'synth.json').is_file() for folder in folders)

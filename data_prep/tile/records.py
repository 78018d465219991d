"""What a data set writes beside its tiles: COCO files, split_info.json, report.json and TRACKING.json.

No date, host or absolute path goes into them, so the same input gives the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from data_prep.coco import number_records
from data_prep.labels.strict_json import write_json
from data_prep.tile.loading import LoadedScene
from data_prep.tile.scene_tiles import SceneJob, SceneTiles, Tile
from data_prep.tile.settings import Settings
from data_prep.tile.splits import SPLITS

EmptyTiles = dict[int | None, set[str]]  # tree-less train tiles that are kept, by fold; None: without folds

FORMAT = 1  # of the three records; grows when a reader must know


@dataclass(frozen=True)
class MadeDataset:
    """All scenes with their tiles written; the lists run in parallel, sorted by scene name."""

    loaded: Sequence[LoadedScene]
    jobs: Sequence[SceneJob]
    cut: Sequence[SceneTiles]
    classes: Sequence[str]
    split_by: str
    settings: Settings
    hashes: dict[Path, str]  # sha256 of rasters and label files
    folds: dict[str, int] = field(default_factory=dict)  # by scene, for k-fold
    empty: EmptyTiles = field(default_factory=dict)

    def tiles(self, split: str) -> list[Tile]:
        """Tiles of one split in the order of their ids."""
        return [tile for scene in self.cut for tile in scene.tiles if tile.split == split]

    def parts(self) -> dict[str, list[Tile]]:
        """Tiles of each COCO file: by split, or by ``fold_K/train``, ``fold_K/val`` for each fold and ``test``."""
        found = {}
        for fold in sorted(set(self.folds.values())):
            train, val = (self.tiles(split) for split in SPLITS[:2])
            found[f'fold_{fold}/train'] = [
                tile
                for tile in train
                if self.folds[tile.image['scene']] != fold
                and (tile.written or tile.image['file_name'] in self.empty[fold])
            ]
            found[f'fold_{fold}/val'] = [tile for tile in val if self.folds[tile.image['scene']] == fold]
        return found | {split: self.tiles(split) for split in (SPLITS[2:] if found else SPLITS)}

    def counts(self) -> dict[str, dict[str, int]]:
        """Numbers of scenes, tiles, tree-less tiles, annotations and objects, by part."""
        return {name: _count(tiles) for name, tiles in self.parts().items()}

    def objects_in_no_tile(self, index: int) -> list[str]:
        """Whole objects of a scene that no tile shows enough of."""
        parts = [part for tile in self.cut[index].tiles for part in tile.annotations]
        shown = {part['object_id'] for part in parts if not part['iscrowd']}
        return [item.object_id for item in self.jobs[index].objects if item.object_id not in shown]


def _count(tiles: Sequence[Tile]) -> dict[str, int]:
    parts = [part for tile in tiles for part in tile.annotations if not part['iscrowd']]
    return {
        'scenes': len({tile.image['scene'] for tile in tiles}),
        'tiles': len(tiles),
        'empty_tiles': sum(not tile.has_objects for tile in tiles),
        'annotations': len(parts),
        'objects': len({part['object_id'] for part in parts}),
    }


def write_records(folder: Path, made: MadeDataset) -> None:
    """Write all JSON files of a data set.

    Args:
        folder: The data set's folder with ``annotations/`` in it.
        made: What was made; no object may show in two splits, or in train and val of a fold.
    """
    seen: dict[tuple[str, str], str] = {}
    for name, tiles in made.parts().items():
        fold, _, split = name.rpartition('/')
        for part in (part for tile in tiles for part in tile.annotations):
            assert seen.setdefault((fold, part['object_id']), split) == split, 'an object is in two splits'
        content = number_records([(tile.image, tile.annotations) for tile in tiles], made.classes, f'{name} tiles')
        (folder / 'annotations' / fold).mkdir(exist_ok=True)
        write_json(folder / 'annotations' / fold / f'instances_{split}.json', content)
    write_json(folder / 'split_info.json', split_info(made), indent=1)
    write_json(folder / 'report.json', report(made), indent=1)
    write_json(folder / 'TRACKING.json', tracking(made), indent=1)


def split_info(made: MadeDataset) -> dict[str, Any]:
    """How the scenes were split, enough to repeat it."""
    regions = [
        {
            'scene': job.keys['scene'],
            'split': region.split,
            'region_xywh': job.info.grid.to_source(region.window),
            'guard_px': region.guard_px,
        }
        for job in made.jobs
        for region in job.regions
    ]
    names = {split: sorted({row['scene'] for row in regions if row['split'] == split}) for split in SPLITS}
    return {
        'format': FORMAT,
        'split_by': made.split_by,
        'seed': made.settings.seed,
        'ratios': list(made.settings.shares),
        'scenes': names,
        **({'folds': made.folds} if made.folds else {}),
        'regions': regions,
        'counts': made.counts(),
        'settings': asdict(made.settings),
    }


def report(made: MadeDataset) -> dict[str, Any]:
    """Everything that was repaired, dropped or skipped, by scene, and the sums."""
    scenes = {}
    for index, (item, cut) in enumerate(zip(made.loaded, made.cut, strict=True)):
        scenes[item.scene.name] = {
            'labels': item.scene.labels.name if item.scene.labels else None,
            'objects': len(item.found.objects),
            'repaired': [asdict(note) for note in item.found.repaired],
            'dropped': [asdict(note) for note in item.found.dropped],
            'skipped': [asdict(note) for note in item.found.skipped],
            'objects_in_no_tile': made.objects_in_no_tile(index),
            'counts': dict(sorted(cut.counts.items())),
        }
    return {'format': FORMAT, 'totals': _totals(scenes), 'scenes': scenes}


def _totals(scenes: dict[str, dict[str, Any]]) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for scene in scenes.values():
        totals['objects'] += scene['objects']
        for key in ('repaired', 'dropped', 'skipped', 'objects_in_no_tile'):
            totals[key] += len(scene[key])
        totals.update(scene['counts'])
    return dict(sorted(totals.items()))


def tracking(made: MadeDataset) -> dict[str, Any]:
    """Sources with their hashes, and the settings: what must be equal for a run to give the same data set."""
    sources = []
    for item, job in zip(made.loaded, made.jobs, strict=True):
        labels = item.scene.labels
        sources.append(
            {
                'scene': item.scene.name,
                'source': job.keys['source'],
                'sha256': job.keys['source_sha256'],
                'labels': labels.name if labels else None,
                'labels_sha256': made.hashes[labels] if labels else None,
                'tiles': len(made.cut[len(sources)].tiles),
            }
        )
    return {'format': FORMAT, 'settings': asdict(made.settings), 'sources': sources}

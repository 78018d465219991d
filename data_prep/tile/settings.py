"""Everything that decides what a data set looks like, apart from its sources."""

from __future__ import annotations

from dataclasses import dataclass, field

from data_prep.labels.label_map import LabelMap
from data_prep.tile.known_split import KnownSplit
from data_prep.tile.scene_tiles import TileRule
from data_prep.tile.splits import Ratios
from data_prep.tile.tile_files import FileRule


@dataclass(frozen=True)
class Settings:
    """The options of ``tile``, checked by the command line."""

    rule: TileRule = field(default_factory=TileRule)
    files: FileRule = field(default_factory=FileRule)
    gsd_m: float | None = None  # of the tiles; None: by scale
    scale: float | None = None  # tile pixels per source pixel; None: 1
    label_field: str = 'label'
    label_map: LabelMap | None = None
    classes: tuple[str, ...] = ()  # empty: all labels found, sorted
    skip_other_labels: bool = False
    unlabelled: str = 'error'  # or 'empty'
    empty_share: float = 0.25  # of the train tiles
    split_by: str | None = None  # 'scene', 'blocks' or None: by the number of scenes
    kfold: int | None = None  # folds
    known_split: KnownSplit | None = None  # to be repeated
    ratios: Ratios = (0.8, 0.1, 0.1)
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    bands: tuple[int, ...] = ()
    stretch: str = 'auto'
    seed: int = 0

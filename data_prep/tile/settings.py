"""Everything that decides what a data set looks like, apart from its sources."""

from __future__ import annotations

from dataclasses import dataclass, field

from data_prep.tile.scene_tiles import TileRule
from data_prep.tile.splits import Ratios


@dataclass(frozen=True)
class Settings:
    """The options of ``tile``, checked by the command line."""

    rule: TileRule = field(default_factory=TileRule)
    label_field: str = 'label'
    classes: tuple[str, ...] = ()  # empty: all labels found, sorted
    skip_other_labels: bool = False
    unlabelled: str = 'error'  # or 'empty'
    empty_share: float = 0.25  # of the train tiles
    split_by: str | None = None  # 'scene', 'blocks' or None: by the number of scenes
    ratios: Ratios = (0.8, 0.1, 0.1)
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    bands: tuple[int, ...] = ()
    stretch: str = 'auto'
    seed: int = 0

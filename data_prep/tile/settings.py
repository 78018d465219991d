"""Everything that decides what a data set looks like, apart from its sources."""

from __future__ import annotations

from dataclasses import dataclass, field

from data_prep.errors import DataError
from data_prep.labels.label_map import LabelMap
from data_prep.tile.known_split import KnownSplit
from data_prep.tile.scene_tiles import TileRule
from data_prep.tile.splits import Ratios
from data_prep.tile.tile_files import FileRule

RATIOS = (0.8, 0.1, 0.1)  # of train, val and test


@dataclass(frozen=True)
class Settings:
    """The options of ``tile``; the command line checks their ranges.

    Raises:
        DataError: If two of them cannot both be meant.
    """

    rule: TileRule = field(default_factory=TileRule)
    files: FileRule = field(default_factory=FileRule)
    gsd_m: float | None = None  # of the tiles; None: by scale
    scale: float | None = None  # tile pixels per source pixel; None: 1
    label_field: str = 'label'
    label_map: LabelMap | None = None
    classes: tuple[str, ...] = ()  # empty: all labels found, sorted
    skip_other_labels: bool = False
    unlabelled: str = 'error'  # or 'empty'
    empty_share: float = 0.25  # of the train tiles, those of each fold by themselves
    split_by: str | None = None  # 'scene', 'blocks' or None: by the number of scenes
    kfold: int | None = None  # folds
    known_split: KnownSplit | None = None  # to be repeated
    ratios: Ratios | None = None  # None: RATIOS
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    bands: tuple[int, ...] = ()
    stretch: str = 'auto'
    seed: int = 0

    def __post_init__(self) -> None:
        given = self.split_options()
        if '--split' in given and given & {'--val', '--test'}:
            raise DataError('--split shares scenes out and --val, --test name them; pass one or the other')
        for name, allowed in (('--split-info', set()), ('--kfold', {'--test'})):
            if name in given and (others := sorted(given - allowed - {name})):
                raise DataError(f'{name} decides the whole split, so it does not go with {", ".join(others)}; drop one')
        if self.split_by == 'blocks' and given & {'--val', '--test'}:
            raise DataError('--val and --test name whole scenes, so they do not go with --split-by blocks; drop one')
        if self.scale is not None and self.gsd_m is not None:
            raise DataError('--scale and --gsd both set the size of a pixel; drop one')

    def split_options(self) -> set[str]:
        """Options of the split that were given, as the command line calls them."""
        values = {
            '--split-by': self.split_by,
            '--split': self.ratios,
            '--val': self.val,
            '--test': self.test,
            '--kfold': self.kfold,
            '--split-info': self.known_split,
        }
        return {name for name, value in values.items() if value}

    @property
    def shares(self) -> Ratios:
        """Of train, val and test."""
        return self.ratios or RATIOS

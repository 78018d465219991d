"""Which of the settings that were planned to take, and what it misses."""

from __future__ import annotations

import math
from dataclasses import dataclass

from data_prep.errors import DataError
from data_prep.stats.planner import PITCH_BY_WIDTH, Plan, PlanRow, PlanRule, Scale


@dataclass(frozen=True)
class Choice:
    """The recommended setting and what it misses, empty where all is reached."""

    row: PlanRow
    scale: Scale
    misses: list[str]

    @property
    def input_px(self) -> int:
        """Side of a tile in network pixels."""
        return round(self.row.tile_size * self.scale.scale)


def recommend(found: Plan, rule: PlanRule) -> Choice:
    """Choose a setting.

    In this order: tiles that fit the network's input; no tile with more objects than queries; least falling short of
    the share seen whole and of the pitch for the median width, added up; the scale nearest 1; the fewest network
    pixels for all tiles; the smaller overlap.

    Raises:
        DataError: If no tile at any scale fits the input.
    """
    fitting = [(row, scale) for row in found.rows for scale in found.scales
               if row.tile_size * scale.scale <= rule.max_input]  # fmt: skip
    if not fitting:
        raise DataError(f'--max-input {rule.max_input} must hold a tile; the smallest at the smallest scale needs '
                        f'{min(rule.tile_sizes) * min(rule.scales):g} px')  # fmt: skip

    def key(pair: tuple[PlanRow, Scale]) -> tuple[float, ...]:
        row, scale = pair
        short = max(rule.whole_share - row.whole_share, 0) + max(1 - _wanted_pitch(found) / scale.pitch_px, 0)
        pixels = row.tiles * (row.tile_size * scale.scale) ** 2
        excess = max(row.max_per_tile - rule.num_queries, 0)
        return excess, round(short, 3), abs(math.log2(scale.scale)), pixels, row.overlap

    row, scale = min(fitting, key=key)
    return Choice(row, scale, _misses(row, scale, found, rule))


def _wanted_pitch(found: Plan) -> float:
    return PITCH_BY_WIDTH * found.width_px['median']


def _misses(row: PlanRow, scale: Scale, found: Plan, rule: PlanRule) -> list[str]:
    misses = []
    if row.max_per_tile > rule.num_queries:
        misses.append(f'a tile holds {row.max_per_tile} objects and the network has {rule.num_queries} queries; raise '
                      f'num_queries or allow smaller tiles')  # fmt: skip
    if row.whole_share < rule.whole_share:
        misses.append(f'{row.whole_share:.1%} of the objects are seen whole, not {rule.whole_share:.0%}; raise '
                      f'--max-input, or join the parts on the map')  # fmt: skip
    if scale.pitch_px > _wanted_pitch(found):
        misses.append(f'the mask pitch of {scale.pitch_px:g} px is more than {PITCH_BY_WIDTH} x the median width of '
                      f'{found.width_px["median"]:.1f} px; raise --max-input, or expect ragged masks')  # fmt: skip
    return misses

"""The tables that the terminal shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from data_prep.stats.planner import Plan, PlanRow, PlanRule
from data_prep.stats.recommendation import Choice
from data_prep.stats.summary import QUANTITIES


def table(rows: Sequence[Sequence[Any]]) -> str:
    """Align cells; the first column to the left, the others to the right. The first row is the head."""
    cells = [['-' if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (['  '.join(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))] for row in cells)
    return '\n'.join(f'  {row[0].ljust(widths[0])}  {line[0]}' for row, line in zip(cells, lines, strict=True))


def split_rows(summary: dict[str, Any]) -> list[list[Any]]:
    """Head and one row for each split."""
    what = summary['source']
    head = ['split', what, 'without objects', 'instances', 'objects', 'crowds', 'mean', 'max']
    rows = [[name, *(counts[key] for key in ('images', 'empty_images', 'instances', 'objects', 'crowds')),
             f'{counts["mean_per_image"]:.2f}', counts['max_per_image']]
            for name, counts in summary['splits'].items()]  # fmt: skip
    return [head, *rows]


def class_rows(summary: dict[str, Any]) -> list[list[Any]]:
    """Head and one row for each class."""
    splits = list(summary['splits'])
    rows = [[name, *(counts.get(split, 0) for split in splits), sum(counts.values())]
            for name, counts in summary['classes'].items()]  # fmt: skip
    return [['class', *splits, 'all'], *rows]


def quantity_rows(summary: dict[str, Any]) -> list[list[Any]]:
    """Head and one row for each quantity that was measured."""
    columns = ('min', 'p5', 'median', 'mean', 'p95', 'max')
    rows = [[QUANTITIES[name], found['n'], *(f'{found[key]:.4g}' for key in columns)]
            for name, found in summary['quantities'].items()]  # fmt: skip
    return [['instance', 'n', *columns], *rows]


def summary_text(summary: dict[str, Any]) -> str:
    """All tables of a summary."""
    return '\n\n'.join(table(rows(summary)) for rows in (split_rows, class_rows, quantity_rows))


def plan_grids(found: Plan, rule: PlanRule) -> dict[str, list[list[Any]]]:
    """Tables with a row for each tile size and a column for each overlap, by title."""
    cells: dict[str, Callable[[PlanRow], str]] = {
        'objects seen whole in at least one tile (%)': lambda row: f'{100 * row.whole_share:.1f}',
        f'objects per tile that shows any: mean / p95 / max (! = more than {rule.num_queries} queries)': lambda row: (
            f'{row.mean_per_tile:.1f} / {row.p95_per_tile:.0f} / {row.max_per_tile}'
            + '!' * (row.max_per_tile > rule.num_queries)
        ),
        'tiles, before those without data or objects are left out': lambda row: str(row.tiles),
    }
    by_setting = {(row.tile_size, row.overlap): row for row in found.rows}
    head = ['tile px \\ overlap', *(f'{overlap:g}' for overlap in rule.overlaps)]
    return {
        title: [head] + [[tile, *(cell(by_setting[tile, o]) for o in rule.overlaps)] for tile in rule.tile_sizes]
        for title, cell in cells.items()
    }


def scale_rows(found: Plan) -> list[list[Any]]:
    """Head and one row for each network scale."""
    rows = [[f'{item.scale:g}', f'{item.pitch_px:.2f}', f'{100 * item.resolved_share:.1f}'] for item in found.scales]
    return [['network scale', 'mask pitch (px)', 'objects wider than pitch / 0.6 (%)'], *rows]


def plan_head(found: Plan) -> str:
    """What was planned for, in one line."""
    extent, width = found.extent_px, found.width_px
    return (f'tile planner: {found.objects} objects; longer side of the box median {extent["median"]:.0f}, p99 '
            f'{extent["p99"]:.0f}, max {extent["max"]:.0f} px; width median {width["median"]:.1f}, p10 '
            f'{width["p10"]:.1f} px')  # fmt: skip


def reason(choice: Choice, found: Plan, rule: PlanRule) -> str:
    """Why the setting is recommended, in one line."""
    row, scale = choice.row, choice.scale
    return (f'recommended: tiles of {row.tile_size} px with overlap {row.overlap:g}, seen by the network at '
            f'{choice.input_px} px (scale {scale.scale:g}): {row.whole_share:.1%} of the objects whole (wanted '
            f'{rule.whole_share:.0%}), at most {row.max_per_tile} a tile ({rule.num_queries} queries), mask pitch '
            f'{scale.pitch_px:g} px for a median width of {found.width_px["median"]:.1f} px')  # fmt: skip


def plan_text(found: Plan, choice: Choice, rule: PlanRule, command: str) -> str:
    """Everything the planner says."""
    grids = [f'{title}\n{table(rows)}' for title, rows in plan_grids(found, rule).items()]
    last = [reason(choice, found, rule), f'  {command}', f'  image_size = ({choice.input_px}, {choice.input_px})  '
            f'# in the training config']  # fmt: skip
    return '\n\n'.join([plan_head(found), *grids, table(scale_rows(found)), '\n'.join(last)])

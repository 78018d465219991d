"""The scores of whole scenes in a model card, between two markers: there is one such section, and it is replaced."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.atomic import atomic_write
from fallen_trees.errors import ConfigError

BEGIN, END = '<!-- scene scores -->', '<!-- /scene scores -->'
SECTION = re.compile(re.escape(BEGIN) + '.*?' + re.escape(END), re.DOTALL)
NOT_YET = (
    'Scene-level scores: not computed yet.\n\n```\n'
    'python tools/test_scenes.py {config} {checkpoint} --scenes SCENES --truth LABELS --card {card}\n```'
)
SAID = 12  # figures that a card shows; all of them stand in metrics.json


def fill_scores(card: Path, metrics: Mapping[str, object], argv: Sequence[str]) -> None:
    """Put scores into a card, in place of those that were there.

    Args:
        card: File with the two markers, as `ModelCardHook` writes it.
        metrics: Content of `metrics.json` of `tools/test_scenes.py`.
        argv: Of the command that made them.

    Raises:
        ConfigError: If the file has not exactly one such section.
        OSError: If it cannot be read or written. The old one is untouched.
    """
    text = card.read_text(encoding='utf-8')
    if len(SECTION.findall(text)) != 1:
        raise ConfigError(f'{card} must have one place for scores, from {BEGIN} to {END}; write both lines into it.')
    with atomic_write(card) as file:
        file.write(SECTION.sub(lambda _: section(scene_table(metrics, argv)), text))


def section(content: str) -> str:
    """Content between the markers."""
    return f'{BEGIN}\n{content}\n{END}'


def scene_table(metrics: Mapping[str, object], argv: Sequence[str]) -> str:
    """The scores as Markdown."""
    intervals, units = metrics['intervals'], metrics['figure_units']
    level = f'{metrics["settings"]["level"]:.0%}'
    names = sorted(intervals, key=lambda name: not name.startswith('scene/'))  # these first, the rest in its order
    rows = [f'| {name} | {_said(metrics[name], units.get(name))} | {_range(intervals[name])} |' for name in names]
    counts = metrics['scenes']
    labelled, ground = sum(scene['labelled'] for scene in counts), sum(scene['ground_ha'] for scene in counts)
    shown = ', '.join(scene['name'] for scene in counts[:SAID]) + (' ...' if len(counts) > SAID else '')
    units = metrics['units']
    basis = f'{units["count"]} {units["kind"]}{"s" * (units["count"] != 1)}'
    lines = [
        f'{len(counts)} scene{"s" * (len(counts) != 1)} ({shown}): {labelled} labelled trees on {ground:.2f} ha, at '
        f'the score threshold {metrics["settings"]["score_thr"]:.3f}. Intervals hold the true value in {level} of '
        f'studies like this one (bootstrap over {basis}). What a figure means stands in `docs/metrics.md`.',
        '',
        f'| figure | value | {level} interval |',
        '|---|---|---|',
        *rows,
        '',
        *(f'- {note}' for note in metrics.get('notes', ())),
        '```',
        shlex.join(['python', 'tools/test_scenes.py', *map(str, argv)]),
        '```',
    ]
    return '\n'.join(lines)


def _said(value: float | None, unit: str | None) -> str:
    return '' if value is None else f'{value:.3f}{" " * bool(unit)}{unit or ""}'


def _range(ends: Sequence[float | None]) -> str:
    return '' if None in ends else f'{ends[0]:.3f} to {ends[1]:.3f}'

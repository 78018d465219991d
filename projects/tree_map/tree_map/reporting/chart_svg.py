"""Figures of matplotlib as SVG inside a page: they take the page's colours, and the same figure gives the same text."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Drawn in these, which no chart needs as such, and written as variables of the page, which has a light and a dark set.
INK, QUIET, FOUND, LABEL, ALARM = '#010101', '#020202', '#030303', '#040404', '#050505'
VARIABLES = {INK: 'ink', QUIET: 'quiet', FOUND: 'found', LABEL: 'label', ALARM: 'alarm'}
STYLE = {
    'svg.fonttype': 'none',  # letters stay letters: they can be read out, and take a tenth of the bytes
    'svg.image_inline': True,
    'font.size': 9,
    'text.color': INK,
    'axes.edgecolor': QUIET,
    'axes.labelcolor': INK,
    'xtick.color': QUIET,
    'ytick.color': QUIET,
    'xtick.labelcolor': INK,
    'ytick.labelcolor': INK,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.titlesize': 10,
    'legend.frameon': False,
    'grid.color': QUIET,
    'grid.linewidth': 0.4,
    'grid.alpha': 0.4,
    'figure.facecolor': 'none',
    'axes.facecolor': 'none',
    'savefig.facecolor': 'none',
}


@contextmanager
def drawing(name: str, size_in: tuple[float, float]) -> Iterator[Any]:
    """Open a matplotlib figure of the page's style.

    Args:
        name: Unique on the page; ids inside the SVG depend on it.
        size_in: Width and height in inches.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE, 'svg.hashsalt': name}):
        yield Figure(figsize=size_in, layout='constrained')


def as_svg(figure: Any, title: str) -> str:
    """The figure as an ``<svg>`` element that says what it shows.

    Args:
        figure: Of ``drawing``, still open.
        title: Plain text for those who cannot see it; escaped here.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format='svg', metadata={'Date': None, 'Creator': None, 'Format': None, 'Type': None})
    text = buffer.getvalue()
    text = text[text.index('<svg') :]
    text = re.sub(
        r'<metadata>.*?</metadata>|<style.*?</style>', '', text, flags=re.DOTALL
    )  # a style is the whole page's
    text = re.sub(r'<g id="[^"]*"', '<g', text)  # unique in a figure, not on a page with several
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f'var(--{variable})')
    text = re.sub(r'font-family: [^;\"]*;? ?', '', text)  # of the page
    text = re.sub(r'\s*\n\s*', ' ', text)
    head = f'<svg class="chart" role="img" aria-label="{html.escape(title)}"'
    return re.sub(r'^<svg(?: xmlns[:\w]*="[^"]*")*', head, text, count=1).strip()

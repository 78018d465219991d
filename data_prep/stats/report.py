"""The folder that `stats --out` makes: stats.json, a picture of each histogram, and a page with all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_prep.atomic import atomic_path
from data_prep.labels.strict_json import write_json
from data_prep.show.output import check_report_out, fresh_folder, render, require_report_packages
from data_prep.show.panels import PALETTE
from data_prep.stats.summary import QUANTITIES
from data_prep.stats.text import class_rows, quantity_rows, split_rows
from data_prep.tile.staging import MARKER

CLASSES = 'classes'  # picture of their distribution
MOST_CLASSES = len(PALETTE)  # with a colour of their own; the rarest share the grey


def write_report(
    content: dict[str, Any],
    out: Path,
    sources: list[Path],
    *,
    plan: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the report.

    Args:
        content: What the command prints as JSON: ``stats`` of ``summarise``, and ``plan`` or None.
        out: Folder to make.
        sources: Files the numbers come from; they must not lie in ``out``.
        plan: Tables of the planner for the page: ``head``, ``grids``, ``scales``, ``lines``; None where not asked for.
        overwrite: Whether an older report at ``out`` may be replaced.

    Returns:
        The folder; it is complete.

    Raises:
        DataError: If ``out`` must not be touched.
        MissingPackage: If matplotlib or jinja2 is not installed.
        OSError: If writing fails; ``out`` is as it was.
    """
    require_report_packages()
    out = check_report_out(out, sources, 'stats', overwrite=overwrite)
    summary = content['stats']
    with fresh_folder(out) as folder:
        plots = {}
        if summary['classes']:
            plot_classes(folder / f'{CLASSES}.png', summary)
            plots[CLASSES] = 'instances by class and split'
        for name, found in summary['histograms'].items():
            plot_histogram(folder / f'{name}.png', found, QUANTITIES[name], summary['source'])
        write_json(folder / 'stats.json', content, indent=1)
        write_json(folder / MARKER, {'command': 'stats', 'sources': sorted(path.name for path in sources)}, indent=1)
        tables = [split_rows(summary), class_rows(summary), quantity_rows(summary)]
        plots |= {name: QUANTITIES[name] for name in summary['histograms']}
        render(folder / 'report.html', __package__, 'report_page.html', tables=tables, plots=plots, plan=plan)
    return out


def plot_classes(path: Path, summary: dict[str, Any]) -> None:
    """Draw how many instances each class has in each split, the most frequent class on top.

    Args:
        path: PNG to write.
        summary: Of ``summarise``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ordered = sorted(summary['classes'].items(), key=lambda item: (sum(item[1].values()), item[0]))
    figure = Figure(figsize=(5.2, max(1.6, 0.8 + 0.24 * len(ordered))), dpi=130, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    base = [0] * len(ordered)
    for split, colour in zip(summary['splits'], [*PALETTE / 255, (0.6, 0.6, 0.6)], strict=False):
        counts = [found.get(split, 0) for _, found in ordered]
        axes.barh(range(len(ordered)), counts, left=base, color=tuple(colour), label=split)
        base = [a + b for a, b in zip(base, counts, strict=True)]
    axes.set_yticks(range(len(ordered)), [f'{name} ({total})' for (name, _), total in zip(ordered, base, strict=True)])
    axes.set(xlabel='instances')
    axes.spines[['top', 'right']].set_visible(False)
    if len(summary['splits']) > 1:
        axes.legend(frameon=False, fontsize=8, loc='lower right')
    with atomic_path(path, sync=False) as temporary:
        figure.savefig(temporary, metadata={'Software': None})


def plot_histogram(path: Path, found: dict[str, Any], label: str, source: str) -> None:
    """Draw a histogram with a colour for each class, stacked.

    Args:
        path: PNG to write.
        found: ``edges`` and ``counts`` by class.
        label: Of the x axis, with unit.
        source: 'images' or 'scenes', for the y axis of counts per image.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.2), dpi=130, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    edges, per_image = found['edges'], list(found['counts']) == ['images']
    base = [0] * (len(edges) - 1)
    for (name, counts), colour in zip(top_classes(found['counts']), [*PALETTE / 255, (0.6, 0.6, 0.6)], strict=False):
        axes.bar(edges[:-1], counts, [b - a for a, b in zip(edges, edges[1:], strict=False)], bottom=base, align='edge',
                 color=tuple(colour), edgecolor='white', linewidth=0.4, label=name)  # fmt: skip
        base = [a + b for a, b in zip(base, counts, strict=True)]
    axes.set(xlabel=label, ylabel=source if per_image else 'instances', xlim=(edges[0], edges[-1]))
    axes.spines[['top', 'right']].set_visible(False)
    axes.yaxis.get_major_locator().set_params(integer=True)
    if not per_image:
        axes.legend(frameon=False, fontsize=8)
    with atomic_path(path, sync=False) as temporary:
        figure.savefig(temporary, metadata={'Software': None})


def top_classes(counts: dict[str, list[int]]) -> list[tuple[str, list[int]]]:
    """Classes by their number, most first; those beyond the colours there are become one, 'others'."""
    ordered = sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0]))
    if len(ordered) <= MOST_CLASSES:
        return ordered
    rest = [sum(column) for column in zip(*(values for _, values in ordered[MOST_CLASSES:]), strict=True)]
    return [*ordered[:MOST_CLASSES], (f'{len(ordered) - MOST_CLASSES} others', rest)]

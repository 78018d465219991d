"""The report as one HTML file: everything it shows lies inside, and nothing in it is asked of a network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tree_map.reporting import gallery, verdicts
from tree_map.reporting.picture import overview
from tree_map.reporting.plots import charts
from tree_map.reporting.provenance import made_tables
from tree_map.reporting.scene_data import ReportScene, scene_data
from tree_map.reporting.tables import class_tables, figure_groups, sums
from tree_map.reporting.tiles import summary, tiles
from tree_map.reporting.verdicts import Verdicts, verdicts_of

if TYPE_CHECKING:
    from tree_map.scoring.matching import Pairs

# Before base64, which adds a third. Together with charts, tables and measures a page stays below 15 MB.
OVERVIEW_BYTES, CROP_BYTES, OUTLINE_BYTES = 5_400_000, 2_700_000, 1_800_000
OVERVIEW_SIDE = 4096
SCRIPTS = ('map.js', 'controls.js')
MOST_CASES = 8  # of each gallery
KINDS = {'right': 'found right', 'label': 'its label', 'false': 'false alarm', 'missed': 'missed',
         'unsure': 'below the threshold', 'ignored': 'does not count', 'found': 'found'}  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What a page is made of.

    Attributes:
        scenes: One or more, with different names.
        pairs: Found and labelled trees that belong together, for each scene; None where nothing is labelled.
        scores: ``Scores.to_json()``; None likewise.
        score_thr: Found trees below it do not count.
        notes: Lines that a reader must see first.
    """

    scenes: Sequence[ReportScene]
    pairs: Sequence[Pairs] | None = None
    scores: dict[str, Any] | None = None
    score_thr: float = 0.0
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def labelled(self) -> bool:
        """Whether there is truth to compare with."""
        return self.pairs is not None


def write_report(report: Report, path: Path) -> None:
    """Write the page; the same report gives the same bytes.

    Args:
        report: What it shows.
        path: Target; replaced when all is written.

    Raises:
        DataError: If a raster is damaged.
        MissingPackage: If matplotlib or jinja2 is not installed.
        OSError: If the disk is full or the folder not writable.
    """
    from data_prep.show.output import render, require_report_packages

    require_report_packages()
    render(path, __package__, 'page.html', **_values(report))


def _values(report: Report) -> dict[str, Any]:
    from jinja2.utils import htmlsafe_json_dumps

    scenes, scored = report.scenes, [scene.scored for scene in report.scenes]
    pairs = report.pairs or [None] * len(scenes)
    judged = [verdicts_of(scene, pair, report.score_thr) for scene, pair in zip(scored, pairs, strict=True)]
    pictures = [None if scene.source is None else overview(scene.source, OVERVIEW_SIDE, OVERVIEW_BYTES // len(scenes))
                for scene in scenes]  # fmt: skip
    data = [scene_data(scene, verdict, shown, OUTLINE_BYTES // len(scenes))
            for scene, verdict, shown in zip(scenes, judged, pictures, strict=True)]  # fmt: skip
    counted = [np.isin(verdict.found, (verdicts.FOUND, verdicts.RIGHT, verdicts.FALSE)) for verdict in judged]
    script = ''.join(_asset(name) for name in SCRIPTS)
    return {
        'title': f'Fallen trees: {_names(scored)}',
        'summary': summary(scored, judged, counted, labelled=report.labelled),
        'notes': report.notes,
        'tiles': tiles(scored, counted, report.scores),
        'scenes': [scene.name for scene in scored],
        'kinds': _kinds(judged),
        'labelled': report.labelled,
        'pictures': pictures,
        'galleries': _galleries(report, judged) if report.labelled else [],
        'charts': charts(report, counted),
        'sums': sums(scored, counted, labelled=report.labelled),
        'groups': figure_groups(report.scores) if report.scores else [],
        'classes': class_tables(report.scores) if report.scores else [],
        'interval_text': _interval_text(report.scores),
        'made': made_tables([scene.name for scene in scored], [scene.provenance for scene in scenes], report.scores),
        'style': _asset('page.css'),
        'script': script,
        'script_hash': f'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}',
        'data': htmlsafe_json_dumps(data, separators=(',', ':'), ensure_ascii=False, allow_nan=False),
    }


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding='utf-8')


def _names(scenes: Sequence[Any]) -> str:
    names = [scene.name for scene in scenes]
    return ', '.join(names) if len(names) <= 3 else f'{", ".join(names[:2])} and {len(names) - 2} more scenes'


def _kinds(judged: Sequence[Verdicts]) -> list[tuple[str, str]]:
    """The boxes above the map: of what there is, and always of right, false and missed where trees are labelled."""
    there = {word for verdict in judged for word in verdict.found}
    if any(verdict.truth for verdict in judged) or there & {verdicts.RIGHT, verdicts.FALSE}:
        there |= {'right', 'label', 'false', 'missed'}
    return [(kind, word) for kind, word in KINDS.items() if kind in (there or {verdicts.FOUND})]


def _galleries(report: Report, judged: Sequence[Verdicts]) -> list[dict[str, Any]]:
    scored = [scene.scored for scene in report.scenes]
    drawables = [gallery.Drawable.of(scene) for scene in report.scenes]
    plans = (
        ('Missed trees', 'largest first', verdicts.misses(scored, judged)),
        ('False alarms', 'surest first', verdicts.false_alarms(scored, judged)),
        ('Found right, but with a poor outline', 'least IoU first', verdicts.poor_pairs(judged)),
    )
    made = []
    for title, order, cases in plans:
        chosen = cases[:MOST_CASES]
        shown = gallery.show(chosen, report.scenes, judged, drawables, CROP_BYTES // len(plans))
        more = f'; {len(cases) - len(chosen)} more on the map' if len(cases) > len(chosen) else ''
        said = f'{len(cases)}, {order}{more}.' if cases else 'None.'
        made.append({'title': title, 'said': said, 'shown': shown})
    return made


def _interval_text(scores: dict[str, Any] | None) -> str:
    if not scores:
        return ''
    units, settings = scores['units'], scores['settings']
    what = (
        'whole scenes' if units['kind'] == 'scene' else f'blocks of {settings["block_m"]:g} x {settings["block_m"]:g} m'
    )
    text = (f'Found trees from score {settings["score_thr"]:.2f} on; intervals by bootstrap over {units["count"]} '
            f'{what}. Shares run from 0 to 1.')  # fmt: skip
    return ' '.join([text, *(f'{note[0].upper()}{note[1:]}.' for note in scores.get('notes', ()))])

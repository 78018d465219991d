"""``python -m tree_map report MAP... [--truth TRUTH] --out report.html``: a run on one page."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from data_prep import arguments
from data_prep.errors import DataError, ExitCode
from tree_map.reporting.page import Report, write_report
from tree_map.reporting.scene_data import ReportScene
from tree_map.reporting.sources import given_rasters, source_of
from tree_map.reporting.unlabelled import unlabelled
from tree_map.scoring.found_maps import FoundScene, read_maps
from tree_map.scoring.matching import pairs_of
from tree_map.scoring.score_command import add_labels, add_rasters, add_settings, scenes_of, settings_of
from tree_map.scoring.scored_scene import ScoredScene
from tree_map.scoring.scores import ScoreSettings, score

MOST_BYTES = 15_000_000  # of a page that is easily sent
EPILOG = """\
makes: one HTML file that opens from disk, offline: map, misses and false alarms, charts, figures, how it was made.
Without --truth the same page without scores. Rasters are looked for where the maps say, and beside the maps.
exit codes: 0 done; 1 done, with notes to look at; 2 wrong input; 3 disk, memory or a missing package.
"""


def add_command(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = arguments.add_command(
        subparsers,
        'report',
        run,
        help='show maps on one page, with scores where trees are labelled',
        description='Show maps of fallen trees on one HTML page, with scores where trees are labelled.',
        epilog=EPILOG,
    )
    add = parser.add_argument
    add('maps', nargs='+', type=Path, metavar='MAP', help='map of one scene or more, as tools/predict.py wrote it')
    add('--out', type=Path, required=True, metavar='FILE', help='page to make, such as report.html')
    add('--overwrite', action='store_true', help='replace an older page')
    add('--json', action='store_true', help='print what was made as one line of JSON')
    labels = add_labels(parser)
    labels.add_argument('--truth', type=Path, metavar='PATH', help='label file, or folder of label files')
    add_rasters(labels)
    add_settings(parser.add_argument_group('how it is scored'))


def run(args: argparse.Namespace) -> ExitCode:
    """Make the page and say where it lies."""
    from data_prep.show.output import require_report_packages

    check_out(args.out, overwrite=args.overwrite)
    require_report_packages()
    maps, notes = read_maps(args.maps), []
    report = make_report(args, maps, notes)
    write_report(report, args.out)
    size = args.out.stat().st_size
    if size > MOST_BYTES:
        notes.append(f'{args.out} has {size / 1e6:.0f} MB; for smaller pages pass fewer scenes at a time')
    for line in notes:
        print(f'note: {line}', file=sys.stderr)
    trees = sum(len(scene.scored.found) for scene in report.scenes)
    made = {'out': str(args.out), 'scenes': len(report.scenes), 'trees': trees, 'bytes': size, 'notes': notes}
    plural = 's' * (len(report.scenes) != 1)
    print(json.dumps(made) if args.json else
          f'{args.out}: {trees} trees in {len(report.scenes)} scene{plural}, {size / 1e6:.1f} MB')  # fmt: skip
    return ExitCode.LOOK if notes else ExitCode.DONE


def check_out(out: Path, *, overwrite: bool) -> None:
    """Find out before the work whether the page can be written.

    Raises:
        DataError: If not.
    """
    if out.suffix.lower() not in ('.html', '.htm'):
        raise DataError(f'--out must end in .html; got {out}')
    if out.is_dir() or not out.parent.is_dir():
        raise DataError(f'--out {out} must be a file in a folder that is there; choose another name')
    if out.exists() and not overwrite:
        raise DataError(f'--out {out} exists; pass --overwrite to replace it, or choose another name')


def make_report(args: argparse.Namespace, maps: list[FoundScene], notes: list[str]) -> Report:
    """Read, score and find the rasters of what the command line names; notes are added to the list."""
    settings, given = settings_of(args, maps), given_rasters(args.scenes)
    by_name = {scene.name: scene for scene in maps}
    said: list[str] = []
    if args.truth is None:
        sources = {scene.name: source_of(scene, given, said.append) for scene in maps}
        scored = [
            unlabelled(scene, sources[scene.name] and sources[scene.name].info, args.gsd_of_scene) for scene in maps
        ]
    else:
        scored = scenes_of(args, maps, said)
        sources = {scene.name: source_of(by_name[scene.name], given, said.append) for scene in scored}
    notes += dict.fromkeys(said)
    shown = [_shown(scene, by_name[scene.name], sources[scene.name]) for scene in scored]
    if args.truth is None:
        return Report(shown, score_thr=settings.score_thr, notes=tuple(notes))
    return _scored(shown, settings, notes)


def _shown(scene: ScoredScene, found: FoundScene, source: object) -> ReportScene:
    info = found.info or source.info
    return ReportScene(scene, source, (info.width, info.height), found.provenance, found.trees)


def _scored(shown: list[ReportScene], settings: ScoreSettings, notes: list[str]) -> Report:
    scored = [scene.scored for scene in shown]
    pairs = [pairs_of(scene, settings.score_thr, settings.iou_thr) for scene in scored]
    return Report(shown, pairs, score(scored, settings).to_json(), settings.score_thr, tuple(notes))

"""``python -m data_prep stats``: numbers about a data set or scenes, and the tile planner."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_prep import arguments
from data_prep.errors import DataError, ExitCode
from data_prep.scenes import find_scenes
from data_prep.show.coco_input import is_coco, read_splits
from data_prep.stats.instances import Collection, from_coco, from_scenes
from data_prep.stats.planner import Plan, PlanRule, PlanScene, plan
from data_prep.stats.recommendation import Choice, recommend
from data_prep.stats.report import write_report
from data_prep.stats.summary import summarise
from data_prep.stats.text import plan_grids, plan_head, plan_text, reason, scale_rows, summary_text
from data_prep.tile.loading import LoadedScene, load_scene
from data_prep.tile.scene_arguments import add_labels, add_resolution, add_scenes_table, as_words, scene_settings
from data_prep.tile.scenes_table import scenes_of
from data_prep.tile.settings import Settings

SCENE_OPTIONS = ('--scenes-table', '--label-map', '--gsd', '--scale')
EPILOG = """\
length: longer side of the rectangle of least area around an outline. width: area by length. In a data set they are
those of the part a tile shows; in scenes those of the whole object. Crowds are counted and not measured.
--plan needs scenes. It lays the windows of train tiles over all of each scene, finds what each tile size and overlap
shows of the whole objects, and recommends a setting with the command for it.
exit codes: 0 done; 1 done, but the plan misses an aim or labels were dropped; 2 wrong input; 3 disk, memory, package.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = arguments.add_command(
        subparsers,
        'stats',
        run,
        help='count and measure the objects of a data set or of scenes; plan tiles (--plan)',
        description='Count and measure the objects of a data set or of labelled scenes, and plan tiles for them.',
        epilog=EPILOG,
    )
    add = parser.add_argument
    add('inputs', nargs='*', type=Path, metavar='INPUT',
        help="data sets' folders or COCO .json files; or scenes: folders or rasters with label files")  # fmt: skip
    add('--out', type=Path, metavar='FOLDER', help='also write report.html, histograms and stats.json there')
    add('--overwrite', action='store_true', help='replace what an earlier run of this command made there')
    add('--json', action='store_true', help='print everything as one line of JSON')
    add('--split', type=arguments.names, default=(), metavar='A,B', help='only these splits of a data set')
    add_scenes_table(parser)
    scenes = parser.add_argument_group('scenes')
    add_labels(scenes)
    add_resolution(scenes)
    _add_plan(parser.add_argument_group('tile planner'))


def _add_plan(group: argparse._ArgumentGroup) -> None:
    add, rule = group.add_argument, PlanRule()
    add('--plan', action='store_true', help='plan tiles for the scenes')
    add('--tile-sizes', type=_numbers(int, 16, 16384), default=rule.tile_sizes, metavar='PX,..',
        help='tile sizes to try (default: 256 to 2048)')  # fmt: skip
    add('--overlaps', type=_numbers(float, 0, 0.95), default=rule.overlaps, metavar='SHARE,..',
        help='overlaps to try (default: 0 to 0.5)')  # fmt: skip
    add('--scales', type=_numbers(float, 0.1, 16), default=rule.scales, metavar='S,..',
        help='network pixels per tile pixel to try (default: 0.5 to 4)')  # fmt: skip
    add('--num-queries', type=arguments.number(int, 1, 100_000), default=rule.num_queries, metavar='N',
        help='most objects the network can find in a tile (default: %(default)s)')  # fmt: skip
    add('--min-visible', type=arguments.number(float, 0, 1), default=rule.min_visible, metavar='SHARE',
        help='an object counts for a tile from this share of its area on (default: %(default)s)')  # fmt: skip
    add('--whole', type=arguments.number(float, 0, 1), default=rule.whole_share, metavar='SHARE',
        help='aim for the share of objects seen whole (default: %(default)s)')  # fmt: skip
    add('--max-input', type=arguments.number(int, 16, 16384), default=rule.max_input, metavar='PX',
        help='largest side of the network input, by GPU memory (default: %(default)s)')  # fmt: skip


def _numbers(kind: type, low: float, high: float) -> Any:
    """Argument type for a comma-separated list of numbers; sorted, each once."""
    one = arguments.number(kind, low, high)
    return lambda text: tuple(sorted({one(item) for item in text.split(',')}))


@dataclass(frozen=True)
class Planned:
    """What the planner found, and the command that does it."""

    plan: Plan
    choice: Choice
    command: str


def run(args: argparse.Namespace) -> ExitCode:
    """Measure, plan if asked to, print, and write the report if asked to."""
    coco = [path for path in args.inputs if is_coco(path)]
    if coco and len(coco) < len(args.inputs):
        raise DataError(f'{coco[0]} is COCO and other inputs are scenes; pass one kind')
    if coco and args.plan:
        raise DataError(f'--plan needs whole scenes with labels; {coco[0]} holds tiles; name the folder of rasters')
    if coco and (given := [word for word in as_words(args) if word in SCENE_OPTIONS]):
        raise DataError(f'{given[0]} is of scenes; {coco[0]} is COCO; drop one')
    if args.split and not coco:
        raise DataError('--split chooses splits of a data set; scenes have none; drop it')
    loaded = [] if coco else _load(args)
    rule = _rule(args)
    stats = summarise(from_coco(read_splits(coco, args.split), args.classes) if coco else from_scenes(loaded))
    planned = _plan(args, loaded, rule) if args.plan else None
    content = {'stats': stats, 'plan': None if planned is None else _plan_json(planned)}
    out = None if args.out is None else _report(args, content, planned, rule, _sources(coco, loaded, args))
    print(json.dumps(content) if args.json else _text(stats, planned, rule, out))
    warnings = _warnings(loaded, planned)
    for warning in warnings:
        print(f'warning: {warning}', file=sys.stderr)
    return ExitCode.LOOK if warnings else ExitCode.DONE


def collect(inputs: Sequence[Path]) -> Collection:
    """Measure a data set or scenes with labels beside them, as the command does; ``summarise`` counts the result.

    Raises:
        DataError: If an input is neither, or damaged.
    """
    if all(is_coco(path) for path in inputs):
        return from_coco(read_splits(inputs))
    return from_scenes([load_scene(scene, Settings()) for scene in find_scenes(inputs)])


def _load(args: argparse.Namespace) -> list[LoadedScene]:
    settings = Settings(**scene_settings(args))
    scenes = scenes_of(args.inputs, args.labels, args.scenes_table, unlabelled=args.unlabelled)
    return [load_scene(scene, settings) for scene in tqdm(scenes, 'scenes', unit='scene', disable=None, leave=False)]


def _rule(args: argparse.Namespace) -> PlanRule:
    return PlanRule(
        tile_sizes=args.tile_sizes,
        overlaps=args.overlaps,
        scales=args.scales,
        num_queries=args.num_queries,
        min_visible=args.min_visible,
        whole_share=args.whole,
        max_input=args.max_input,
    )


def _plan(args: argparse.Namespace, loaded: Sequence[LoadedScene], rule: PlanRule) -> Planned:
    scenes = [PlanScene(item.info.grid.window, [found.polygon for found in item.found.objects]) for item in loaded]
    found = plan(scenes, rule, lambda rows: tqdm(rows, 'settings', unit='setting', disable=None, leave=False))
    choice = recommend(found, rule)
    return Planned(found, choice, tile_command(args, choice))


def tile_command(args: argparse.Namespace, choice: Choice) -> str:
    """The command line that cuts the recommended tiles from the same scenes and labels."""
    words = ['python', '-m', 'data_prep', 'tile', *map(str, args.inputs), '--out', 'data/trees']
    words += ['--tile-size', str(choice.row.tile_size), '--overlap', f'{choice.row.overlap:g}']
    if args.min_visible != PlanRule().min_visible:
        words += ['--min-visible', f'{args.min_visible:g}']
    return shlex.join(words + as_words(args))


def _plan_json(planned: Planned) -> dict[str, Any]:
    choice = planned.choice
    chosen = {'tile_size': choice.row.tile_size, 'overlap': choice.row.overlap, 'scale': choice.scale.scale}
    return {**asdict(planned.plan), 'recommended': {**chosen, 'input_px': choice.input_px, 'misses': choice.misses},
            'command': planned.command}  # fmt: skip


def _sources(coco: Sequence[Path], loaded: Sequence[LoadedScene], args: argparse.Namespace) -> list[Path]:
    scenes = [path for item in loaded for path in (item.scene.raster, item.scene.labels) if path is not None]
    return [split.path for split in read_splits(coco, args.split)] if coco else scenes


def _report(
    args: argparse.Namespace, content: dict[str, Any], planned: Planned | None, rule: PlanRule, sources: list[Path]
) -> Path:
    page = planned and {
        'head': plan_head(planned.plan),
        'grids': plan_grids(planned.plan, rule),
        'scales': scale_rows(planned.plan),
        'lines': [reason(planned.choice, planned.plan, rule), planned.command],
    }
    return write_report(content, args.out, sources, plan=page, overwrite=args.overwrite)


def _text(stats: dict[str, Any], planned: Planned | None, rule: PlanRule, out: Path | None) -> str:
    blocks = [summary_text(stats)]
    if planned is not None:
        blocks.append(plan_text(planned.plan, planned.choice, rule, planned.command))
    if out is not None:
        blocks.append(f'{out}/report.html')
    return '\n\n'.join(blocks)


def _warnings(loaded: Sequence[LoadedScene], planned: Planned | None) -> list[str]:
    dropped = [(item.scene.labels, note) for item in loaded for note in item.found.dropped]
    lines = [f'{len(dropped)} labels could not be used; the first is feature {dropped[0][1].feature} of '
             f'{dropped[0][0]}: {dropped[0][1].reason}'] if dropped else []  # fmt: skip
    return lines + (planned.choice.misses if planned is not None else [])

"""``python -m data_prep check``: what is wrong with a COCO data set."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from data_prep import arguments
from data_prep.check.dataset import check_coco
from data_prep.check.report import Report
from data_prep.check.table import text
from data_prep.errors import ExitCode

EPILOG = """\
PATH: a folder with annotations/instances_SPLIT.json (as tile and COCO have it) or SPLIT/_annotations.coco.json (as
Roboflow has it), or a COCO file. The files of one folder, and files named one by one, are splits of each other: no
object_id, no pixel of a source and no file may be in two of them. Several folders are checked each by itself.
No pixel is decoded. Infos (images without annotations, unused categories) do not count.
exit codes: 0 clean; 1 warnings, something to look at; 2 errors, or nothing to check; 3 disk, memory, package.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = arguments.add_command(
        subparsers,
        'check',
        run,
        help='find what is wrong with a COCO data set',
        description='Find what is wrong with a COCO data set: what readers crash on, and what they let through.',
        epilog=EPILOG,
    )
    parser.add_argument('paths', nargs='+', type=Path, metavar='PATH', help='data set folder or COCO file')
    parser.add_argument('--images', type=Path, metavar='FOLDER',
                        help='where the image files lie (default: looked for beside the COCO file)')  # fmt: skip
    parser.add_argument('--limit', type=arguments.number(int, 0, 1_000_000), default=1, metavar='N',
                        help='most examples of one kind of finding (default: %(default)s)')  # fmt: skip
    parser.add_argument('--json', action='store_true', help='print the report as one line of JSON')


def run(args: argparse.Namespace) -> ExitCode:
    """Check and print; the worst finding decides the exit code."""
    reports = _reports(args)
    if args.json:
        print(json.dumps({'reports': [report.to_json() for report in reports]}))
    else:
        print('\n\n'.join(text(report) for report in reports))
    return max(report.exit_code for report in reports)


def _reports(args: argparse.Namespace) -> list[Report]:
    files = [path for path in args.paths if not path.is_dir()]
    groups = [[path] for path in args.paths if path.is_dir()] + ([files] if files else [])
    with tqdm(desc='files', unit='file', disable=None, leave=False) as bar:

        def progress(step: str) -> None:
            bar.set_description(step, refresh=False)
            bar.update()

        return [check_coco(group, args.images, limit=args.limit, progress=progress) for group in groups]

"""``python -m data_prep pack``: the images of a data set in a few tar files."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from data_prep import arguments
from data_prep.errors import DataError, ExitCode
from data_prep.pack.packing import pack_dataset
from data_prep.pack.verifying import verify

EPILOG = """\
OUT has the layout of DATA: COCO files are copied, each folder of images becomes shards (plain tar files) with an
index.json. Train on it as on DATA: --cfg-options data_root=OUT. A run that was stopped goes on with the same command.
Only listed images are packed, as they are. --verify hashes a packed data set.
exit codes: 0 done; 1 --verify found damage; 2 wrong input; 3 disk, memory, package.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = arguments.add_command(
        subparsers,
        'pack',
        run,
        help='put the images of a data set into a few tar files',
        description='Put the images of a data set into a few tar files with an index, for drives slow at small files.',
        epilog=EPILOG,
    )
    add = parser.add_argument
    add('data', type=Path, metavar='DATA', help='data set (COCO, Roboflow, data_prep); packed with --verify')
    add('--out', type=Path, metavar='OUT', help='folder to make')
    add('--shards', type=arguments.number(int, 1, 99_999), metavar='N',
        help='tar files of each folder of images (default: of about 512 MB)')  # fmt: skip
    add('--jobs', type=arguments.number(int, 1, 256), default=1, help='processes that write (default: %(default)s)')
    add('--overwrite', action='store_true', help='replace an older data set in OUT')
    add('--verify', action='store_true', help='look at the packed data set DATA instead: is every byte as it was?')
    add('--json', action='store_true', help='print one line of JSON')


def run(args: argparse.Namespace) -> ExitCode:
    """Pack or verify, and say what came of it."""
    if args.verify == (args.out is not None):
        raise DataError('pass either --out OUT, to pack DATA, or --verify, to look at a packed DATA')
    if args.verify:
        return _verify(args)
    with tqdm(desc='packed', unit='image', disable=None, leave=False) as bar:
        packed = pack_dataset(args.data, args.out, shards=args.shards, jobs=args.jobs, overwrite=args.overwrite,
                              progress=bar.update)  # fmt: skip
    if args.json:
        print(json.dumps({**vars(packed), 'out': str(packed.out)}))
    else:
        kept = f', {packed.kept} of them from a run that was stopped' if packed.kept else ''
        print(f'{packed.out}: {packed.images} images in {packed.shards} shards{kept}, {packed.bytes / 1e6:.1f} MB')
    return ExitCode.DONE


def _verify(args: argparse.Namespace) -> ExitCode:
    with tqdm(desc='verified', unit='file', disable=None, leave=False) as bar:
        problems = verify(args.data, bar.update)
    if args.json:
        print(json.dumps({'data': str(args.data), 'problems': problems}))
    for problem in () if args.json else problems:
        print(problem, file=sys.stderr)
    if not problems and not args.json:
        print(f'{args.data}: every file is as it was packed')
    return ExitCode.LOOK if problems else ExitCode.DONE

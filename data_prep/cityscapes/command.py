"""``python -m data_prep cityscapes``: Cityscapes as it is unpacked, for training in stages."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from data_prep import arguments
from data_prep.cityscapes.preparing import Wanted, prepare
from data_prep.errors import DataError, ExitCode

EPILOG = """\
ROOT holds leftImg8bit/{train,train_extra,val}, gtFine/{train,val} and gtCoarse/{train,train_extra} as Cityscapes packs
them. Images and label maps stay there: OUT/images is a link to ROOT. OUT/annotations/ gets
  instances_{train,val,test}.json   8 classes, exact masks; groups (cargroup) are crowds. test: whole cities of train,
                                    held back (--test), as Cityscapes' own test has no public labels
  trainval.json, subset.json        train and val together; --subset images of train, all classes about equally often
  semantic_{coarse,val,test}.json   label maps of 19 classes; coarse: --coarse images of gtCoarse, evenly over cities
The same input and seed give the same bytes. Sizes and classes in pictures: python -m data_prep stats OUT --out FOLDER
exit codes: 0 done; 1 done with fewer coarse images than wanted; 2 wrong input; 3 disk, memory, package.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = arguments.add_command(
        subparsers,
        'cityscapes',
        run,
        help='list Cityscapes as COCO files, with a subset, partitions and a coarse list',
        description='List Cityscapes, as it is unpacked, as COCO files for training in stages.',
        epilog=EPILOG,
    )
    add, wanted = parser.add_argument, Wanted()
    add('root', type=Path, metavar='ROOT', help='holds leftImg8bit, gtFine and gtCoarse')
    add('--out', type=Path, required=True, metavar='OUT', help='folder of the data set')
    add('--subset', type=arguments.number(int, 1, 2**31), default=wanted.subset, metavar='N',
        help='images of subset.json (default: %(default)s)')  # fmt: skip
    add('--coarse', type=arguments.number(int, 1, 2**31), default=wanted.coarse, metavar='N',
        help='images of semantic_coarse.json (default: %(default)s)')  # fmt: skip
    add('--test', type=arguments.number(float, 0, 0.9), default=wanted.test, metavar='SHARE',
        help='of train held back as test, in whole cities; 0: test on val (default: %(default)s)')  # fmt: skip
    add('--seed', type=int, default=wanted.seed, help='of all choices (default: %(default)s)')
    add('--jobs', type=arguments.number(int, 1, 512), default=1, metavar='N', help='processes (default: %(default)s)')
    add('--json', action='store_true', help='print what was made as one line of JSON')


def run(args: argparse.Namespace) -> ExitCode:
    """Prepare, and print what was made."""
    if not args.root.is_dir():
        raise DataError(
            f'{args.root} must be the folder of Cityscapes; nothing is there; name the one that holds gtFine'
        )
    if args.out.exists() and not args.out.is_dir():
        raise DataError(f'--out {args.out} must be a folder; a file is there; choose another name')
    if args.out.is_dir() and args.out.resolve().is_relative_to(args.root.resolve()):
        raise DataError(
            f'--out {args.out} must not lie in {args.root}, to which a link goes in it; choose another folder'
        )
    wanted = Wanted(args.subset, args.coarse, args.test, args.seed)
    with tqdm(desc='read', unit='map', disable=None, leave=False) as bar:

        def progress(total: int) -> Callable[[], object]:
            bar.reset(total)
            return bar.update

        done = prepare(args.root, args.out, wanted, jobs=args.jobs, progress=progress)
    if args.json:
        print(json.dumps({'out': str(args.out), **asdict(done)}))
    else:
        cities = ', '.join(done.test_cities) or "none: test is Cityscapes' val"
        print(f'{args.out}: images stay in {args.root}; cities held back for the test: {cities}')
        print('\n'.join(f'  {name + ".json":22} {images:6} images {parts:8} annotations'
                        for name, (images, parts) in done.files.items()))  # fmt: skip
    for warning in done.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    return ExitCode.LOOK if done.warnings else ExitCode.DONE

"""``python -m data_prep semantic``: list a semantic data set in IDD's layout as COCO files, one for each split."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from data_prep import arguments
from data_prep.errors import DataError, ExitCode
from data_prep.semantic.layout import SPLITS, find_frames, recognise
from data_prep.semantic.listing import Listed, list_split

EPILOG = """\
writes FOLDER/annotations/semantic_{train,val,test}.json: images with their label maps, and which class is where. Label
maps that are missing are drawn from the polygons beside them (needs Pillow). select chooses from such a file.
exit codes: 0 done; 1 done, but polygons had labels that IDD does not have; 2 wrong input; 3 disk, memory, package.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = arguments.add_command(
        subparsers,
        'semantic',
        run,
        help='list a semantic data set in the layout of IDD or IDD-Lite as COCO files',
        description='List the images of IDD or IDD-Lite with their label maps and the classes they show.',
        epilog=EPILOG,
    )
    add = parser.add_argument
    add('folder', type=Path, metavar='FOLDER', help='holds leftImg8bit and gtFine')
    add('--level', type=int, choices=(1, 2, 3), default=None,
        help='of the classes: 3 (26 classes), 2 (16) or 1 (7); default: that of the label maps')  # fmt: skip
    add('--jobs', type=arguments.number(int, 1, 512), default=1, metavar='N', help='processes (default: %(default)s)')
    add('--json', action='store_true', help='print what was listed as one line of JSON')


def run(args: argparse.Namespace) -> ExitCode:
    """List every split, and print what it shows."""
    root = args.folder
    layout = recognise(root)
    level = args.level or layout.level
    if level > layout.level:
        raise DataError(f'--level {level} must be at most {layout.level}, the level of the label maps of {layout.name} '
                        f'in {root}; leave it away')  # fmt: skip
    total = sum(len(find_frames(root, split, layout)) for split in SPLITS)
    with tqdm(desc='looked at', unit='image', total=total, disable=None, leave=False) as bar:
        found = [list_split(root, split, layout, level, jobs=args.jobs, progress=bar.update) for split in SPLITS]
    listed = [item for item in found if item is not None]
    if args.json:
        print(json.dumps([{**vars(item), 'file': str(item.file)} for item in listed]))
    else:
        print(f'{root}: {layout.name}, level {level}, {len(listed[0].shown)} classes')
        print('\n'.join(map(_text, listed)))
    return ExitCode.LOOK if any(item.unknown for item in listed) else ExitCode.DONE


def _text(item: Listed) -> str:
    drawn = f', {item.drawn} label maps drawn from polygons' if item.drawn else ''
    lines = [f'{item.file}: {item.images} images{drawn}']
    lines.append('  images with: ' + ', '.join(f'{name} {count}' for name, count in item.shown.items() if count))
    unseen = [name for name, count in item.shown.items() if not count]
    if unseen:
        lines.append(f'  in no image: {", ".join(unseen)}')
    if item.unknown:
        lines.append(f'  drawn as void, labels that IDD does not have: {", ".join(item.unknown)}')
    return '\n'.join(lines)

"""Arguments that say which scenes are meant, with which labels, at which resolution: the same for every command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from data_prep import arguments
from data_prep.imagery.scale import SCALES
from data_prep.labels.label_map import read_label_map


def add_scenes_table(parser: argparse.ArgumentParser) -> None:
    """Add ``--scenes-table``."""
    parser.add_argument('--scenes-table', type=Path, metavar='TABLE',
        help='CSV or GeoPackage instead of folders and rasters: columns raster, labels, and if wanted split and name; '
        'paths are relative to the table')  # fmt: skip


def add_labels(group: argparse._ArgumentGroup) -> None:
    """Add what chooses label files and classes."""
    add = group.add_argument
    add('--labels', type=Path, metavar='PATH', help='label file (of one raster) or folder of label files')
    add('--label-field', default='label', metavar='NAME', help='field of vector files with the class (default: label)')
    add('--label-map', metavar='MAP',
        help="rename labels before --classes: 'a=b,c=d', or a .json or .csv file; "
        'an empty name drops the label')  # fmt: skip
    add('--classes', type=arguments.names, default=(), metavar='A,B',
        help='classes in the order of their ids (default: all labels found, sorted)')  # fmt: skip
    add('--skip-other-labels', action='store_true', help='pass over labels not in --classes instead of refusing them')
    add('--unlabelled', choices=('error', 'empty'), default='error',
        help='what a raster without a label file means (default: error; empty: it shows no object)')  # fmt: skip


def add_resolution(group: argparse._ArgumentGroup) -> None:
    """Add ``--gsd`` and ``--scale``."""
    size = group.add_mutually_exclusive_group()
    size.add_argument('--gsd', type=arguments.number(float, 0.001, 100), metavar='METRES',
        help='resample each scene so that a pixel of the tiles has this side; needs a CRS')  # fmt: skip
    size.add_argument('--scale', type=arguments.number(float, *SCALES), metavar='FACTOR',
        help='resample each scene: tile pixels per source pixel (default: 1)')  # fmt: skip


def scene_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The part of ``Settings`` that these arguments decide."""
    return {
        'gsd_m': args.gsd,
        'scale': args.scale,
        'label_field': args.label_field,
        'label_map': read_label_map(args.label_map) if args.label_map is not None else None,
        'classes': args.classes,
        'skip_other_labels': args.skip_other_labels,
        'unlabelled': args.unlabelled,
    }


def as_words(args: argparse.Namespace) -> list[str]:
    """Those of these arguments that were given, as words of a command line."""
    words = []
    options = {'scenes_table': None, 'labels': None, 'label_field': 'label', 'label_map': None, 'classes': (),
               'unlabelled': 'error', 'gsd': None, 'scale': None}  # fmt: skip
    for name, default in options.items():
        if (value := getattr(args, name)) != default:
            words += [f'--{name.replace("_", "-")}', ','.join(value) if isinstance(value, tuple) else str(value)]
    return words + ['--skip-other-labels'] * args.skip_other_labels

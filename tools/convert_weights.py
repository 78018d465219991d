"""Convert a Mask2Former of Detectron2, Hugging Face or MMDetection: `python tools/convert_weights.py SOURCE OUT.pth`.

Exit code 1: converted, but tensors of the source are left over, which are listed. 2: the config's model is not filled.
"""

import argparse
import os
import sys
from pathlib import Path

# Before torch starts its threads: see fallen_trees.cpu.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from mmengine.registry import init_default_scope

from fallen_trees.errors import ConfigError, one_line_errors
from fallen_trees.launch import read_config
from fallen_trees.weights.conversion import FORMATS, build_target, convert, write
from fallen_trees.weights.source import read_source


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help='.pkl, .pth, .bin or .safetensors file, or a folder of Hugging Face')
    parser.add_argument('out', help='checkpoint to write, .pth')
    parser.add_argument('--config', help='the model that will load it: every tensor is checked, classes, queries and '
                        'input bands are made to fit')  # fmt: skip
    parser.add_argument('--source-format', choices=['auto', *FORMATS], default='auto', help='default: by its tensors')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)
    with one_line_errors():
        if not args.out.endswith('.pth') or not Path(args.out).absolute().parent.is_dir():
            raise ConfigError(f'the output must be a .pth file in a folder that exists; got {args.out}.')
        source = read_source(args.source, args.source_format)
        print(f'Source: {source.kind}, {source.path}, sha256 {source.sha256}.')
        print(f'Licence: {source.licence}.')
        wanted = classes = None
        if args.config:
            cfg = read_config(args.config)
            init_default_scope(cfg.get('default_scope', 'mmdet'))
            wanted, classes = build_target(cfg, source)
        converted = convert(source, wanted, classes)
        write(converted, source, args.out)
    for line in converted.lines:
        print(line)
    named = f'{len(converted.classes)} classes by name' if converted.classes else 'classes without names'
    print(f'Wrote {args.out}: {len(converted.state_dict)} tensors, {named}.')
    for name in converted.left:
        print(f'left over: {name}')
    return 1 if converted.left else 0


if __name__ == '__main__':
    sys.exit(main())

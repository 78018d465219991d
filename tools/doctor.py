"""Check a run before it costs anything: `python tools/doctor.py CONFIG`.

Annotations, images as the network is fed them, model, optimiser, schedule, start weights and memory. Prints a table and
writes a page with pictures (WORK_DIR/doctor.html). Exit codes: 0 healthy; 1 warnings; 2 errors, do not start.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Before torch starts its threads: see fallen_trees.cpu.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

with contextlib.redirect_stdout(sys.stderr):  # MMDetection prints while it is imported; --json owns stdout
    from tqdm import tqdm

    from data_prep.check import check_coco
    from data_prep.errors import DataError
    from fallen_trees.checks.diagnosis.doctor import examine
    from fallen_trees.checks.diagnosis.page import write_page
    from fallen_trees.checks.diagnosis.table import table
    from fallen_trees.checks.finding import Finding, Verdict
    from fallen_trees.checks.subject import Subject
    from fallen_trees.errors import ConfigError, one_line_errors
    from fallen_trees.launch import add_common_flags, load_config


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', type=Path, help='HTML page to write; default WORK_DIR/doctor.html')
    parser.add_argument('--json', action='store_true', help='print the findings as one line of JSON, not as a table')
    parser.add_argument('--samples', type=int, default=32, help='training samples to look at (default: %(default)s)')
    add_common_flags(parser)
    return parser.parse_args(argv)


def coco_file(subject: Subject) -> Iterator[Finding]:
    """Fold in what `python -m data_prep check` finds in the annotation files: `coco-file`."""
    try:
        files = dict.fromkeys(subject.ann_file(split) for split in subject.splits)  # val and test may be one file
        report = check_coco([*files])
    except DataError as error:
        yield Finding('coco-file', Verdict.ERROR, str(error))
        return
    bad = [found for found in report.findings if found.severity]
    for found in bad:
        place = found.examples[0]
        message = (
            f'{found.code}, {found.count} x, such as {place.file}, {place.place}: {place.problem}; {found.advice}.'
        )
        yield Finding('coco-file', Verdict(int(found.severity)), message, dict(code=found.code, count=found.count))
    if not bad:
        yield Finding('coco-file', Verdict.OK, f'{len(report.files)} annotation files are sound.')


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)
    with one_line_errors():
        if args.samples < 1:
            raise ConfigError(f'--samples must be at least 1; got {args.samples}.')
        with contextlib.redirect_stdout(sys.stderr):
            cfg = load_config(args)
        with tqdm(unit='check', disable=None, leave=False) as bar:

            def progress(name: str) -> None:
                bar.set_description(name)
                bar.update()

            diagnosis = examine(cfg, (coco_file,), num_samples=args.samples, progress=progress)
        out = args.out or Path(cfg.work_dir, 'doctor.html')
        out.parent.mkdir(parents=True, exist_ok=True)
        write_page(diagnosis, out)
        print(json.dumps({**diagnosis.to_json(), 'page': str(out)}) if args.json else f'{table(diagnosis)}\n{out}')
    return int(diagnosis.verdict)


if __name__ == '__main__':
    sys.exit(main())

"""Look at what the network is fed: `python tools/browse_dataset.py CONFIG`.

Draws random samples after the whole pipeline, in the order of channels that the network gets: image, masks and boxes
side by side, contact sheets of 48 (OUT/contact_sheet*.png), and a page to leaf through (OUT/index.html).
"""

import argparse
import os
import sys
from pathlib import Path

# Before torch starts its threads: see fallen_trees.cpu.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

import cv2
import numpy as np
from mmengine.config import Config, DictAction

from data_prep.atomic import atomic_write
from data_prep.errors import DataError
from data_prep.labels.strict_json import write_json
from data_prep.show.output import MARKER, check_report_out, fresh_folder, render
from data_prep.show.panels import draw_panels
from fallen_trees.checks.fed_pictures import contact_sheets, fed_boxes, fed_image, fed_masks, to_png
from fallen_trees.checks.subject import Fed, Subject
from fallen_trees.derive.config import derive
from fallen_trees.errors import ConfigError, one_line_errors
from fallen_trees.launch import load_config

MIN_SIDE = 512  # px; smaller samples are enlarged, so that outlines can be told from trunks


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', type=Path, help='folder to make; default WORK_DIR/browse_SPLIT')
    parser.add_argument('--samples', type=int, default=32, help='how many (default: %(default)s)')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train', help='(default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='which samples, and how they are augmented')
    parser.add_argument('--work-dir', help='default work_dirs/CONFIG of the repository')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings, as in tools/train.py')
    parser.set_defaults(launcher='none', local_rank=0)
    return parser.parse_args(argv)


def draw(subject: Subject, fed: Fed, names: tuple[str, ...]) -> np.ndarray:
    """Panels of one sample."""
    image = fed_image(subject, fed)
    zoom = max(1, round(MIN_SIDE / max(image.shape[:2])))
    image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    masks = [cv2.resize(m, image.shape[1::-1], interpolation=cv2.INTER_NEAREST) for m in fed_masks(fed.sample)]
    labels = fed.sample.gt_instances.labels.tolist()
    return draw_panels(image, np.array(masks), labels, names, boxes_xyxy=fed_boxes(fed) * zoom)


def browse(cfg: Config, split: str, samples: int, seed: int, out: Path) -> str:
    """Fill the folder; returns a line that says what is in it."""
    cfg.train_dataloader = cfg[f'{split}_dataloader']  # whose samples a Subject takes
    subject, names = Subject(cfg, num_samples=samples, seed=seed), cfg.metainfo.classes
    if not subject.fed:
        raise ConfigError(f'{subject.ann_file("train")}: no tile is left to show; see filter_cfg.')
    out = check_report_out(out, [subject.ann_file('train')], 'browse_dataset', overwrite=True)
    with fresh_folder(out) as folder:
        rows = []
        for number, fed in enumerate(subject.fed, 1):
            name, found = f'{number:04d}.png', [names[label] for label in fed.sample.gt_instances.labels]
            counts = {kind: found.count(kind) for kind in sorted(set(found))}
            with atomic_write(folder / name, 'wb', sync=False) as file:
                file.write(to_png(draw(subject, fed, names)))
            size = f'{fed.inputs.shape[2]} x {fed.inputs.shape[1]} px, as fed'
            rows.append(dict(picture=name, file_name=Path(fed.sample.img_path).name, split=split, size=size,
                             classes=list(counts), counts=counts, count=len(found)))  # fmt: skip
        for name, content in (sheets := dict(contact_sheets(subject, most=48))).items():
            with atomic_write(folder / name, 'wb', sync=False) as file:
                file.write(content)
        render(folder / 'index.html', 'data_prep.show', 'page.html', rows=rows, sheets=list(sheets),
               splits=[split], classes=list(names))  # fmt: skip
        write_json(folder / MARKER, dict(command='browse_dataset', config=Path(cfg.filename).name, split=split))
    return f'{out}/index.html: {len(rows)} samples of {split}, {sum(row["count"] for row in rows)} objects'


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)
    with one_line_errors():
        if args.samples < 1:
            raise ConfigError(f'--samples must be at least 1; got {args.samples}.')
        cfg = load_config(args)
        derive(cfg, ('train',) if args.split == 'train' else ('train', args.split))
        try:
            out = args.out or Path(cfg.work_dir, f'browse_{args.split}')
            print(browse(cfg, args.split, args.samples, args.seed, out))
        except DataError as error:
            raise ConfigError(str(error)) from None
    return 0


if __name__ == '__main__':
    sys.exit(main())

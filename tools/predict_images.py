"""Find objects in photos: `python tools/predict_images.py CONFIG CHECKPOINT PHOTOS --out FOLDER`.

For each photo a folder of masks whose names say class and score, the photo with all of them drawn, and one COCO file
for all. A run that was stopped goes on with the same command. Scenes on a map are for tools/predict.py. Exit codes:
0 done, 1 some files are no images (listed), 2 wrong input, 3 the machine failed, 130 and 143 stopped by a signal.
"""

import argparse
import hashlib
import json
import os
import signal
import sys
from pathlib import Path

# Before torch starts its threads: see fallen_trees.cpu.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from mmengine.config import DictAction
from tqdm import tqdm

from fallen_trees.errors import ConfigError, one_line_errors
from fallen_trees.photo_masks import predict_photos
from fallen_trees.predictor import Predictor


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('config', help='config file, such as the one in the work dir of the run')
    add('checkpoint', help='checkpoint file')
    add('photos', nargs='+', type=Path, metavar='PHOTOS', help='image files, or folders of them')
    add('--out', type=Path, required=True, help='folder to make, or to go on with')
    add('--score-thr', type=float, default=0.5, help='instances below are left out (default: %(default)s)')
    add('--device', help='such as cpu or cuda:1; default: a GPU where there is one')
    add('--json', action='store_true', help='print the outcome as one line of JSON')
    add('--cfg-options', nargs='+', action=DictAction, help='override settings of the config, as key=value')
    add('--trust-checkpoint', action='store_true', help='read a checkpoint that holds more than weights')
    return parser.parse_args(argv)


def stop(signum: int, frame: object) -> None:
    """End between two instructions; a photo's folder is there or not."""
    raise SystemExit(128 + signum)


def predict(args: argparse.Namespace) -> int:
    """Predict all photos and say what came of it; returns the exit code."""
    if not 0 <= args.score_thr <= 1:
        raise ConfigError(f'--score-thr must be from 0 to 1; got {args.score_thr}.')
    predictor = Predictor(args.config, args.checkpoint, device=args.device, score_thr=args.score_thr,
                          options=args.cfg_options, trust_checkpoint=args.trust_checkpoint)  # fmt: skip
    with open(args.checkpoint, 'rb') as file:
        digest = hashlib.file_digest(file, 'sha256').hexdigest()
    options = {key: str(value) for key, value in (args.cfg_options or {}).items()}
    made_with = dict(checkpoint=digest, score_thr=args.score_thr, options=options, classes=predictor.classes)
    with tqdm(desc='photos', unit='photo', disable=None, leave=False) as bar:
        outcome = predict_photos(predictor, args.photos, args.out, made_with, bar.update)
    if args.json:
        print(json.dumps(vars(outcome)))
    else:
        kept = f' ({outcome.kept} of an earlier run)' if outcome.kept else ''
        print(f'{args.out}: {outcome.instances} objects in {outcome.photos} photos{kept}')
        for line in outcome.unreadable:
            print(f'warning: {line}', file=sys.stderr)
    return 1 if outcome.unreadable else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stop)
    with one_line_errors():
        return predict(args)


if __name__ == '__main__':
    sys.exit(main())

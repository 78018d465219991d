"""Stands where `tools/train.py` and `tools/test.py` do in an ablation, and takes milliseconds where they take minutes.

`CONFIG --work-dir DIR --resume` makes STEPS steps, saving after each, and leaves a best checkpoint; SIGTERM and SIGINT
end it after the step at hand. `CONFIG CHECKPOINT --work-dir DIR` writes a `metrics.json`. Both leave a line for every
step in DIR/diary, and fail if another process is at work in DIR, or if the config says so by its warm-up.
"""

import fcntl
import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path

STEPS, STEP_S = 4, 0.05
FAIL, HANG = 13, 17  # warm-up updates that make it fail or never end
METRIC = 'coco/segm_mAP'


def replace(path, text):
    path.with_suffix('.new').write_text(text)
    os.replace(path.with_suffix('.new'), path)


def diary(folder, line):
    with open(folder / 'diary', 'a') as file:
        file.write(f'{line}\n')


def train(cfg, folder):
    signals = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: signals.append(signum))
    for step in range(1, STEPS + 1):
        if (folder / f'iter_{step}.pth').exists():
            continue
        time.sleep(STEP_S)
        while cfg['lr_warmup_updates'] == HANG and not signals:
            time.sleep(STEP_S)
        diary(folder, step)
        replace(folder / f'iter_{step}.pth', 'weights')
        if signals:
            sys.exit(128 + signals[0])
    score = round(cfg['lr_warmup_updates'] / 100 + cfg['randomness']['seed'] / 1000, 4)
    best = folder / f'best_coco_segm_mAP_iter_{STEPS}.pth'
    replace(best, str(score))
    replace(Path(f'{best}.json'), json.dumps({'sha256': '', 'iter': STEPS, METRIC: score}))


def test(checkpoint, folder):
    diary(folder, 'tested')
    replace(folder / 'metrics.json', json.dumps({METRIC: float(Path(checkpoint).read_text()) + 0.1, 'coco/none': -1}))


def main(config, *args):
    folder = Path(args[args.index('--work-dir') + 1])
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / '.toy', os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.pwrite(lock, f'{os.getpid():10}'.encode(), 0)
    cfg = runpy.run_path(config)
    if cfg['lr_warmup_updates'] == FAIL:
        sys.exit('error: this arm fails.')
    if '--resume' in args:
        train(cfg, folder)
    else:
        test(args[0], folder)


if __name__ == '__main__':
    main(*sys.argv[1:])

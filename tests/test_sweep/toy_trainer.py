"""Stands where `tools/train.py` does in a sweep: milliseconds where that takes hours, the same files and exit codes.

`CONFIG --work-dir DIR --resume` goes from its last checkpoint to `train_cfg.max_iters`, validating every
`train_cfg.val_interval`; SIGTERM and SIGINT end it after the step at hand. Its score is best at a learning rate of
1e-3 and 20 queries, and grows with the iterations. What it does is written to DIR/diary, one line a step; it fails if
another process is at work in DIR. TOY_STEP_S is the time of a step.
"""

import fcntl
import json
import math
import os
import runpy
import signal
import sys
import time
from pathlib import Path

STEP_S = float(os.environ.get('TOY_STEP_S', '0.02'))
NO_MEMORY, FAILS, DIES, KILLED, FAILS_ONCE = 60, 61, 62, 63, 64  # queries with which it ends badly


def replace(path, text):
    path.with_suffix('.new').write_text(text)
    os.replace(path.with_suffix('.new'), path)


def add(path, line):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'a') as file:
        file.write(f'{line}\n')


def score(lr, queries, step, last):
    return (1 - (math.log10(lr) + 3) ** 2 / 8 - abs(queries - 20) / 100) * (1 - math.exp(-3 * step / last))


def end_badly(queries, folder):
    if queries == NO_MEMORY:
        print('error: out of memory (CUDA out of memory. Tried to allocate 2 GiB). Lower it.', file=sys.stderr)
        sys.exit(3)
    if queries == FAILS:
        raise TypeError('a fault of ours')
    if queries == DIES:
        sys.exit('error: the loss is no number since iteration 3.')
    if queries == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if queries == FAILS_ONCE and not (folder / 'again').exists():
        replace(folder / 'again', '')
        os.kill(os.getpid(), signal.SIGKILL)


def main(config, *args):
    assert '--resume' in args
    folder = Path(args[args.index('--work-dir') + 1])
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / '.toy', os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    signals = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: signals.append(signum))
    cfg = runpy.run_path(config)
    last, each = cfg['train_cfg']['max_iters'], cfg['train_cfg']['val_interval']
    lr, queries = cfg['optim_wrapper']['optimizer']['lr'], cfg['model']['panoptic_head']['num_queries']
    scalars = folder / f'{time.time_ns()}_{os.getpid()}/vis_data/scalars.json'
    add(folder / 'environment', os.environ.get('CUDA_VISIBLE_DEVICES'))
    for step in range(1, last + 1):
        if (folder / f'iter_{step}.pth').exists():
            continue
        time.sleep(STEP_S)
        if step == 2:
            end_badly(queries, folder)
        add(folder / 'diary', step)
        memory = {} if 'TOY_ON_CPU' in os.environ else {'memory': 100 + queries}
        add(scalars, json.dumps({'loss': 1 / step, 'step': step, **memory}))
        if step % each == 0 or step == last:
            figures = {'coco/segm_mAP': score(lr, queries, step, last), 'coco/segm_F1_50': 1 / queries}
            add(scalars, json.dumps({**figures, 'data_time': 0.01, 'time': 0.5, 'step': step}))
            replace(folder / 'best_coco_segm_mAP.pth', 'weights')
        replace(folder / f'iter_{step}.pth', 'weights')
        if signals:
            sys.exit(128 + signals[0])


if __name__ == '__main__':
    main(*sys.argv[1:])

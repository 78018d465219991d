"""What do points save? A training step with the mask loss on points and on all pixels: memory and time, on the CPU.

    python tools/benchmark/point_loss.py            # R50, 480 px, batch 2, 7 objects a photo, as many as COCO's have
    python tools/benchmark/point_loss.py --quick    # 192 px: about a minute

The step of train_step.py with `mask_loss_on='points'` (12,544 of each mask) and `'pixels'` (all of them, with logits
enlarged four times). Each arm is a child process with one thread and the same allocator settings. Most bytes of tensors
that live at once, weights and their gradients included, in MiB for each phase; by how much the process grew at most in
four steps, MiB (`rss_mib`, by the system); and CPU seconds of the fastest of the last three.

The last line is one line of JSON: how many times the points' memory and seconds fit into those of the pixels.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings

from step_counts import PHASES, counts_of
from train_step import HEAD, VARIANTS, make_arm

ARMS = ('points', 'pixels')
SAME = dict(OMP_NUM_THREADS='1', OMP_WAIT_POLICY='PASSIVE', MALLOC_TRIM_THRESHOLD_='0')  # what is freed goes back


def main() -> None:
    """Measure both arms and print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='192 px instead of 480')
    parser.add_argument('--size', type=int)
    for name, default in (('batch', 2), ('queries', 100), ('trees', 7)):
        parser.add_argument(f'--{name}', type=int, default=default, help='objects a photo' if name == 'trees' else None)
    parser.add_argument('--arm', choices=ARMS, help='measure this one only, in this process')
    args = parser.parse_args()
    args.size = args.size or (192 if args.quick else 480)
    if args.arm:
        print(json.dumps(measure(args)))
        return
    rows = {}
    for arm in ARMS:
        rows[arm] = in_child(arm, args)
        print(f'{arm:8}' + ''.join(f'  {key} {value}' for key, value in rows[arm].items()), flush=True)
    peaks = {arm: max(row[f'mib_{phase}'] for phase in PHASES) for arm, row in rows.items()}
    print(
        json.dumps(
            dict(
                live_memory=round(peaks['pixels'] / peaks['points'], 2),
                rss=round(rows['pixels']['rss_mib'] / rows['points']['rss_mib'], 2),
                seconds=round(rows['pixels']['s'] / rows['points']['s'], 2),
                size=args.size,
                batch=args.batch,
                objects=args.trees,
                rows=rows,
            )
        )
    )


def in_child(arm: str, args: argparse.Namespace) -> dict[str, float]:
    """Measure an arm in a process of its own."""
    numbers = [f'--{name}={getattr(args, name)}' for name in ('size', 'batch', 'queries', 'trees')]
    command = [sys.executable, __file__, '--arm', arm, *numbers]
    done = subprocess.run(command, env={**os.environ, **SAME}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f'point_loss: {arm} failed: {done.stderr.strip()[-500:]}')
    return json.loads(done.stdout.splitlines()[-1])


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Memory and seconds of one arm."""
    warnings.filterwarnings('ignore')
    VARIANTS['points'], VARIANTS['pixels'] = {}, {f'{HEAD}.mask_loss_on': 'pixels'}
    args.device = 'cpu'
    phases = make_arm(args.arm, args)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = [timed_step(phases) for _ in range(4)]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    live = {key: value for key, value in counts_of(phases, 'cpu').items() if key.startswith('mib_')}
    return live | dict(rss_mib=round(grown), s=round(min(seconds[1:]), 3))


def timed_step(phases: tuple) -> float:
    """Run one step; returns its CPU seconds."""
    began, value = time.process_time(), None
    for phase in phases:
        value = phase(value)
    return time.process_time() - began


if __name__ == '__main__':
    main()

"""How do time and memory of a training step grow with the work? MMDetection's step and ours, as plots.

    python tools/benchmark/step_growth.py --plot docs/images/step_growth.png
    python tools/benchmark/step_growth.py --quick        # two points on each axis

From the step of train_step.py (R50, 256 px, batch 2, 100 queries, 15 trees a tile) one number is changed at a time:
side of the image, queries, trees a tile, batch. Medians of the elapsed seconds of a step, both arms taking turns in one
process, and the most tensors that live at once in GiB. The last line is one line of JSON with all of it.
"""

import argparse
import json
import warnings
from pathlib import Path

import torch
from step_counts import PHASES, counts_of
from train_step import make_arm, measure

from data_prep.atomic import atomic_path
from fallen_trees.cpu import keep_freed_memory

ARMS = ('mmdet', 'ours')
START = dict(size=256, batch=2, queries=100, trees=15)
AXES = dict(size=(128, 256, 384, 512), queries=(25, 50, 100, 200), trees=(5, 15, 50, 150), batch=(1, 2, 3, 4))
LABELS = dict(size='side of the image, px', queries='queries', trees='trees in a tile', batch='tiles in a batch')


def main() -> None:
    """Measure all points, draw them, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='the first two points on each axis, two steps each')
    parser.add_argument('--steps', type=int, default=3, help='timed steps of each point')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--plot', type=Path, help='PNG to draw to')
    args = parser.parse_args()
    warnings.filterwarnings('ignore')
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    found, known = {}, {}
    for axis, values in AXES.items():
        found[axis] = []
        for value in values[:2] if args.quick else values:
            point = START | {axis: value}
            key = tuple(point.items())
            if key not in known:
                known[key] = measure_point(point, args)
                print(f'{axis:8} {value:5} ' + '  '.join(f'{arm} {row}' for arm, row in known[key].items()), flush=True)
            found[axis].append(dict(at=value, **known[key]))
    if args.plot:
        draw(found, args.plot)
    print(json.dumps(found))


def measure_point(point: dict[str, int], args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds and GiB of both arms."""
    given = argparse.Namespace(device=args.device, **point)
    arms = {name: make_arm(name, given) for name in ARMS}
    rows = measure(arms, 2 if args.quick else args.steps)
    peaks = {name: counts_of(arm, args.device) for name, arm in arms.items()}
    return {
        name: dict(
            s=round(rows[name]['step'] / 1e3, 3),
            gib=round(max(peaks[name][f'mib_{phase}'] for phase in PHASES) / 1024, 3),
        )
        for name in ARMS
    }


def draw(found: dict[str, list[dict]], path: Path) -> None:
    """Draw one column for each axis: seconds above, GiB below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout='constrained')
    panels = figure.subplots(2, len(found), sharex='col', sharey='row')
    for column, (axis, points) in enumerate(found.items()):
        for row, (unit, name) in enumerate((('s', 'seconds a step'), ('gib', 'live memory, GiB'))):
            panel = panels[row][column]
            for arm, colour, label in (('mmdet', '#D55E00', 'MMDetection'), ('ours', '#0072B2', 'ours')):
                panel.plot([p['at'] for p in points], [p[arm][unit] for p in points], 'o-', color=colour, label=label)
            panel.set_ylim(bottom=0)
            panel.grid(alpha=0.3)
            if column == 0:
                panel.set_ylabel(name)
        panels[1][column].set_xlabel(LABELS[axis])
    panels[0][0].legend(frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=90, format='png')


if __name__ == '__main__':
    main()

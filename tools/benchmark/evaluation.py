"""What do COCO's mask figures cost? MMDetection's CocoMetric and FasterCocoMetric beside ours, predictions to figures.

    python tools/benchmark/evaluation.py            # 500 images, 15,000 objects, 50,000 detections: three minutes
    python tools/benchmark/evaluation.py --quick    # 60 images, once: under a minute

Images of 1024 px with 30 trunks each (60-450 px long, 6-26 px wide, slightly bent) as polygons, and 100 detections as
RLE: 70 copies of trunks, ever worse, and 30 trunks that are nowhere; one class, no threshold on scores. Every arm takes
the same predictions through `process` and `evaluate` of its metric, with COCO's limits of 1, 10 and 100 detections.
MMDetection's metrics write files and read them again; ours finds F1, precision, recall and their threshold as well.

Each arm is a process of its own on one core with the same allocator settings; medians of three, which take turns. CPU
seconds of all its threads, elapsed seconds, MB by which its memory grew at most, and its peak. Not in the seconds:
imports, and reading the annotation file. The 12 figures are compared before they are rounded.

The last line is one line of JSON: `vs_pycocotools` and `vs_faster` are how often the CPU seconds of ours fit into
theirs; `max_abs_difference` is that of our 12 figures from those of pycocotools.
"""

import argparse
import contextlib
import importlib
import io
import json
import os
import pickle
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pycocotools import mask as pycoco

from data_prep.atomic import atomic_write

SIDE, TRUTHS, COPIES, STRAYS = 1024, 30, 70, 30
JITTER = np.array([3, 3, 25, 2, 0.02, 0])  # sd of x, y, length, width in px, angle in rad, bend
ARMS = {
    'pycocotools': ('mmdet.evaluation.metrics.coco_metric', 'CocoMetric', 'COCOeval'),
    'faster': ('mmdet.evaluation.metrics.faster_coco_metric', 'FasterCocoMetric', 'COCOeval_faster'),
    'ours': ('fallen_trees.scoring.coco_f1_metric', 'CocoF1Metric', None),
}
MEASURES = ('cpu_s', 'wall_s', 'mb', 'peak_mb')
KEEP = dict.fromkeys(('MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_'), str(2**34))


def main() -> None:
    """Measure all arms and print a table, then one line of JSON; with --arm be one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='60 images, once')
    parser.add_argument('--images', type=int, help='instead of 500')
    parser.add_argument('--arm', nargs=2, metavar=('ARM', 'FOLDER'), help='measure this one only')
    args = parser.parse_args()
    if args.arm:
        print(json.dumps(measure(args.arm[0], Path(args.arm[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_workload(Path(folder), args.images or (60 if args.quick else 500))
        found = {arm: [] for arm in ARMS}
        for _ in range(1 if args.quick else 3):
            for arm in ARMS:
                found[arm].append(in_process(arm, folder))
    rows = {arm: medians(runs) for arm, runs in found.items()}
    for arm, row in rows.items():
        print(f'{arm:12}' + ''.join(f'  {key} {row[key]:8.2f}' for key in MEASURES))
        print(' ' * 14 + ' '.join(f'{value:.6f}' for value in row['figures']))
    print(json.dumps(compared(rows) | dict(rows=rows)))


def medians(runs: list[dict]) -> dict:
    """Of a few runs of an arm, whose figures must be the same each time."""
    if any(run['figures'] != runs[0]['figures'] for run in runs):
        raise SystemExit('evaluation: an arm gave other figures the second time.')
    return runs[0] | {key: statistics.median(run[key] for run in runs) for key in MEASURES}


def compared(rows: dict[str, dict]) -> dict[str, float]:
    """Ratios of CPU seconds, and how far figures are apart."""
    ours, stock = rows['ours'], rows['pycocotools']
    return dict(
        vs_pycocotools=round(stock['cpu_s'] / ours['cpu_s'], 2),
        vs_faster=round(rows['faster']['cpu_s'] / ours['cpu_s'], 2),
        max_abs_difference=max(abs(a - b) for a, b in zip(ours['figures'], stock['figures'], strict=True)),
        max_abs_difference_of_faster=max(
            abs(a - b) for a, b in zip(rows['faster']['figures'], stock['figures'], strict=True)
        ),
    )


def in_process(*arm: str) -> dict:
    """Measure an arm in a process of its own."""
    command = [sys.executable, __file__, '--arm', *arm]
    done = subprocess.run(command, env={**os.environ, **KEEP, 'OMP_NUM_THREADS': '1'}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f'evaluation: {arm[0]} failed: {done.stderr.strip()[-500:]}')
    return json.loads(done.stdout.splitlines()[-1])


def measure(arm: str, folder: Path) -> dict:
    """Seconds, memory and figures of one arm."""
    os.sched_setaffinity(
        0, {max(os.sched_getaffinity(0))}
    )  # faster-coco-eval takes as many threads as it may have cores
    module, name, evaluator = ARMS[arm]
    module, stats = importlib.import_module(module), []
    if evaluator:

        class Kept(getattr(module, evaluator)):
            """Keeps the figures before MMDetection rounds them."""

            def summarize(self) -> None:
                super().summarize()
                stats[:] = self.stats[:12]

        setattr(module, evaluator, Kept)
    with contextlib.redirect_stdout(io.StringIO()):
        metric = getattr(module, name)(ann_file=str(folder / 'truth.json'), metric='segm', proposal_nums=(1, 10, 100))
        metric.dataset_meta = dict(classes=('fallen_tree',))
        samples = load_samples(folder)
        os.write(os.open('/proc/self/clear_refs', os.O_WRONLY), b'5')  # forgets the peak
        before, cpu, wall = status_mb('VmRSS'), time.process_time(), time.perf_counter()
        for sample in samples:
            metric.process({}, [sample])
        named = metric.evaluate(len(samples))
        found = dict(cpu_s=time.process_time() - cpu, wall_s=time.perf_counter() - wall)
    stats = stats or metric.figures['segm'].stats().tolist()
    peak = status_mb('VmHWM')
    return found | dict(mb=peak - before, peak_mb=peak, figures=[float(value) for value in stats], named=named)


def status_mb(name: str) -> float:
    """A figure of this process from Linux."""
    return int(re.search(rf'{name}:\s+(\d+)', Path('/proc/self/status').read_text())[1]) / 1024


def load_samples(folder: Path) -> list[dict]:
    """Predictions as a model hands them to a metric."""
    import torch

    return [
        dict(
            img_id=number,
            ori_shape=(SIDE, SIDE),
            pred_instances=dict(
                masks=masks,
                scores=torch.from_numpy(scores),
                labels=torch.zeros(len(scores), dtype=torch.long),
                bboxes=torch.from_numpy(boxes),
            ),
        )
        for number, (masks, scores, boxes) in enumerate(pickle.loads((folder / 'found.pkl').read_bytes()), 1)
    ]


def write_workload(folder: Path, images: int) -> None:
    """Write the truth, and the detections of each image: RLEs, scores, boxes x0, y0, x1, y1; the same each time."""
    rng, annotations, found = np.random.default_rng(0), [], []
    for image in range(1, images + 1):
        trunks = draw_trunks(rng, TRUTHS)
        spread = JITTER * (1 + np.arange(COPIES)[:, None] / 50)
        copies = trunks[np.arange(COPIES) % TRUTHS] + rng.normal(size=(COPIES, 6)) * spread
        copies[:, 2:4] = copies[:, 2:4].clip(2)
        masks = [draw(trunk)[1] for trunk in (*copies, *draw_trunks(rng, STRAYS))]
        scores = np.concatenate([rng.beta(5, 2, COPIES), rng.beta(2, 5, STRAYS)]).astype(np.float32)
        boxes = pycoco.toBbox(masks).astype(np.float32)
        boxes[:, 2:] += boxes[:, :2]
        found.append((masks, scores, boxes))
        for trunk in trunks:
            ring, mask = draw(trunk)
            shape = dict(segmentation=[ring], area=float(pycoco.area(mask)), bbox=pycoco.toBbox(mask).tolist())
            annotations.append(dict(id=len(annotations) + 1, image_id=image, category_id=1, iscrowd=0, **shape))
    records = [dict(id=n, file_name=f'{n}.png', width=SIDE, height=SIDE) for n in range(1, images + 1)]
    classes = [dict(id=1, name='fallen_tree')]
    with atomic_write(folder / 'truth.json') as file:
        json.dump(dict(images=records, annotations=annotations, categories=classes), file)
    with atomic_write(folder / 'found.pkl', 'wb') as file:
        pickle.dump(found, file)


def draw_trunks(rng: np.random.Generator, count: int) -> np.ndarray:
    """Centre x and y, length, width in px, angle in rad and bend of each, (count, 6)."""
    lows, highs = (0, 0, 60, 6, 0, -0.1), (SIDE, SIDE, 450, 26, np.pi, 0.1)
    return rng.uniform(lows, highs, (count, 6))


def draw(trunk: np.ndarray) -> tuple[list[float], dict]:
    """Outline of 32 points within the image, x and y in turn, and its RLE."""
    x, y, length, width, angle, bend = trunk
    along = np.linspace(-0.5, 0.5, 16)
    middle = bend * length * (0.25 - along**2)
    upper, lower = ((along * length, middle + side * width / 2) for side in (1, -1))
    points = np.concatenate([np.stack(upper, 1), np.stack(lower, 1)[::-1]])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    ring = (points @ turn + (x, y)).clip(0, SIDE).round(2).ravel().tolist()
    return ring, pycoco.frPyObjects([ring], SIDE, SIDE)[0]


if __name__ == '__main__':
    main()

"""What a smoke test leaves behind: curves, pictures, numbers."""

import json
from pathlib import Path

import matplotlib
import mmcv
from mmdet.structures import DetDataSample
from mmengine.visualization import Visualizer

from data_prep.atomic import atomic_path, atomic_write
from fallen_trees.checks.smoke_test.verdict import GOAL, Outcome

SCORE = 0.3  # detections drawn from here on


def write_report(outcome: Outcome, losses: list[float], out: Path) -> None:
    """Write `smoke.json` and `curves.png` to a folder."""
    with atomic_write(out / 'smoke.json') as file:
        json.dump(outcome.as_dict(), file, indent=1)
    with atomic_path(out / 'curves.png') as temporary:
        _draw_curves(outcome, losses, temporary)


def _draw_curves(outcome: Outcome, losses: list[float], path: Path) -> None:
    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout='constrained')
    left.plot(range(1, len(losses) + 1), losses, color='0.75', linewidth=0.8, label='each iteration')
    iterations = [point.iteration for point in outcome.curve]
    left.plot(iterations, [point.loss for point in outcome.curve], 'o-', markersize=3, label='mean since the last')
    left.set(xlabel='iteration', ylabel='loss', ylim=(0, None))
    left.legend(frameon=False)
    right.plot(iterations, [point.ap50 for point in outcome.curve], 'o-', markersize=3)
    right.axhline(GOAL, color='0.4', linestyle='--', linewidth=1)
    right.text(0.01, GOAL + 0.01, f'goal {GOAL}', transform=right.get_yaxis_transform())
    right.set(xlabel='iteration', ylabel='segm AP50 on its own tiles', ylim=(0, 1.02))
    figure.suptitle(f'{outcome.answer}: {len(outcome.tiles.names)} tiles, {sum(outcome.tiles.objects)} objects')
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def keep_for_pictures(sample: DetDataSample) -> DetDataSample:
    """Keep of a prediction what will be drawn, out of the GPU's memory."""
    found = sample.pred_instances
    sample = sample.clone()
    sample.pred_instances = found[found.scores >= SCORE].cpu()
    return sample.cpu()


def draw_pictures(samples: list[DetDataSample], visualizer: Visualizer, folder: Path) -> None:
    """Draw truth beside prediction, one PNG for each tile."""
    folder.mkdir(parents=True, exist_ok=True)
    for sample in samples:
        image = mmcv.imread(sample.img_path, channel_order='rgb', backend_args=dict(backend='pack'))  # or a file
        with atomic_path(folder / f'{Path(sample.img_path).stem}.png') as temporary:
            visualizer.add_datasample('smoke', image, sample, out_file=str(temporary), pred_score_thr=SCORE)

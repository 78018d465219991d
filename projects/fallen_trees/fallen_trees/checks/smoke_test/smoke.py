"""The smoke test: can this recipe learn ten tiles by heart? One that cannot will learn nothing from a thousand.

Model, losses, optimiser and start weights are the config's own. Only the data are few and always the same, and the
learning rate stays where its warm-up leads.
"""

import io
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from statistics import fmean

import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner

from fallen_trees.annotations.classes import read_coco
from fallen_trees.checks.smoke_test.config import rules_of, smoke_config
from fallen_trees.checks.smoke_test.report import draw_pictures, keep_for_pictures, write_report
from fallen_trees.checks.smoke_test.tiles import Tiles, pick, write_tiles
from fallen_trees.checks.smoke_test.verdict import MIN_UPDATES, Answer, Outcome, Point, conclude
from fallen_trees.config_nodes import datasets_in
from fallen_trees.errors import ConfigError, DeadRun

SHARES = (1.0, 0.5, 0.25, 0.125)  # of a tile's sides, largest first
# px of the network. Smaller crops may be all object, which is learnt at once and proves nothing; and a step is timed at
# the smallest crop first, as one at 1024 may take minutes and all memory.
SMALLEST_CROP = 256
FIRST_EVALUATION, GROWTH = 20, 1.3  # updates


class SmokeHook(Hook):
    """Evaluate now and then, and stop when the answer is known or time is up.

    Args:
        minutes: For training and evaluation.
        tiles: What is trained on.
        num_queries: Of the model, None for one without.
        say: Gets a line for each evaluation.
    """

    priority = 'LOWEST'

    def __init__(self, minutes: float, tiles: Tiles, num_queries: int | None, say: Callable[[str], None]) -> None:
        self.minutes, self.tiles, self.num_queries, self.say = minutes, tiles, num_queries, say
        self.losses: list[float] = []
        self.curve: list[Point] = []
        self.samples: list[DetDataSample] = []
        self.answer: tuple[Answer, str] | None = None
        self._next = FIRST_EVALUATION

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Evaluate when it is due; stop with an answer."""
        self.losses.append(float(outputs['loss'].detach()))
        updates = (runner.iter + 1) // getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        seconds = time.monotonic() - self._start
        time_is_up = seconds * (1 + 1 / (runner.iter + 1)) > 60 * self.minutes
        if updates < self._next and not time_is_up:
            return
        self._next = max(self._next + 1, round(updates * GROWTH))
        self._evaluate(runner, updates, seconds)
        start_loss = fmean(self.losses[: max(1, min(5, len(self.losses) // 4))])
        self.answer = conclude(self.curve, start_loss, self.tiles, self.num_queries, time_is_up)
        if self.answer is not None:
            runner.train_loop.stop_training = True

    def _evaluate(self, runner: Runner, updates: int, seconds: float) -> None:
        self.samples = []
        with redirect_stdout(io.StringIO()):  # tables of COCO's tools
            metrics = runner.val_loop.run()
        ap50 = next((value for key, value in metrics.items() if key.endswith('segm_mAP_50')), None)
        if ap50 is None:
            raise ConfigError(
                f'val_evaluator gives no segm_mAP_50, which the smoke test needs; it gives {list(metrics)}.'
            )
        last = self.curve[-1].iteration if self.curve else 0
        best = max((float(s.pred_instances.scores.max()) for s in self.samples if len(s.pred_instances)), default=0.0)
        point = Point(runner.iter + 1, updates, seconds, fmean(self.losses[last:]), max(0.0, ap50), best)
        self.curve.append(point)
        self.say(f'{seconds:5.0f} s  {updates:5} updates  loss {point.loss:8.3f}  segm AP50 {point.ap50:.3f}')

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        """Keep the predictions for the pictures."""
        self.samples += [keep_for_pictures(sample) for sample in outputs]


def smoke(
    cfg: Config, out: Path, number: int = 10, minutes: float = 10, seed: int = 0, say: Callable[[str], None] = print
) -> Outcome:
    """Let a recipe learn a few tiles by heart.

    Args:
        cfg: Derived for training, start weights settled.
        out: Folder for `smoke.json`, `curves.png`, `pictures/` and logs.
        number: Of tiles.
        minutes: For training and its evaluations.
        seed: Which tiles, and all else that is random.
        say: Gets lines for the user.

    Raises:
        ConfigError: If the config has no validation loader to take the fixed pipeline from, or no tile an object.
    """
    data = next(datasets_in(cfg.train_dataloader))
    coco = read_coco(Path(data.data_root, data.ann_file))
    rules, source = rules_of(cfg), Path(data.data_root, data.data_prefix.img)
    images = pick(coco, rules.classes, number, seed)
    folder = out / 'tiles'
    folder.mkdir(parents=True, exist_ok=True)

    def written(share: float) -> tuple[Config, list[str], Tiles]:
        tiles = write_tiles(coco, images, source, folder, rules, share, seed)
        return (*smoke_config(cfg, tiles, share, seed, out), tiles)

    share = _share_that_fits(written, max(rules.scale_wh), minutes, cfg, say)
    new, changed, tiles = written(share)
    for line in changed:
        say(f'  {line}')
    queries = (cfg.model.get('panoptic_head') or {}).get('num_queries')
    hook = SmokeHook(minutes, tiles, queries, say)
    runner = Runner.from_cfg(new)
    runner.register_hook(hook)
    try:
        runner.train()
    except DeadRun as error:
        hook.answer = Answer.DOES_NOT_LEARN, str(error).removeprefix('guard: ')
    outcome = Outcome(*hook.answer, hook.curve, tiles, changed)
    write_report(outcome, hook.losses, out)
    draw_pictures(hook.samples, runner.visualizer, out / 'pictures')
    return outcome


def _share_that_fits(
    written: Callable[[float], tuple[Config, list[str], Tiles]], side: int, minutes: float, cfg: Config, say: Callable
) -> float:
    """The largest share of the tiles' sides at which the time is enough for a verdict."""
    shares = [share for share in SHARES if share == 1 or (_can_crop(cfg) and share * side >= SMALLEST_CROP)]
    probed = shares[-1]
    seconds = _seconds_per_update(written(probed)[0])
    for share in shares:
        expected = seconds * (share / probed) ** 2
        if expected * MIN_UPDATES <= 0.8 * 60 * minutes or share == shares[-1]:
            say(f'about {expected:.1f} s an update at {round(share * side)} px a side')
            return share
    raise AssertionError('the last share always fits')


def _can_crop(cfg: Config) -> bool:
    steps = next(datasets_in(cfg.val_dataloader)).pipeline
    return any(step.type == 'LoadImageFromFile' for step in steps)


def _seconds_per_update(cfg: Config) -> float:
    """Time of the second pass forward and back, times how many of them make an update."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).to(get_device()).train()
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    samples = [dataset[index] for index in range(min(len(dataset), cfg.train_dataloader.batch_size))]
    for _ in range(2):
        start = time.monotonic()
        data = model.data_preprocessor(pseudo_collate(samples), True)
        loss, _ = model.parse_losses(model(**data, mode='loss'))
        loss.backward()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return (time.monotonic() - start) * cfg.optim_wrapper.get('accumulative_counts', 1)

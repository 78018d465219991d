"""Score a checkpoint on the test split, for `tools/test.py` and for Python."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from data_prep.atomic import atomic_write
from fallen_trees.cpu import join_gloo_group, keep_freed_memory
from fallen_trees.derive.config import derive
from fallen_trees.launch import build_runner
from fallen_trees.resume.completeness import averages
from fallen_trees.scoring.coco_f1_metric import use_chosen_threshold
from fallen_trees.start_weights import read_checkpoint, require_fit

METRICS = 'metrics.json'


def score(
    cfg: Config,
    path: str | Path,
    *,
    change: Callable[[Config], Config] = lambda cfg: cfg,
    on_runner: Callable[[Runner], None] = lambda runner: None,
    notes: Sequence[str | None] = (),
) -> dict[str, float]:
    """Test a checkpoint and write `metrics.json` in the work dir.

    Args:
        cfg: Of `launch.load_config` or `launch.config_of`; filled in, in place.
        path: Of the checkpoint. Its classes are the run's, and so is its score threshold, unless the config states one.
        change: Applied to the filled-in config.
        on_runner: Applied to the runner before it tests.
        notes: Lines for the log.

    Returns:
        COCO's figures and those at the score threshold.

    Raises:
        ConfigError: If checkpoint, config and data do not belong together.
    """
    notes = [*notes, keep_freed_memory()]
    checkpoint = read_checkpoint(path)
    notes += derive(cfg, ('test',), checkpoint['meta'].get('dataset_meta', {}).get('classes'))
    notes.append(use_chosen_threshold(cfg, checkpoint))
    cfg.load_from, cfg.resume = str(path), False
    cfg = change(cfg)
    _without_averaging(cfg)
    _keep_config(cfg)
    notes.append(join_gloo_group(cfg))
    runner = build_runner(cfg, notes)
    require_fit(runner.model, checkpoint, path)
    on_runner(runner)
    metrics = runner.test()
    if is_main_process():
        with atomic_write(Path(cfg.work_dir, METRICS)) as file:
            json.dump(metrics, file, indent=1)
    return metrics


def _without_averaging(cfg: Config) -> None:
    """Score the weights as they stand in the checkpoint: a run that averages has saved the averages there."""
    cfg.custom_hooks = [hook for hook in cfg.get('custom_hooks') or [] if not averages(hook)]


def _keep_config(cfg: Config) -> None:
    """Have the runner write this config beside that of the training run, not over it."""
    if cfg.filename:
        file = Path(cfg.filename)
        super(Config, cfg).__setattr__('_filename', str(file.with_name(f'test_{file.name}')))

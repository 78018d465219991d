"""The config of a smoke test: the run that a config describes, on a few tiles, without chance, at one learning rate."""

import copy
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, ConfigDict

from fallen_trees.checks.guard.validation_loss import with_truth_first
from fallen_trees.checks.smoke_test.tiles import Rules, Tiles
from fallen_trees.config_nodes import datasets_in, dicts_in
from fallen_trees.errors import ConfigError

WARMUP_UPDATES = 20
ENDLESS = 10**8  # iterations; the clock ends a smoke test
LOOK_UPDATES = 5


def rules_of(cfg: Config) -> Rules:
    """Read from a derived config what a tile and an object are to its network.

    Raises:
        ConfigError: If there is no validation pipeline to take the tiles' size from.
    """
    scales = [step.scale for step in _steps(cfg.get('val_dataloader')) if step.get('scale') is not None]
    if not scales:
        raise ConfigError(
            'a smoke test feeds tiles as validation does, and val_dataloader has no pipeline with a Resize to a scale.'
        )
    filters = [
        step for step in _steps(cfg.train_dataloader) if step.type == 'FilterAnnotations' and step.get('by_mask')
    ]
    scale = scales[0] if isinstance(scales[0], list | tuple) else (scales[0], scales[0])
    head = cfg.model.get('panoptic_head') or {}
    min_area = max([1.0, *(step.get('min_gt_mask_area', 1) for step in filters)])
    return Rules(tuple(cfg.metainfo.classes), tuple(scale), min_area, (head.get('strides') or [4])[0])


def _steps(loader: ConfigDict | None) -> Iterator[ConfigDict]:
    for dataset in dicts_in(loader):
        yield from dataset.get('pipeline', []) if isinstance(dataset.get('pipeline'), list | tuple) else ()


def smoke_config(cfg: Config, tiles: Tiles, share: float, seed: int, work_dir: Path) -> tuple[Config, list[str]]:
    """Turn a derived config into that of its smoke test; model, losses, optimiser and start stay.

    Args:
        cfg: Derived for training.
        tiles: To learn by heart.
        share: Of each side of a tile that is left; the network's size shrinks with it, the scale stays.
        seed: Of the order of tiles and all else that is random.
        work_dir: For logs.

    Returns:
        The config, and lines that say what differs from the given one.
    """
    new = copy.deepcopy(cfg)
    val = next(datasets_in(cfg.val_dataloader))
    pipeline = _scaled(val.pipeline, share)
    batch_size = min(cfg.train_dataloader.get('batch_size', 1), len(tiles.names))
    new.train_dataloader = _loader(_dataset(val, tiles, with_truth_first(pipeline)), batch_size)
    new.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True, seed=seed)
    new.train_dataloader.dataset.test_mode = False
    new.val_dataloader = _loader(_dataset(val, tiles, pipeline), cfg.val_dataloader.get('batch_size', 1))
    new.val_dataloader.sampler = dict(type='DefaultSampler', shuffle=False)
    for evaluator in dicts_in(new.val_evaluator):
        if 'ann_file' in evaluator:
            evaluator.ann_file = str(tiles.ann_file)
    new.train_cfg = dict(type='IterBasedTrainLoop', max_iters=ENDLESS, val_interval=ENDLESS)
    warmup = _set_schedule(new)
    accumulative_counts = cfg.optim_wrapper.get('accumulative_counts', 1)
    patience = dict(looks=4, updates=40, settled=ENDLESS, samples=10 * len(tiles.names))
    guard = dict(type='GuardHook', interval=LOOK_UPDATES * accumulative_counts, val_batches=0, patience=patience)
    dropped = [
        hook['type']
        for hook in cfg.get('custom_hooks') or []
        if hook['type'] not in ('GuardHook', 'InterruptHook', 'IterationSeedHook')
    ]
    new.custom_hooks = [guard]
    new.visualizer.name = f'smoke in {work_dir}'  # of its own: MMEngine hands out visualizers by name
    new.default_hooks.checkpoint = None  # MMEngine's own default would save
    new.default_hooks.pop('visualization', None)
    new.test_dataloader = new.test_cfg = new.test_evaluator = None
    new.auto_scale_lr = dict(enable=False, base_batch_size=1)
    new.update(resume=False, launcher='none', log_level='WARNING', randomness=dict(seed=seed), work_dir=str(work_dir))
    return new, _changes(cfg, new, tiles, share, warmup, dropped)


def _loader(dataset: ConfigDict, batch_size: int) -> ConfigDict:
    return ConfigDict(batch_size=batch_size, num_workers=0, persistent_workers=False, dataset=dataset)


def _dataset(node: ConfigDict, tiles: Tiles, pipeline: list[dict]) -> ConfigDict:
    new = copy.deepcopy(node)
    new.update(data_root='', ann_file=str(tiles.ann_file.resolve()), pipeline=pipeline)
    new.data_prefix = ConfigDict(img=f'{tiles.folder.resolve()}/')
    for key in ('indices', 'filter_cfg'):
        new.pop(key, None)
    return new


def _scaled(pipeline: list[dict], share: float) -> list[dict]:
    steps = copy.deepcopy(list(pipeline))
    for step in steps:
        if step.get('scale') is not None:
            scale = step.scale if isinstance(step.scale, list | tuple) else (step.scale, step.scale)
            step.scale = tuple(max(1, round(side * share)) for side in scale)
    return steps


def _set_schedule(cfg: Config) -> int:
    """One short warm-up and then the optimiser's own rate; returns the warm-up's updates."""
    accumulative_counts = cfg.optim_wrapper.get('accumulative_counts', 1)
    starts = [s for s in cfg.get('param_scheduler') or [] if s.type == 'LinearLR' and s.get('begin', 0) == 0]
    updates = min([WARMUP_UPDATES, *(s.end // accumulative_counts for s in starts if s.get('end'))]) if starts else 0
    # MMEngine's LinearLR reaches its end one step early, and never when it has only one.
    end = updates * accumulative_counts + 1
    cfg.param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=end)] if updates else []
    return updates


def _changes(cfg: Config, new: Config, tiles: Tiles, share: float, warmup: int, dropped: list[str]) -> list[str]:
    batch, old = new.train_dataloader.batch_size, cfg.train_dataloader.get('batch_size', 1)
    lines = [
        f'data: {len(tiles.names)} training tiles with {sum(tiles.objects)} objects; {tiles.left_out} smaller ones, '
        "below the config's own filter, count for nothing",
        "pipeline: that of validation, the same every time; the config's augmentation is off",
        f'learning rate: up to its base within {warmup} updates, then constant',
    ]
    if share < 1:
        lines.append(f'tiles: cropped to {share:g} of their sides at the same scale, to fit the time')
    if batch != old:
        lines.append(f'batch: {batch} instead of {old}, as there are no more tiles')
    if dropped:
        lines.append(f'hooks left out: {", ".join(dropped)}')
    return [*lines, 'model, losses, optimiser, clipping, start weights: as in the config']

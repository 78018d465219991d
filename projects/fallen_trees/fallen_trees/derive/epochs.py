"""Lengths that a config states in epochs, turned into the iterations that its loop counts.

    epochs = 50               -> train_cfg.max_iters
    validation_epochs = 5     -> train_cfg.val_interval
    checkpoint_epochs = 1     -> default_hooks.checkpoint.interval

Only where these are None. An epoch is the number of images by those of a step, over all processes, rounded up to whole
updates. Loops stay iteration-based, so that warm-up, steps down and resumption are those of every other run here.
"""

import math

from mmengine.config import Config
from mmengine.dist import get_world_size

from fallen_trees.errors import ConfigError


def fill_in_epochs(cfg: Config, num_images: int) -> list[str]:
    """Fill in, in place, what follows from epochs.

    Args:
        cfg: Its `train_dataloader.batch_size` counts for one process.
        num_images: In the training set.

    Returns:
        Lines for the log.

    Raises:
        ConfigError: If a number of epochs is missing or not above 0.
    """
    accumulation = cfg.optim_wrapper.get('accumulative_counts', 1)
    images = cfg.train_dataloader.batch_size * get_world_size() * accumulation
    epoch = math.ceil(num_images / images) * accumulation
    places = (
        (cfg.train_cfg, 'max_iters', 'epochs'),
        (cfg.train_cfg, 'val_interval', 'validation_epochs'),
        ((cfg.get('default_hooks') or {}).get('checkpoint') or {}, 'interval', 'checkpoint_epochs'),
    )
    changed = False
    for node, key, epochs in places:
        if node.get(key, 0) is None:
            node[key], changed = max(1, round(_number(cfg, epochs, key) * epoch)), True
    if not changed:
        return []
    each = f'batch {cfg.train_dataloader.batch_size}' + (f' x {get_world_size()} processes' * (get_world_size() > 1))
    return [f'An epoch of {num_images} images is {epoch} iterations ({each}); the run is {cfg.train_cfg.max_iters}.']


def _number(cfg: Config, epochs: str, key: str) -> float:
    number = cfg.get(epochs)
    if not isinstance(number, int | float) or number <= 0:
        raise ConfigError(f'{epochs} must be a number above 0, as {key} follows from it; got {number!r}.')
    return number

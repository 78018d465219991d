"""The learning rate at every iteration, from the run's own schedulers instead of from what their settings promise."""

import copy

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import PARAM_SCHEDULERS
from numpy.typing import NDArray

from fallen_trees.checks.recipe.run_length import RunLength


def scheduler_nodes(cfg: Config) -> list[ConfigDict]:
    """Schedulers of a config that change the learning rate."""
    nodes = cfg.get('param_scheduler') or []
    nodes = [nodes] if isinstance(nodes, dict) else nodes
    return [node for node in nodes if not node.type.endswith(('Momentum', 'Betas')) and 'Plateau' not in node.type]


def lr_curve(cfg: Config, length: RunLength) -> NDArray[np.float64]:
    """Step a config's schedulers through a whole run, as MMEngine's loop and hook step them.

    Those that count iterations move after each; those that count epochs move after each epoch, and the loop over
    iterations knows no epoch, so there they never move.

    Returns:
        (iterations,): the learning rate of a weight without a multiplier.
    """
    base = cfg.optim_wrapper.optimizer.lr
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    by_iteration, by_turn = [], []
    for node in scheduler_nodes(cfg):
        by_epoch = node.get('by_epoch', True)
        settings = dict(copy.deepcopy(node))
        settings.setdefault('end', cfg.train_cfg.get('max_epochs', 1) if by_epoch else length.iterations)
        default_args = dict(optimizer=optimiser, epoch_length=length.epoch_iterations)
        scheduler = PARAM_SCHEDULERS.build(settings, default_args=default_args)
        (by_turn if scheduler.by_epoch else by_iteration).append(scheduler)
    optimiser.step()
    curve = np.empty(length.iterations)
    for iteration in range(length.iterations):
        curve[iteration] = optimiser.param_groups[0]['lr']
        ends_epoch = length.by_epoch and (iteration + 1) % length.epoch_iterations == 0
        for scheduler in by_iteration + (by_turn if ends_epoch else []):
            scheduler.step()
    return curve

"""What a checkpoint must hold for a run to go on from it; MMEngine goes on without, and says nothing."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from fallen_trees.errors import ConfigError

HUB = ('log_scalars', 'runtime_info', 'resumed_keys')
# State of common optimisers that has the shape of its weight.
LIKE_WEIGHT = ('exp_avg', 'exp_avg_sq', 'max_exp_avg_sq', 'momentum_buffer')


def require_whole(checkpoint: Mapping, path: str | Path, cfg: Config) -> None:
    """Refuse a checkpoint that lacks a part of the run's state.

    Args:
        checkpoint: As `read_checkpoint` returns it.
        path: Of it.
        cfg: Of the run that is to go on.

    Raises:
        ConfigError: Naming what is missing.
    """
    missing = list(_missing(checkpoint, cfg))
    if missing:
        raise ConfigError(
            f'{path} cannot be resumed: it holds no {", no ".join(missing)}. A best_*.pth or a published file holds '
            f'weights alone: start a new run from them with --cfg-options load_from={path}.'
        )
    if 'ema_state_dict' in checkpoint and not _averaged(cfg):
        raise ConfigError(
            f'{path} cannot be resumed: its run averaged weights and this one does not; put the EMAHook back into '
            'custom_hooks.'
        )


def _missing(checkpoint: Mapping, cfg: Config) -> Iterator[str]:
    for name in ('iter', 'epoch'):
        number = checkpoint['meta'].get(name)
        if type(number) is not int or number < 0:
            yield f'count of its {name}s (meta.{name})'
    if not isinstance(checkpoint.get('optimizer'), Mapping):
        yield 'state of the optimizer'
    if cfg.get('param_scheduler') and not isinstance(checkpoint.get('param_schedulers'), Mapping | Sequence):
        yield 'state of the learning-rate schedule (param_schedulers)'
    hub = checkpoint.get('message_hub')
    if not isinstance(hub, Mapping) or not all(isinstance(hub.get(part), Mapping) for part in HUB):
        yield 'log history and best score (message_hub)'
    if _averaged(cfg) and not isinstance(checkpoint.get('ema_state_dict'), Mapping):
        yield 'averaged weights (ema_state_dict)'


def _averaged(cfg: Config) -> bool:
    return any(map(averages, cfg.get('custom_hooks') or ()))


def averages(hook: Mapping) -> bool:
    """Whether the hook of a config averages the weights; checkpoints then hold the averages as the model's."""
    return str(hook.get('type', '')).endswith('EMAHook')


class RequireFittingState(Hook):
    """Hold a checkpoint's optimiser and schedules against the run's before MMEngine loads what fits by number.

    Args:
        path: Of the checkpoint.
    """

    priority = 'VERY_HIGH'

    def __init__(self, path: str | Path) -> None:
        self.path = path

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare; raises ConfigError."""
        if not runner._resume:
            return
        single = isinstance(runner.optim_wrapper, OptimWrapper)
        saved = checkpoint['optimizer']
        for name, wrapper in [('', runner.optim_wrapper)] if single else list(runner.optim_wrapper.items()):
            self._refuse(optimizer_misfit(wrapper.optimizer, saved if single else saved.get(name)))
        self._refuse(schedule_misfit(runner.param_schedulers, checkpoint.get('param_schedulers')))

    def _refuse(self, misfit: str | None) -> None:
        if misfit is not None:
            raise ConfigError(f'{self.path} cannot be resumed: {misfit}; start a new run from it with load_from.')


def optimizer_misfit(optimizer: torch.optim.Optimizer, saved: object) -> str | None:
    """Say why a saved state is not one of this optimiser; None if it is."""
    if not isinstance(saved, Mapping) or not isinstance(saved.get('state'), Mapping):
        return 'its optimizer state is of another form'
    groups, old = optimizer.param_groups, saved.get('param_groups')
    counts = [len(group['params']) for group in groups]
    if not isinstance(old, Sequence) or [len(group.get('params', ())) for group in old] != counts:
        return f"its optimizer's groups of weights are not the {len(counts)} of this run's"
    if not set(groups[0]) - {'initial_lr'} <= set(old[0]):
        return f'it was saved by another optimizer than {type(optimizer).__name__}'
    weights = [weight for group in groups for weight in group['params']]
    numbers = [number for group in old for number in group['params']]
    state = saved['state']
    if not state and (groups[0].get('momentum') or 'betas' in groups[0]):
        return 'its optimizer state is empty'
    for weight, number in zip(weights, numbers, strict=True):
        found = state.get(number, {})
        for name in LIKE_WEIGHT:
            shape = tuple(found[name].shape) if isinstance(found.get(name), torch.Tensor) else None
            if shape not in (None, tuple(weight.shape)):
                return f'its {name} number {number} is {shape}, the weight is {tuple(weight.shape)}'
    return None


def schedule_misfit(schedulers: object, saved: object) -> str | None:
    """Say why saved schedules are not this run's; None if they are."""
    now = schedulers if isinstance(schedulers, dict) else {'': schedulers or []}
    old = saved if isinstance(schedulers, dict) else {'': saved or []}
    for name, items in now.items():
        states = old.get(name, ()) if isinstance(old, Mapping) else ()
        if len(states) != len(items):
            return f'it holds {len(states)} learning-rate schedules, the run has {len(items)}'
        for item, state in zip(items, states, strict=True):
            if not isinstance(state, Mapping) or set(state) != set(item.state_dict()):
                return f'a learning-rate schedule in it is no {type(item).__name__}'
    return None

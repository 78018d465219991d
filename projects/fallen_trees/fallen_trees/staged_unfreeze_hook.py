"""Parts of a model that stand still for a while: a schedule of what is trained."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from fallen_trees.errors import ConfigError
from fallen_trees.resume.safe_checkpoint_hook import accumulated_steps


@HOOKS.register_module()
class StagedUnfreezeHook(Hook):
    """Freeze parts of the model, and let them go (or freeze others) at set points of the run.

        StagedUnfreezeHook(stages=[
            dict(begin=0, frozen=['backbone', 'panoptic_head.pixel_decoder']),
            dict(begin=0.3, frozen=['backbone']),
            dict(begin=0.6, frozen=[]),
        ])

    Frozen weights have no gradient, so that the optimiser passes over them, weight decay included; their modules are
    in evaluation mode, so that statistics of norms stay, too. What the config itself freezes (`frozen_stages`,
    `norm_cfg`) stays frozen in all stages. Which stage it is follows from the iteration alone: a resumed run needs
    nothing from its checkpoint. The optimiser holds all weights from the start; those that are let go begin with fresh
    moments, at the learning rate that their group has by then.

    On several processes DistributedDataParallel must look for weights without a gradient:
    `find_unused_parameters = True`, which the tools set for a config with this hook.

    Args:
        stages: Each with `begin`, an iteration (int) or a share of the run (float below 1), and `frozen`, names of
            modules as in `model.get_submodule`. The first begins at 0; begins rise. Where gradients are accumulated, a
            stage begins with the next update.

    Raises:
        ConfigError: If stages are none of these, name no module, or leave nothing to train.
    """

    # Before the guard looks at what is trained, and before anything of an iteration.
    priority = 'VERY_HIGH'

    def __init__(self, stages: Sequence[dict]) -> None:
        for stage in stages:
            if set(stage) != {'begin', 'frozen'} or isinstance(stage['frozen'], str):
                raise ConfigError(f'StagedUnfreezeHook: a stage is dict(begin=..., frozen=[...]); got {dict(stage)}.')
            if stage['begin'] < 0 or (isinstance(stage['begin'], float) and stage['begin'] >= 1):
                raise ConfigError(
                    f'StagedUnfreezeHook: begin is an iteration or a share below 1; got {stage["begin"]}; '
                    'write iterations without a decimal point.'
                )
        if not stages or stages[0]['begin'] != 0:
            raise ConfigError('StagedUnfreezeHook: the first stage must begin at 0.')
        self.stages = stages
        self._stage: int | None = None

    def before_train(self, runner: Runner) -> None:
        """Find the stage that the run is in, resumed or not, and freeze."""
        _require_search_for_unused(runner.model)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._trainable = {id(weight) for weight in model.parameters() if weight.requires_grad}
        self._begins = begins(self.stages, runner.max_iters, accumulated_steps(runner))
        self._stage = None
        self._follow(runner, model)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Enter the next stage when it is time; the loop has just set all modules to training."""
        self._follow(runner, runner.model.module if is_model_wrapper(runner.model) else runner.model)

    def _follow(self, runner: Runner, model: nn.Module) -> None:
        stage = bisect_right(self._begins, runner.iter) - 1
        if stage != self._stage:
            self._enter(runner, model, stage)
        for name in self.stages[stage]['frozen']:
            model.get_submodule(name).eval()

    def _enter(self, runner: Runner, model: nn.Module, stage: int) -> None:
        for weight in model.parameters():
            weight.requires_grad_(id(weight) in self._trainable)
        freeze(model, self.stages[stage]['frozen'])
        trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        total = sum(weight.numel() for weight in model.parameters())
        if not trained:
            raise ConfigError(f'StagedUnfreezeHook: stage {stage + 1} leaves nothing to train.')
        self._stage = stage
        runner.logger.info(
            f'Stage {stage + 1} of {len(self.stages)}, from iteration {self._begins[stage]}: {trained:,} of {total:,} '
            f'parameters are trained; frozen: {", ".join(self.stages[stage]["frozen"]) or "nothing more"}.'
        )


def begins(stages: Sequence[dict], max_iters: int, accumulated: int = 1) -> list[int]:
    """First iteration of each stage.

    Raises:
        ConfigError: If they do not rise.
    """
    exact = [s['begin'] * max_iters if isinstance(s['begin'], float) else s['begin'] for s in stages]
    # Between two updates gradients are None; a weight frozen with one would be stepped once more.
    found = [-(-round(begin) // accumulated) * accumulated for begin in exact]
    if any(later <= earlier for earlier, later in pairwise(found)):
        raise ConfigError(f'StagedUnfreezeHook: stages must begin one after the other; got iterations {found}.')
    return found


def freeze(model: nn.Module, names: Sequence[str]) -> None:
    """Take the gradient from all weights of modules, and set these to evaluation.

    Raises:
        ConfigError: If there is no module of a name.
    """
    known = dict(model.named_modules())
    for name in names:
        if not name or name not in known:
            raise ConfigError(
                f'StagedUnfreezeHook: the model has no part {name!r}; it has {", ".join(_near(known, name))}.'
            )
        known[name].requires_grad_(False).eval()


def _near(known: dict[str, nn.Module], name: str) -> Iterator[str]:
    """Parts beside the place where a name leaves the model."""
    parent = name.rpartition('.')[0]
    while parent and parent not in known:
        parent = parent.rpartition('.')[0]
    return (f'{parent}.{child}'.lstrip('.') for child, _ in known[parent].named_children())


def _require_search_for_unused(model: nn.Module) -> None:
    """DDP waits for the gradients of all weights that it saw when it was built, and a static graph never changes."""
    if getattr(model, 'static_graph', False):
        raise ConfigError('StagedUnfreezeHook: model_wrapper_cfg.static_graph=True and stages exclude each other.')
    if getattr(model, 'find_unused_parameters', True) is False:
        raise ConfigError(
            'StagedUnfreezeHook: several processes would wait for gradients of frozen weights; set '
            'find_unused_parameters = True in the config.'
        )

"""Whether a resumed run follows the learning-rate schedule that its config asks for."""

from collections import Counter
from collections.abc import Iterator

from mmengine.optim import _ParamScheduler
from mmengine.runner import Runner

from fallen_trees.checks.guard.rules import Remark

# What says where a scheduler acts; `convert_to_iter_based` counts these in other units, and is passed over.
PLACES = ('begin', 'end', 'milestones', 'T_max')


def resumed_schedule(runner: Runner) -> Iterator[Remark]:
    """Compare the schedulers of a resumed run with those of its config: rule `resumed-schedule`.

    MMEngine restores schedulers with their settings, and so follows the old schedule to the end: a run that is resumed
    to become longer or shorter falls too early, or never.
    """
    nodes, schedulers = runner.cfg.get('param_scheduler') or [], runner.param_schedulers
    nodes = [nodes] if isinstance(nodes, dict) else nodes
    if not isinstance(schedulers, list):  # several optimisers, each with its own
        return
    differ = []
    for node, scheduler in zip(nodes, schedulers, strict=False):
        for key in PLACES if not node.get('convert_to_iter_based') else ():
            wanted, found = node.get(key), _place(scheduler, key)
            if wanted is not None and found is not None and found != wanted:
                differ.append(f'{node.type}.{key} is {found}, the config asks for {wanted}')
    if differ:
        yield Remark(
            'resumed-schedule',
            f'the checkpoint brought its own learning-rate schedule: {"; ".join(differ)}. Resume with the config that '
            'the run began with, or start a new run from its weights (load_from instead of --resume).',
        )


def _place(scheduler: _ParamScheduler, key: str) -> int | list[int] | None:
    value = getattr(scheduler, key, None)
    return sorted(Counter(value).elements()) if key == 'milestones' and value is not None else value

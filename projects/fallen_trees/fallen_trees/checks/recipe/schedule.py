"""Whether the learning rate rises and falls inside the run, seen on the curve that the schedulers really make."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.recipe.lr_curve import lr_curve, scheduler_nodes
from fallen_trees.checks.recipe.run_length import RunLength, run_length
from fallen_trees.checks.subject import Subject

NEVER = 10**9  # what MMEngine writes for "no end"
LONGEST_WARMUP = 0.2  # of a run; published: 0 to 4 %
SMALL, LARGE = 0.05, 0.9  # of the configured rate


def lr_schedule(subject: Subject) -> Iterator[Finding]:
    """Check the fall of the learning rate (`lr-schedule`) and its rise (`warm-up`)."""
    length = run_length(subject)
    curve = lr_curve(subject.cfg, length)
    base = subject.cfg.optim_wrapper.optimizer.lr
    figures = dict(
        iterations=length.iterations,
        updates=length.updates,
        turns_through_data=round(length.turns, 1),
        lr_highest=float(curve.max()),
        lr_last=float(curve[-1]),
    )
    problems = list(_fall(subject, curve / base if base else curve, length))
    for verdict, message in problems:
        yield Finding('lr-schedule', verdict, message, figures)
    if not problems:
        message = (
            f'{length.updates} updates, {length.turns:.1f} times through the data; '
            f'from {curve.max():.3g} to {curve[-1]:.3g}.'
        )
        yield Finding('lr-schedule', Verdict.OK, message, figures)
    yield _warm_up(subject, length)


def _fall(subject: Subject, curve: NDArray[np.float64], length: RunLength) -> Iterator[tuple[Verdict, str]]:
    late = list(_beyond(subject, length))
    lost = float((curve[len(curve) // 10 :] < SMALL).mean())
    if late:
        message = (
            f'{late[0]}; leave milestones and ends None to have them follow train_cfg, or set them inside the run.'
        )
        yield Verdict.WARNING, message
    elif curve[-1] >= LARGE * curve.max() > 0 and not _waits_for_a_plateau(subject):
        message = (
            f'the learning rate never falls: it ends at {curve[-1] / curve.max():.0%} of its highest; add a '
            'MultiStepLR or CosineAnnealingLR that counts iterations (by_epoch=False) and ends with the run.'
        )
        yield Verdict.WARNING, message
    if lost > 0.5:
        message = (
            f'for {lost:.0%} of the run the learning rate is below {SMALL:.0%} of optimizer.lr; milestones or ends '
            'that mean epochs in a run that counts iterations?'
        )
        yield Verdict.ERROR, message


def _waits_for_a_plateau(subject: Subject) -> bool:
    """Whether the rate falls when a figure does not improve, which no curve can foretell."""
    nodes = subject.cfg.get('param_scheduler') or []
    return any('Plateau' in node.type for node in ([nodes] if isinstance(nodes, dict) else nodes))


def _beyond(subject: Subject, length: RunLength) -> Iterator[str]:
    """What a scheduler would do after the run, or itself, has ended, in words."""
    for node in scheduler_nodes(subject.cfg):
        last = _last(node, length)
        points = node.get('milestones') or ([node.T_max + node.get('begin', 0)] if node.get('T_max') else [])
        beyond = [point for point in points if point > last]
        if beyond:
            yield f'{node.type} waits for {beyond}, but the run ends at {last}'
        stop = node.get('end') or NEVER
        cut = [point for point in node.get('milestones') or [] if point >= stop]
        if cut and not beyond:
            yield f'{node.type} ends at {stop} and never reaches its milestones {cut}'


def _last(node: dict, length: RunLength) -> int:
    """End of the run in what a scheduler counts."""
    if node.get('by_epoch', True) and not node.get('convert_to_iter_based'):
        return length.iterations // length.epoch_iterations
    return length.iterations


def _warm_up(subject: Subject, length: RunLength) -> Finding:
    longest = 0.0
    for node in scheduler_nodes(subject.cfg):
        rises = node.type == 'LinearLR' and node.get('start_factor', 1 / 3) < node.get('end_factor', 1.0)
        if rises or (node.type == 'ConstantLR' and node.get('factor', 1 / 3) < 1):
            stop = min(node.get('end') or NEVER, _last(node, length))
            longest = max(longest, (stop - node.get('begin', 0)) / max(_last(node, length), 1))
    figures = dict(share=round(longest, 3), iterations=round(longest * length.iterations))
    if longest > LONGEST_WARMUP:
        return Finding(
            'warm-up',
            Verdict.WARNING,
            f'the learning rate warms up for {longest:.0%} of the run, more than a fifth; shorten lr_warmup_updates or '
            f'the end of LinearLR (it counts batches, {length.accumulation} for each update).',
            figures,
        )
    return Finding('warm-up', Verdict.OK, f'{longest:.1%} of the run.', figures)

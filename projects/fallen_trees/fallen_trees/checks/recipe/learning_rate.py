"""Whether optimiser, learning rate, clipping and batch can move the weights, and not throw them about.

Where the ranges come from. Adam's family: published Mask2Former recipes use 1e-4 at 16 tiles, fine-tunings 1e-5
(constant) to 2e-4, our own runs from nothing 4e-4 and 8e-4; 1e-3 was reported to end in NaN after 11,859 iterations.
Short runs stand more: ours of 800 updates at 1.2e-3 and, in the sweep of docs/results.md, of 600 at up to 2e-3.
Adam divides by the gradient's size, so the linear rule does not hold for it, the square root at most (Malladi et al.
2022, arXiv:2205.10287). SGD: 0.02 at 16 tiles is Mask R-CNN's recipe, and the linear rule holds (Goyal et al. 2017,
arXiv:1706.02677).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.recipe.model import build_model
from fallen_trees.checks.recipe.run_length import RunLength, run_length
from fallen_trees.checks.subject import Subject

NAME = 'learning-rate'
ADAM_LIKE = ('Adam', 'AdamW', 'NAdam', 'RAdam', 'Adamax')
REFERENCE_BATCH = 16
SHORT_RUN, SHORT_RUNS_GAIN = 3000, 1.5  # in updates; how much higher the rate may be
LITTLE_TRAVEL, LEAST_TRAVEL = 1.0, 0.1  # of the weights' own norm, along the way of a whole run


@dataclass(frozen=True)
class Healthy:
    """Learning rates at a batch; outside the outer pair nothing can come of a run."""

    low: float
    high: float
    too_low: float
    too_high: float


def healthy_range(kind: str, batch: int, updates: int) -> Healthy | None:
    """Learning rates that work; None for an optimiser without published figures for these models.

    Args:
        kind: Class of the optimiser.
        batch: Tiles per update.
        updates: Of the run.
    """
    share = batch / REFERENCE_BATCH
    if kind in ADAM_LIKE:
        low, high = 1e-5 * min(1.0, sqrt(share)), 1e-3 * max(1.0, sqrt(share))
        gain = SHORT_RUNS_GAIN if updates <= SHORT_RUN else 1.0
        return Healthy(low, high * gain, low / 10, high * 5)
    if kind == 'SGD':
        low, high = 1e-3 * min(1.0, share), 0.1 * max(1.0, share)
        return Healthy(low, high, low / 20, high * 10)
    return None


def learning_rate(subject: Subject) -> Iterator[Finding]:
    """Check that the weights can move: `learning-rate`."""
    cfg, length = subject.cfg, run_length(subject)
    optimiser = cfg.optim_wrapper.optimizer
    kind, lr = optimiser.type, optimiser.get('lr')
    if lr is None:
        yield Finding(NAME, Verdict.OK, f'{kind} with its own learning rate, which is not judged.')
        return
    scaling = cfg.get('auto_scale_lr') or {}
    if scaling.get('enable'):
        lr = lr * length.batch / scaling['base_batch_size']
    figures = dict(lr=lr, batch=length.batch, updates=length.updates)
    clip = (cfg.optim_wrapper.get('clip_grad') or {}).get('max_norm')
    problems = list(_clipped(subject, kind, lr, clip, length)) or list(_ranged(kind, lr, length))
    if kind == 'Adam' and optimiser.get('weight_decay', 0) >= 0.01:
        problems.append((Verdict.WARNING, f'Adam mixes weight_decay={optimiser.weight_decay} into its gradient and '
                         'so hardly decays; use AdamW.'))  # fmt: skip
    for verdict, message in problems:
        yield Finding(NAME, verdict, message, figures)
    if not problems:
        yield Finding(NAME, Verdict.OK, f'{kind} at {lr:g} with {length.batch} tiles per update.', figures)


def _clipped(
    subject: Subject, kind: str, lr: float, clip: float | None, length: RunLength
) -> Iterator[tuple[Verdict, str]]:
    """SGD's step is at most lr x clip / (1 - momentum) long, whatever the loss: does that lead anywhere?"""
    if kind != 'SGD' or clip is None:
        return
    momentum = subject.cfg.optim_wrapper.optimizer.get('momentum', 0)
    farthest = lr * clip / (1 - momentum) * length.updates
    weights = [weight for weight in build_model(subject.cfg).parameters() if weight.requires_grad]
    norm = sqrt(sum(float(weight.detach().square().sum()) for weight in weights))
    if farthest < LITTLE_TRAVEL * norm:
        yield (
            (Verdict.ERROR if farthest < LEAST_TRAVEL * norm else Verdict.WARNING),
            (
                f'SGD at {lr:g} with gradients clipped to {clip:g} moves the weights by at most {farthest / norm:.2%} '
                f'of their norm in {length.updates} updates: next to nothing is learnt; use AdamW at 1e-4, or drop '
                'clip_grad and take SGD at 0.02.'
            ),
        )


def _ranged(kind: str, lr: float, length: RunLength) -> Iterator[tuple[Verdict, str]]:
    healthy = healthy_range(kind, length.batch, length.updates)
    if healthy is None or healthy.low <= lr <= healthy.high:
        return
    verdict = Verdict.WARNING if healthy.too_low <= lr <= healthy.too_high else Verdict.ERROR
    side, effect = ('above', 'it may diverge') if lr > healthy.high else ('below', 'it will hardly learn')
    yield (
        verdict,
        (
            f'{kind} at {lr:g} is {side} {healthy.low:.2g} to {healthy.high:.2g}, which works at {length.batch} tiles '
            f'per update: {effect}; set optim_wrapper.optimizer.lr in that range.'
        ),
    )

"""What the guard sees when it looks at a run: queries, gradients, and how far the weights have come."""

import math
from dataclasses import dataclass, field

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn


@dataclass(frozen=True)
class Look:
    """One look at a training run.

    Attributes:
        iteration: Counted from 1.
        updates: Optimiser steps done since the start; several iterations make one where gradients are accumulated.
        loss: Mean over the iterations since the look before.
        samples: Tiles fed since the look before.
        objects: Objects on them.
        most_objects: Objects on the fullest of them.
        warm: Whether the learning rate is past its warm-up and not yet lowered: at least half of its base.
        moved: Distance of the weights from those at the first warm look, decay left out, in parts of their norm; None
            before.
        figures: What else could be had, by name: `grad_norm` and, with queries, those of `query_figures`.
    """

    iteration: int
    updates: int
    loss: float
    samples: int
    objects: int
    most_objects: int
    warm: bool
    moved: float | None
    figures: dict[str, float] = field(default_factory=dict)


def query_figures(cls_logits: Tensor, mask_logits: Tensor) -> dict[str, float]:
    """Summarise what the last decoder layer predicts for a batch.

    Args:
        cls_logits: (N, queries, classes + 1), "no object" last.
        mask_logits: (N, queries, h, w).

    Returns:
        `num_queries`; `best_score`, the highest probability of any class; `no_object_share` of queries for which "no
        object" is the likeliest; `empty_mask_share` and `full_mask_share`, of queries whose mask has no pixel, or more
        than 99 of 100; `mask_area_share`, the median part of the image under a mask.
    """
    probabilities = cls_logits.float().softmax(-1)
    areas = (mask_logits > 0).flatten(2).float().mean(-1)
    numbers = torch.stack(
        [
            probabilities[..., :-1].max(),
            (probabilities.argmax(-1) == probabilities.shape[-1] - 1).float().mean(),
            (areas == 0).float().mean(),
            (areas > 0.99).float().mean(),
            areas.median(),
        ]
    ).tolist()
    names = ('best_score', 'no_object_share', 'empty_mask_share', 'full_mask_share', 'mask_area_share')
    return dict(num_queries=float(cls_logits.shape[1]), **dict(zip(names, numbers, strict=True)))


def matched_queries(counts: Tensor) -> float:
    """How many queries share the work: the exponential of the entropy of how often each was matched.

    Args:
        counts: (queries,) matches each.

    Returns:
        From 1 (one query takes all objects) to the number of queries (all take the same); 0 without a match.
    """
    shares = counts.double()[counts > 0] / counts.sum().clamp(min=1)
    return math.exp(float(-(shares * shares.log()).sum())) if len(shares) else 0.0


class WeightSample:
    """Some values of every trainable tensor, to see whether training changes them, for little memory.

    Args:
        model: Whose tensors; those that are frozen are left out.
        per_tensor: About how many values of each are kept.
    """

    def __init__(self, model: nn.Module, per_tensor: int = 1024) -> None:
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._per_tensor = per_tensor
        self._anchor: list[Tensor] | None = None

    def _values(self) -> list[Tensor]:
        flat = (parameter.detach().flatten() for parameter in self.parameters)
        return [values[:: max(1, len(values) // self._per_tensor)].float() for values in flat]

    def drop_anchor(self) -> None:
        """Measure distances from the weights as they are now."""
        self._anchor = [values.clone() for values in self._values()]

    def moved(self) -> float | None:
        """Distance from the anchor in parts of the anchor's norm; None without an anchor.

        What a tensor only grew or shrank by is left out: weight decay shrinks the weights of a run that learns nothing.
        """
        if self._anchor is None:
            return None
        pairs = zip(self._values(), self._anchor, strict=True)
        turned = [now - then * ((now @ then) / (then @ then).clamp(min=1e-12)) for now, then in pairs]
        return float(torch.cat(turned).norm() / torch.cat(self._anchor).norm().clamp(min=1e-12))

    def finite(self) -> bool:
        """Whether every trainable value is a number."""
        sums = [parameter.detach().float().sum() for parameter in self.parameters]
        return bool(torch.isfinite(torch.stack(sums)).all())


class GradientNorm:
    """The norm of all gradients at the next step of the optimiser, for runs that do not clip and so do not log it."""

    def __init__(self, optim_wrapper: OptimWrapper) -> None:
        self.value: float | None = None
        self._handle = optim_wrapper.optimizer.register_step_pre_hook(self._measure)

    def _measure(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group['params'] if p.grad is not None]
        if gradients:
            self.value = float(torch.stack([gradient.detach().float().norm() for gradient in gradients]).norm())
        self.remove()

    def remove(self) -> None:
        """Stop waiting for a step."""
        self._handle.remove()


def is_warm(optim_wrapper: OptimWrapper) -> bool:
    """Whether every group's learning rate is at least half of its base: warm-up is over, decay has not begun."""
    groups = optim_wrapper.param_groups
    return all(group['lr'] >= 0.5 * group.get('initial_lr', group['lr']) for group in groups)

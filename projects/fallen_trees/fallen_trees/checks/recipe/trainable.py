"""How much of the model a run can change."""

from collections.abc import Iterator

from torch import nn

from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.recipe.model import build_model, build_optimiser
from fallen_trees.checks.subject import Subject
from fallen_trees.staged_unfreeze_hook import freeze

LITTLE = 0.05  # frozen backbone and pixel decoder leave a third of a Mask2Former R50


def trainable_share(subject: Subject) -> Iterator[Finding]:
    """Check which share of the parameters has a gradient and a learning rate: `trainable-share`."""
    name, model = 'trainable-share', build_model(subject.cfg)
    for hook in subject.cfg.get('custom_hooks') or []:
        if hook['type'] == 'StagedUnfreezeHook':  # later stages train more
            freeze(model, hook['stages'][0]['frozen'])
    total = sum(weight.numel() for weight in model.parameters())
    moving = _moving(subject, model)
    share = sum(weight.numel() for weight in model.parameters() if id(weight) in moving) / total
    still = _still_parts(model, moving)
    figures = dict(share=round(share, 4), parameters=total)
    if share == 0:
        message = (
            'no parameter can change: all are frozen or have a learning rate of 0; look at frozen_stages, lr, lr_mult.'
        )
        yield Finding(name, Verdict.ERROR, message, figures)
    elif share < LITTLE or set(still) - {'backbone'}:
        verdict = Verdict.ERROR if share < LITTLE / 5 else Verdict.WARNING
        message = (
            f'{share:.1%} of {total / 1e6:.1f} M parameters can change; still: {", ".join(still) or "most"}. Freeze '
            'the backbone at most.'
        )
        yield Finding(name, verdict, message, figures)
    else:
        rest = f'; still: {", ".join(still)}' if still else ''
        message = f'{share:.0%} of {total / 1e6:.1f} M parameters can change{rest}.'
        yield Finding(name, Verdict.OK, message, figures)


def _moving(subject: Subject, model: nn.Module) -> set[int]:
    if not any(weight.requires_grad for weight in model.parameters()):
        return set()  # optimisers refuse a model without parameters
    groups = build_optimiser(subject.cfg, model).optimizer.param_groups
    return {id(weight) for group in groups if group['lr'] > 0 for weight in group['params'] if weight.requires_grad}


def _still_parts(model: nn.Module, moving: set[int]) -> list[str]:
    """Direct children of the model that have parameters of which none can change."""
    return [
        name
        for name, part in model.named_children()
        if list(part.parameters()) and not any(id(weight) in moving for weight in part.parameters())
    ]

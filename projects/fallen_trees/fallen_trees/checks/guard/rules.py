"""What the guard concludes from its looks. Each rule names what it saw, the likely cause, and what to do.

A rule ends a run only when there is no way back: weights that are not numbers, weights that do not change, no object in
whole rounds of the data. Everything else is said once and left to whoever reads it, because a healthy run can look
ill for a while, and a stopped one cannot show that it was healthy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from fallen_trees.checks.guard.look import Look

# Measured over 100 updates at full rate: SGD at 1e-4 under clip 0.01 covers at most 1e-6 per update against weights of
# norm 50-150, which is 1e-6; AdamW at 2e-5 covers more than 1e-2.
STILL = 1e-4
FLAT = 0.02  # a loss that changed by less than this part has not fallen; noise of a look is about as large
LOW_SCORE = 0.1  # a healthy run's best score of a batch passes this within its first hundreds of updates


@dataclass(frozen=True)
class Remark:
    """What a rule concludes.

    Attributes:
        rule: Its name.
        message: One line: seen, cause, cure.
        stop: Whether the run cannot come to anything any more.
    """

    rule: str
    message: str
    stop: bool = False


@dataclass(frozen=True)
class Patience:
    """How much has to be seen before a rule speaks.

    Attributes:
        looks: In a row.
        updates: Optimiser steps at full learning rate before weights are called still.
        settled: Updates from the start before scores and masks are judged.
        samples: Tiles without any object before the data are called empty.
    """

    looks: int = 4
    updates: int = 100
    settled: int = 500
    samples: int = 1000


def remarks(looks: Sequence[Look], patience: Patience) -> Iterator[Remark]:
    """Apply every rule to the looks at a run so far, oldest first."""
    for rule in (_nothing_moves, _no_objects, _loss_is_flat, _no_gradient, _all_no_object, _masks_collapsed, _crowded):
        yield from rule(looks, patience)


def _nothing_moves(looks: Sequence[Look], patience: Patience) -> Iterator[Remark]:
    warm = [look for look in looks if look.warm and look.moved is not None]
    if len(warm) <= patience.looks or warm[-1].updates - warm[0].updates < patience.updates:
        return
    # The farthest it ever came counts, not where it is: who moved once is alive.
    moved, change = max(look.moved for look in warm), _change([look.loss for look in warm])
    if moved < STILL and abs(change) < FLAT:
        yield Remark(
            'nothing-moves',
            f'in {warm[-1].updates - warm[0].updates} updates at full learning rate the weights changed by '
            f'{moved:.1e} of their size and the loss by {change:+.1%}. The optimiser does not move them: the learning '
            'rate is 0 or far too small, a tight clip_grad goes with SGD (it needs AdamW), or every layer is frozen.',
            stop=True,
        )


def _no_objects(looks: Sequence[Look], patience: Patience) -> Iterator[Remark]:
    samples, objects = sum(look.samples for look in looks), sum(look.objects for look in looks)
    if samples >= patience.samples and objects == 0:
        yield Remark(
            'no-objects',
            f'{samples} tiles were fed and not one object reached the loss. The pipeline takes them all away: look at '
            'class names, filters (min_gt_mask_area, min_gt_bbox_wh) and crops.',
            stop=True,
        )


def _loss_is_flat(looks: Sequence[Look], patience: Patience) -> Iterator[Remark]:
    warm = [look for look in looks if look.warm]
    if len(warm) <= 2 * patience.looks or warm[-1].updates - looks[0].updates < patience.settled:
        return
    first, last = looks[0].loss, fmean(look.loss for look in warm[-patience.looks :])
    if last > (1 - FLAT) * first:
        yield Remark(
            'loss-is-flat',
            f'after {warm[-1].updates} updates the loss is {last:.2f}; it began at {first:.2f}. Usual causes: a '
            'learning rate ten times too high or too low, or labels that do not lie on the objects.',
        )


def _no_gradient(looks: Sequence[Look], patience: Patience) -> Iterator[Remark]:
    norms = [look.figures['grad_norm'] for look in looks[-patience.looks :] if 'grad_norm' in look.figures]
    if len(norms) >= patience.looks and max(norms) < 1e-6:
        yield Remark(
            'no-gradient',
            f'the gradient norm was at most {max(norms):.0e} in {len(norms)} looks: nothing is learnt any more. Usual '
            'causes: no object in the batches, a loss weight of 0, saturated outputs after a too high learning rate.',
        )


def _all_no_object(looks: Sequence[Look], patience: Patience) -> Iterator[Remark]:
    recent = [look for look in looks[-patience.looks :] if 'best_score' in look.figures and look.objects]
    if len(recent) < patience.looks or recent[0].updates < patience.settled:
        return
    best = max(look.figures['best_score'] for look in recent)
    if best < LOW_SCORE:
        yield Remark(
            'all-no-object',
            f'after {recent[-1].updates} updates no query scores above {best:.3f}, though there were '
            f'{sum(look.objects for look in recent)} objects. Usual causes: nine in ten tiles are empty (sample tiles '
            'with objects more often), too few updates so far, or class_weight of "no object" too high (0.1 is usual).',
        )


def _masks_collapsed(looks: Sequence[Look], patience: Patience) -> Iterator[Remark]:
    recent = [look for look in looks[-patience.looks :] if 'empty_mask_share' in look.figures and look.objects]
    if len(recent) < patience.looks or recent[0].updates < patience.settled:
        return
    for kind, extent in (('empty', 'no pixel'), ('full', 'the whole tile')):
        if min(look.figures[f'{kind}_mask_share'] for look in recent) > 0.99:
            yield Remark(
                'masks-collapsed',
                f'every query has drawn {extent} in {len(recent)} looks, after {recent[-1].updates} updates. Usual '
                'causes: a learning rate too high, or truth masks without pixels (FilterAnnotations by_mask=True).',
            )


def _crowded(looks: Sequence[Look], patience: Patience) -> Iterator[Remark]:
    for look in looks[-1:]:
        queries = look.figures.get('num_queries')
        if queries is not None and look.most_objects > queries:
            yield Remark(
                'too-few-queries',
                f'a tile holds {look.most_objects} objects, the model has {queries:.0f} queries: the rest cannot be '
                'found. Raise model.panoptic_head.num_queries or cut smaller tiles.',
            )


def _change(losses: Sequence[float]) -> float:
    """Relative change of the loss from the first third of the looks to the last."""
    third = max(1, len(losses) // 3)
    return fmean(losses[-third:]) / max(fmean(losses[:third]), 1e-12) - 1


@dataclass(frozen=True)
class Validation:
    """One validation beside the training up to it.

    Attributes:
        iteration: Counted from 1.
        train_loss: Mean since the validation before.
        val_loss: Training loss on validation tiles; None where it could not be had.
        ap50: Share from 0 to 1; None where the evaluator gives none.
        detections: With a score above 0.05; None where the model predicts no instances.
        best_score: Of them all.
    """

    iteration: int
    train_loss: float
    val_loss: float | None
    ap50: float | None
    detections: int | None
    best_score: float


def validation_remarks(validations: Sequence[Validation]) -> Iterator[Remark]:
    """Judge the validations of a run so far, oldest first."""
    last = validations[-1]
    if len(validations) >= 2 and last.detections == validations[-2].detections == 0:
        yield Remark(
            'no-detections',
            f'two validations in a row, the last at iteration {last.iteration}, without a detection scoring above 0.05 '
            f'(best {last.best_score:.3f}). Early in a run this passes; if it stays: objects in too few tiles, too few '
            'updates, or a learning rate that is off.',
        )
    fell = last.train_loss < 0.8 * validations[0].train_loss
    if len(validations) >= 3 and fell and all(validation.ap50 == 0 for validation in validations):
        yield Remark(
            'ap-zero',
            f'{len(validations)} validations at AP50 0 while the training loss fell from '
            f'{validations[0].train_loss:.2f} to {last.train_loss:.2f}. Look at the pictures: right places but wrong '
            'labels point to the order of classes; wrong places to another scale or shifted labels of one split; '
            'nothing at all to a run that is too short.',
        )
    losses = [validation.val_loss for validation in validations]
    if None not in losses and len(losses) >= 3:
        best = min(losses)
        at_best = validations[losses.index(best)]
        parted = min(losses[-2:]) > 1.1 * best and last.train_loss < at_best.train_loss
        if parted:
            yield Remark(
                'train-and-validation-part',
                f'the validation loss rose from {best:.2f} (iteration {at_best.iteration}) to '
                f'{losses[-1]:.2f} while the training loss fell to {last.train_loss:.2f}: the model learns its tiles '
                'by heart. The best checkpoint is kept; more scenes or augmentation help, a longer run does not.',
            )

"""What a smoke test concludes from its curve."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from statistics import fmean

from fallen_trees.checks.finding import Verdict
from fallen_trees.checks.smoke_test.tiles import Tiles

GOAL = 0.9
LOW = 0.3  # AP50 that a recipe which goes wrong may reach by chance on a few tiles
SETTLED_UPDATES = 40  # the rate has risen for 20; a single object is learnt before a rate that is too high shows
MIN_UPDATES = 150  # fewer prove nothing: AdamW 1e-4 needed 160 to learn four easy tiles by heart


class Answer(StrEnum):
    """Whether a recipe can learn a few tiles by heart."""

    LEARNS = 'learns'
    DOES_NOT_LEARN = 'does not learn'
    UNDECIDED = 'undecided'

    @property
    def exit_code(self) -> Verdict:
        """Of the command: 0, 2 for a recipe that cannot come to anything, 1 for something to look at."""
        return {'learns': Verdict.OK, 'does not learn': Verdict.ERROR, 'undecided': Verdict.WARNING}[self.value]


@dataclass(frozen=True)
class Point:
    """One evaluation.

    Attributes:
        iteration: Counted from 1.
        updates: Optimiser steps so far.
        seconds: Since training began.
        loss: Mean since the evaluation before.
        ap50: Of the masks, on the tiles that are trained on; 0 to 1.
        best_score: Highest score of all detections.
    """

    iteration: int
    updates: int
    seconds: float
    loss: float
    ap50: float
    best_score: float


@dataclass(frozen=True)
class Outcome:
    """What came of a smoke test.

    Attributes:
        answer: The verdict.
        why: One line.
        curve: Evaluations, oldest first.
        tiles: What was trained on.
        changed: How the run differs from the config's, line by line.
    """

    answer: Answer
    why: str
    curve: list[Point]
    tiles: Tiles
    changed: list[str] = field(default_factory=list)

    def as_dict(self) -> dict:
        """For JSON."""
        tiles = {**asdict(self.tiles), 'ann_file': str(self.tiles.ann_file), 'folder': str(self.tiles.folder)}
        best = max((point.ap50 for point in self.curve), default=0.0)
        curve = [asdict(point) for point in self.curve]
        answer = dict(verdict=str(self.answer), why=self.why, best_ap50=best, goal=GOAL, changed=self.changed)
        return dict(**answer, tiles=tiles, curve=curve)


def conclude(
    curve: Sequence[Point], start_loss: float, tiles: Tiles, num_queries: int | None, time_is_up: bool
) -> tuple[Answer, str] | None:
    """Judge a curve.

    Args:
        curve: Evaluations so far, oldest first.
        start_loss: Of the first iterations.
        tiles: What is trained on.
        num_queries: Of the model; None for a model without.
        time_is_up: Whether there will be no further evaluation.

    Returns:
        Verdict and reason; None to go on.
    """
    last, best = curve[-1], max(point.ap50 for point in curve)
    if last.ap50 >= GOAL and last.updates >= SETTLED_UPDATES:
        return (
            Answer.LEARNS,
            f'segm AP50 {last.ap50:.3f} on its own tiles after {last.updates} updates, {last.seconds:.0f} s.',
        )
    enough = last.updates >= (MIN_UPDATES if time_is_up else 2 * MIN_UPDATES)
    if enough and best < LOW and _stalled(curve):
        return Answer.DOES_NOT_LEARN, (
            f'after {last.updates} updates segm AP50 is {best:.3f} and the loss {last.loss:.2f}, from {start_loss:.2f} '
            'at the start, and hardly lower for half of the time. Usual causes: a learning rate ten times too high or '
            'too low, or labels that do not lie on the objects.'
        )
    if not time_is_up:
        return None
    blocked = _cannot(tiles, num_queries)
    if last.updates >= MIN_UPDATES and blocked:
        return Answer.DOES_NOT_LEARN, f'segm AP50 {best:.3f}: {blocked}'
    if last.updates >= 4 * MIN_UPDATES and not _rises(curve):
        return Answer.DOES_NOT_LEARN, (
            f'segm AP50 stays at {best:.3f} since half of the {last.updates} updates, loss {last.loss:.2f}, best score '
            f'{last.best_score:.2f}. {_guess(last, best)}'
        )
    recent = fmean(point.loss for point in curve[-2:])
    return Answer.UNDECIDED, (
        f'segm AP50 {best:.3f} after {last.updates} updates in {last.seconds:.0f} s, loss {start_loss:.1f} -> '
        f'{recent:.1f}: too little time to tell. Give more --minutes or fewer --tiles.'
    )


def _halves(curve: Sequence[Point]) -> tuple[list[Point], list[Point]]:
    middle = curve[-1].updates / 2
    return [p for p in curve if p.updates <= middle], [p for p in curve if p.updates > middle]


def _rises(curve: Sequence[Point]) -> bool:
    """Whether the second half of the updates found better masks than the first."""
    first, second = _halves(curve)
    return not first or max(point.ap50 for point in second) > max(point.ap50 for point in first) + 0.02


def _stalled(curve: Sequence[Point]) -> bool:
    """Whether the second half of the updates brought neither the loss down nor AP50 up."""
    first, _ = _halves(curve)
    return not _rises(curve) and curve[-1].loss > 0.9 * first[-1].loss


def _cannot(tiles: Tiles, num_queries: int | None) -> str | None:
    """What keeps AP50 below the goal however long the run."""
    total = sum(tiles.objects)
    if num_queries is not None:
        found = sum(min(count, num_queries) for count in tiles.objects)
        if found < GOAL * total:
            return (
                f'{num_queries} queries cannot find up to {max(tiles.objects)} objects a tile. Raise '
                'model.panoptic_head.num_queries or cut smaller tiles.'
            )
    if tiles.reachable < GOAL:
        return (
            f'only {tiles.reachable:.0%} of the objects can be drawn at IoU 0.5 on the coarse grid of the masks: they '
            'are too thin. Raise image_size (feed the tiles enlarged) or use smaller pixels.'
        )
    return None


def _guess(last: Point, best: float) -> str:
    if last.best_score < 0.3:
        return 'No query dares a score: class weights, or an optimiser that is off.'
    if best < 0.1:
        return 'Sure of itself in the wrong places: labels that do not lie on the objects, or a wrong class order.'
    return 'Found in part: look at the pictures for objects that are missed, joined or cut.'

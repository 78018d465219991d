"""Windows to pieces: batches through the network while the next blocks are read, each batch kept in the journal.

A batch never reaches over the end of a block, so which windows the network sees together follows from the plan alone,
and not from when a run was stopped or how many processes share the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from mmcv.transforms import Compose
from numpy.typing import NDArray

from tree_map.outlines import outline
from tree_map.predicting.journal import Found, Journal
from tree_map.predicting.network import Instances, Model
from tree_map.predicting.reading import Block, read_ahead
from tree_map.predicting.scene import Scene
from tree_map.predicting.views import VIEWS, merged, seen_from, turned_back
from tree_map.predicting.windows import Plan


@dataclass(frozen=True)
class Pace:
    """How much is done at a time."""

    batch_size: int = 1  # windows that the network sees at once
    workers: int = 2  # threads that read
    ahead: int = 4  # blocks read ahead of the network
    tta: bool = False  # look at each window from eight sides


def share_of(plan: Plan, done: set[int], rank: int = 0, world: int = 1) -> list[list[int]]:
    """Blocks that one of several processes works on, without the windows that are finished; in turn, for even shares.

    Args:
        plan: Of the scene.
        done: Finished windows.
        rank: Number of this process, from 0.
        world: Number of processes.
    """
    left = [[index for index in block if index not in done] for block in plan.blocks]
    return [block for block in left if block][rank::world]


def predict(
    model: Model,
    scene: Scene,
    plan: Plan,
    blocks: Sequence[Sequence[int]],
    journal: Journal,
    pace: Pace,
    progress: Callable[[int], object],
) -> None:
    """Look at windows and keep what is seen.

    Args:
        model: The network.
        scene: To be looked at.
        plan: Of its windows.
        blocks: Of `share_of`.
        journal: That pieces go to.
        pace: How much at a time.
        progress: Called with the number of windows after each batch.

    Raises:
        OSError: If the journal cannot be written.
    """
    pipeline = model.pipeline(plan.side)
    for block in read_ahead(scene, plan, blocks, pace.workers, pace.ahead):
        for found in _looked_at(model, pipeline, plan, block, pace):
            journal.add(found)
            progress(len(found.windows) + len(found.empty) + len(found.unreadable))


def _looked_at(model: Model, pipeline: Compose, plan: Plan, block: Block, pace: Pace) -> Iterator[Found]:
    """What the batches of a block show; the first one also tells which windows hold nothing to look at."""
    first = Found(empty=list(block.empty), unreadable=dict(block.unreadable))
    if first.empty or first.unreadable:
        yield first
    pictures = iter(block.pictures.items())
    while batch := dict(islice(pictures, pace.batch_size)):
        found = Found(windows=list(batch))
        for index, instances in zip(batch, look(model, pipeline, list(batch.values()), pace.tta), strict=True):
            _trace(found, instances, plan, index)
        yield found


def look(model: Model, pipeline: Compose, pictures: Sequence[NDArray], tta: bool) -> list[Instances]:
    """Show the network some pictures, from one side or from all eight.

    Args:
        model: The network.
        pipeline: Of `Model.pipeline`.
        pictures: (H, W, bands) each.
        tta: Whether to merge eight views of each.
    """
    if not tta:
        return model(pictures, pipeline)
    sizes, views = [picture.shape[:2] for picture in pictures], []
    for view in VIEWS:
        seen = model([seen_from(picture, view) for picture in pictures], pipeline)
        views.append([turned_back(found, view, size) for found, size in zip(seen, sizes, strict=True)])
    return [merged(seen, size, model.score_thr) for seen, size in zip(zip(*views, strict=True), sizes, strict=True)]


def _trace(found: Found, instances: Instances, plan: Plan, index: int) -> None:
    """Outline what one window shows, in pixels of the grid; what lies outside the scene is cut off."""
    window = plan.window(index)
    inside = window.intersect(plan.grid.window)
    for number, mask in enumerate(instances.masks):
        x, y = instances.origins_xy[number] + (window.x, window.y)
        crop = mask[max(inside.y - y, 0) : inside.bottom - y, max(inside.x - x, 0) : inside.right - x]
        if np.count_nonzero(crop):
            polygon = outline(crop, (int(max(x, inside.x)), int(max(y, inside.y))))
            found.add(index, polygon, float(instances.scores[number]), int(instances.labels[number]))

"""Mask logits enlarged to an image in blocks, as MMDetection enlarges whole masks, within a given memory.

MMDetection enlarges twice, bilinearly: from the decoder's grid to the padded input, whose padding is then cut off,
and from there to the file's size. Both steps are linear, rows and columns apart, so that a block of the result is

    vertical weights (block, cells) x logits (cells, cells) x horizontal weights (cells, block)

with only the cells that lie under it. Where none of them is positive, neither is the block, and it is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from fallen_trees.heads.crop_rle import MaskRuns, runs_of_crops

BLOCK = 64  # px; larger blocks compute more that is not needed, smaller ones are more in number
Sizes = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Axis:
    """How the blocks along one axis of an image follow from its cells.

    Attributes:
        cells: First and end of the cells under each block.
        starts: First cell that each block's weights are for, (blocks,).
        weights: Of `support` cells from there on for each pixel, (blocks, BLOCK, support); 0 beyond the image.
    """

    cells: tuple[tuple[int, int], ...]
    starts: Tensor
    weights: Tensor

    @property
    def support(self) -> int:
        """Cells that are read for a block."""
        return self.weights.shape[2]


@lru_cache(maxsize=16)
def axis(num_cells: int, lengths: tuple[int, ...], device: torch.device) -> Axis:
    """Find the weights along one axis.

    Args:
        num_cells: Length of the logits.
        lengths: Of padded input, network's image and, where wanted, the file's image, in px.
        device: Of the logits.
    """
    padded, image, *file = lengths
    # What becomes of unit vectors are the weights, whatever the rounding of MMDetection's own steps.
    steps = F.interpolate(torch.eye(num_cells)[None], padded, mode='linear', align_corners=False)[..., :image]
    steps = F.interpolate(steps, file[0], mode='linear', align_corners=False) if file else steps
    weights = F.pad(steps[0], (0, -steps.shape[2] % BLOCK)).unflatten(1, (-1, BLOCK)).permute(1, 2, 0)
    read = (weights != 0).any(1)
    first = read.int().argmax(1)
    end = num_cells - read.flip(1).int().argmax(1)
    support = int((end - first).max())
    starts = first.clamp(max=num_cells - support)
    columns = starts[:, None, None] + torch.arange(support)
    weights = weights.gather(2, columns.expand(-1, BLOCK, -1))
    return Axis(tuple(zip(first.tolist(), end.tolist(), strict=True)), starts.to(device), weights.to(device))


def enlarge(masks: Tensor, sizes: Sizes) -> Tensor:
    """Enlarge whole logits (num_queries, h, w) as MMDetection does, for what needs all pixels at once.

    Args:
        masks: Logits, which cover the padded input.
        sizes: (height, width) of padded input, network's image and, where wanted, the file's image, in px.

    Returns:
        Logits of the last size, (num_queries, H, W).
    """
    padded, image, *file = sizes
    masks = F.interpolate(masks[None], padded, mode='bilinear', align_corners=False)[..., : image[0], : image[1]]
    return F.interpolate(masks, file[0], mode='bilinear', align_corners=False)[0] if file else masks[0]


def enlarged_runs(masks: Tensor, queries: Tensor, sizes: Sizes, memory_mb: float) -> Iterator[tuple[MaskRuns, Tensor]]:
    """Enlarge the masks of some queries and find the runs of their positive pixels, a few queries at a time.

    Args:
        masks: Logits, (num_queries, h, w).
        queries: Rows of `masks` to look at, (n,).
        sizes: As for `enlarge`, whose masks these are up to rounding.
        memory_mb: Working memory to stay below, in MiB; at least one block is enlarged at a time.

    Yields:
        Runs of the next k of the n masks, and their scores (k,): the mean sigmoid of a mask's positive pixels, 0
        without any. Together n; once with k = 0 if n is 0.
    """
    axes = [axis(cells, tuple(size[i] for size in sizes), masks.device) for i, cells in enumerate(masks.shape[1:])]
    budget = memory_mb * 2**20
    step = max(1, int(budget / block_bytes(*(along.support for along in axes))))
    blocks = positive_blocks(masks, queries, *axes, budget)
    ends = blocks[0].bincount(minlength=len(queries)).cumsum(0).tolist()
    for first, last in whole_groups(ends, step):
        pieces, sums = [], masks.new_zeros(last - first, dtype=torch.float64)
        for start in range(ends[first - 1] if first else 0, ends[last - 1] if last else 0, step):
            owner, row, column = (index[start : min(start + step, ends[last - 1])] for index in blocks)
            logits = block_logits(masks, queries[owner], *axes, row, column)
            owner, positive = owner - first, logits > 0
            sums.index_add_(0, owner, logits.sigmoid_().mul_(positive).sum((1, 2)).double())
            pieces.append(runs_of_crops(positive, owner, column * BLOCK, row * BLOCK, sizes[-1][0]))
        runs = MaskRuns.joined(pieces, last - first, tuple(sizes[-1]))
        areas = torch.from_numpy(runs.areas()).to(sums.device)
        yield runs, (sums / areas.clamp(min=1)).to(masks.dtype)


def whole_groups(ends: list[int], limit: int) -> Iterator[tuple[int, int]]:
    """Group successive owners of things so that each group has at most `limit` things, or is one owner.

    Args:
        ends: Number of things that the first owner has, the first two, and so on.
        limit: Things of a group.

    Yields:
        First owner of each group and the one after its last; (0, 0) without owners.
    """
    first, before = 0, 0
    for owner in range(1, len(ends)):
        if ends[owner] - before > limit:
            yield first, owner
            first, before = owner, ends[owner - 1]
    yield first, len(ends)


def block_bytes(rows: int, columns: int) -> int:
    """Estimate the working memory of one block over so many rows and columns of cells, in bytes."""
    enlarging = rows * columns + BLOCK * (rows + 2 * columns + BLOCK)
    # Bits, their changes, and the places of these: up to five integers a change, of which there are few in a mask.
    finding_runs = BLOCK * BLOCK * 7
    return 4 * (enlarging + finding_runs)


def positive_blocks(
    masks: Tensor, queries: Tensor, vertical: Axis, horizontal: Axis, budget: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the blocks that can hold a positive pixel.

    Args:
        masks: Logits, (num_queries, h, w).
        queries: Rows of `masks` to look at, (n,).
        vertical: How rows are enlarged.
        horizontal: How columns are enlarged.
        budget: Working memory to stay below, in bytes.

    Returns:
        Index in `queries`, block row and block column of each block, (blocks,), ordered by query.
    """
    step = max(1, int(budget / (4 * 4 * masks[0].numel())))  # two copies live at a time, and what is read from them
    peaks = []
    for some in queries.split(step):
        chosen = masks[some]
        bands = torch.stack([chosen[:, first:end].amax(1) for first, end in vertical.cells], 1)
        peaks.append(torch.stack([bands[..., first:end].amax(2) for first, end in horizontal.cells], 2))
    return (torch.cat(peaks) > 0).nonzero(as_tuple=True)


def block_logits(
    masks: Tensor, queries: Tensor, vertical: 'Axis', horizontal: 'Axis', rows: Tensor, columns: Tensor
) -> Tensor:
    """Enlarge blocks.

    Args:
        masks: Logits, (num_queries, h, w).
        queries: Query of each block, (n,).
        vertical: How rows are enlarged.
        horizontal: How columns are enlarged.
        rows: Block row of each block, (n,).
        columns: Block column of each block, (n,).

    Returns:
        Logits, (n, BLOCK, BLOCK); 0 beyond the image.
    """
    y = vertical.starts[rows, None, None] + torch.arange(vertical.support, device=masks.device)[:, None]
    x = horizontal.starts[columns, None, None] + torch.arange(horizontal.support, device=masks.device)
    cells = masks[queries[:, None, None], y, x]
    return vertical.weights[rows] @ cells @ horizontal.weights[columns].mT

"""Masks as runs of pixels: from crops of large images to boxes, COCO's RLE or small arrays, never through a full mask.

    crops (n, h, w) of bits, each somewhere in an image -> runs down the columns -> joined across crops -> RLE

A run is a pair of positions in the image read column by column, as COCO reads it: `start` is its first pixel, `end` the
one after its last. The pixel at (x, y) of an image of height H has position x H + y. Finding the runs is done where the
bits are (on a GPU only the runs leave it), the rest on a few thousand integers.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as pycoco
from torch import Tensor


@dataclass(frozen=True)
class MaskRuns:
    """Runs of N masks of one image size, each within a column, ordered by mask and position, none touching the next.

    Attributes:
        owners: Mask of each run, (R,).
        starts: Position of each run's first pixel, (R,).
        ends: Position after each run's last pixel, (R,).
        num_masks: N.
        size_hw: Height and width of the image, in px.
    """

    owners: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    num_masks: int
    size_hw: tuple[int, int]

    @classmethod
    def joined(cls, pieces: list[Tensor], num_masks: int, size_hw: tuple[int, int]) -> 'MaskRuns':
        """Join the runs of crops that do not overlap: what ends where the next crop goes on becomes one run.

        Args:
            pieces: Of `runs_of_crops`, each (3, r).
            num_masks: N, those without a run included.
            size_hw: Height and width of the image, in px.
        """
        owners, starts, ends = (torch.cat(pieces, 1) if pieces else torch.zeros(3, 0, dtype=torch.int64)).cpu().numpy()
        order = np.argsort(owners * (size_hw[0] * size_hw[1]) + starts)
        owners, starts, ends = owners[order], starts[order], ends[order]
        # A run that ends at the foot of a column and one at the head of the next touch too, but are two.
        touch = (ends[:-1] == starts[1:]) & (owners[:-1] == owners[1:]) & (starts[1:] % size_hw[0] != 0)
        first, last = np.append(True, ~touch)[: len(starts)], np.append(~touch, True)[: len(starts)]
        return cls(owners[first], starts[first], ends[last], num_masks, size_hw)

    def areas(self) -> NDArray[np.int64]:
        """Pixels of each mask, (N,)."""
        return np.bincount(self.owners, self.ends - self.starts, self.num_masks).astype(np.int64)

    def boxes(self) -> NDArray[np.float32]:
        """Tight boxes x0, y0, x1, y1, half-open, in px, (N, 4); zeros for a mask without a pixel."""
        boxes = np.zeros((self.num_masks, 4), np.float32)
        if len(self.owners):
            height = self.size_hw[0]
            columns, tops, bottoms = self.starts // height, self.starts % height, (self.ends - 1) % height + 1
            present, heads = np.unique(self.owners, return_index=True)
            boxes[present, 0] = np.minimum.reduceat(columns, heads)
            boxes[present, 1] = np.minimum.reduceat(tops, heads)
            boxes[present, 2] = np.maximum.reduceat(columns, heads) + 1
            boxes[present, 3] = np.maximum.reduceat(bottoms, heads)
        return boxes

    def rles(self) -> list[dict]:
        """COCO's compressed RLE of each mask, `size` and `counts` (bytes): what pycocotools makes of the full masks."""
        height, width = self.size_hw
        borders = np.searchsorted(self.owners, np.arange(self.num_masks + 1))
        plain = []
        for begin, stop in zip(borders[:-1], borders[1:], strict=True):
            starts, ends = self.starts[begin:stop], self.ends[begin:stop]
            apart = starts[1:] > ends[:-1]
            starts, ends = starts[np.append(True, apart)[: len(starts)]], ends[np.append(apart, True)[: len(ends)]]
            edges = np.concatenate([[0], np.stack([starts, ends], 1).ravel(), [height * width]])
            counts = np.diff(edges)
            plain.append(dict(size=[height, width], counts=counts[:-1] if counts[-1] == 0 else counts))
        return pycoco.frPyObjects(plain, height, width) if plain else []

    def crops(self) -> list[NDArray[np.bool_]]:
        """The pixels of each mask within its box, (box height, box width); (0, 0) for a mask without a pixel."""
        height, crops = self.size_hw[0], []
        borders = np.searchsorted(self.owners, np.arange(self.num_masks + 1))
        for box, begin, stop in zip(self.boxes().astype(int), borders[:-1], borders[1:], strict=True):
            x0, y0, x1, y1 = box
            # One row more than the box, so that a run's end at its foot has a place of its own.
            steps = np.zeros((x1 - x0, y1 - y0 + 1), np.int8)
            starts, ends = self.starts[begin:stop], self.ends[begin:stop]
            columns = starts // height - x0
            steps[columns, starts % height - y0] += 1
            steps[columns, (ends - 1) % height + 1 - y0] -= 1
            crops.append(steps.cumsum(1, dtype=np.int8)[:, : y1 - y0].T.astype(bool))
        return crops

    def dense(self) -> NDArray[np.bool_]:
        """The full masks, (N, H, W)."""
        masks = np.zeros((self.num_masks, *self.size_hw), bool)
        for mask, (x0, y0, x1, y1), crop in zip(masks, self.boxes().astype(int), self.crops(), strict=True):
            mask[y0:y1, x0:x1] = crop
        return masks


def runs_of_crops(crops: Tensor, owners: Tensor, x0: Tensor, y0: Tensor, height: int) -> Tensor:
    """Find the runs in crops of equal size.

    Args:
        crops: Bits, (n, h, w) on any device; those beyond the image must be False.
        owners: Mask that each crop belongs to, (n,).
        x0: Column of the image that each crop begins at, (n,).
        y0: Row of the image that each crop begins at, (n,).
        height: Of the image, in px.

    Returns:
        Owner, start and end of each run, (3, r) int64 on the device of the crops.
    """
    count, rows, columns = crops.shape
    padded = crops.new_zeros((count, columns, rows + 2))
    padded[..., 1:-1] = crops.mT
    # Each column begins and ends outside, so changes alternate: in, out, in, out.
    changes = (padded[..., 1:] != padded[..., :-1]).flatten().nonzero().squeeze(1)
    lines, row = changes // (rows + 1), changes % (rows + 1)
    crop = lines // columns
    position = (x0[crop] + lines % columns) * height + y0[crop] + row
    return torch.stack([owners[crop[::2]], position[::2], position[1::2]])

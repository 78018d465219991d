"""Masks of the segments of one map: no pixel lies in two of them, so that one map holds them all.

A street shows fifteen classes; as MMDetection's BitmapMasks they are fifteen images of bytes, sent from the loader's
processes and padded one by one. Here the map travels, and becomes masks where they are compared with predictions.
"""

import mmcv
import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks
from numpy.typing import NDArray
from torch import Tensor

NOTHING = -1  # number of no segment


class SegmentMasks(BitmapMasks):
    """Masks of N segments that behave as MMDetection's BitmapMasks, and are it wherever it asks for its type.

    `pad` and a choice of segments give SegmentMasks again, all else BitmapMasks. `masks` is a new array each time.

    Args:
        numbers: Segment of each pixel, (height, width) int16.
        segments: Numbers of the N segments that are masks, (N,); pixels of other numbers are in none.
    """

    def __init__(self, numbers: NDArray[np.int16], segments: NDArray[np.integer]) -> None:
        self.numbers, self.segments = np.ascontiguousarray(numbers, np.int16), np.asarray(segments, np.int16)
        self.height, self.width = self.numbers.shape

    @property
    def masks(self) -> NDArray[np.uint8]:
        """All pixels, (N, height, width) of 0 and 1."""
        return self.to_ndarray()

    def __len__(self) -> int:
        return len(self.segments)

    def __getitem__(self, index: object) -> 'SegmentMasks':
        """Choose masks by number, slice, list or array, as from an array."""
        return SegmentMasks(self.numbers, self.segments[index].reshape(-1))

    def pad(self, out_shape: tuple[int, int], pad_val: int = 0) -> BitmapMasks:
        """Enlarge to (height, width) at the right and below."""
        if pad_val:
            return super().pad(out_shape, pad_val)
        return SegmentMasks(mmcv.impad(self.numbers, shape=tuple(out_shape), pad_val=NOTHING), self.segments)

    @property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of each mask, (N,)."""
        return np.bincount(self.numbers[self.numbers >= 0], minlength=int(self.segments.max(initial=0)) + 1)[
            self.segments
        ]

    def to_ndarray(self) -> NDArray[np.uint8]:
        """All pixels, (N, height, width) of 0 and 1."""
        return (self.numbers == self.segments[:, None, None]).view(np.uint8)

    def to_tensor(self, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        """All pixels, (N, height, width), made on the device."""
        numbers, segments = (torch.from_numpy(array).to(device) for array in (self.numbers, self.segments))
        return (numbers == segments[:, None, None]).to(dtype)

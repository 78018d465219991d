"""Where the points of a file lie in the image made from it, after flips, quarter turns, resizes and crops."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Window = tuple[int, int, int, int]  # x0, y0, x1, y1 in px, half-open


@dataclass(frozen=True)
class PixelFrame:
    """A map that takes axes to axes: output x and y are each `factor * (one coordinate of the file) + offset`.

    Attributes:
        size_wh: Of the output image, in px.
        seen_xyxy: Part of the output that shows the file's image, in px; beyond it is padding.
        axes: Coordinate of the file that becomes x, and the one that becomes y.
        factor: Output pixels for a pixel of the file along x and y; negative where mirrored.
        offset: In output pixels.
    """

    size_wh: tuple[int, int]
    seen_xyxy: tuple[float, float, float, float]
    axes: tuple[int, int] = (0, 1)
    factor: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of_file(cls, size_wh: tuple[int, int]) -> 'PixelFrame':
        """The file's own pixels."""
        return cls(size_wh, (0, 0, *size_wh))

    def mirrored(self, horizontally: bool, vertically: bool) -> 'PixelFrame':
        """Flip the output."""
        (width, height), (fx, fy), (bx, by), (x0, y0, x1, y1) = self.size_wh, self.factor, self.offset, self.seen_xyxy
        if horizontally:
            fx, bx, x0, x1 = -fx, width - bx, width - x1, width - x0
        if vertically:
            fy, by, y0, y1 = -fy, height - by, height - y1, height - y0
        return replace(self, factor=(fx, fy), offset=(bx, by), seen_xyxy=(x0, y0, x1, y1))

    def transposed(self) -> 'PixelFrame':
        """Swap the output's rows and columns."""
        x0, y0, x1, y1 = self.seen_xyxy
        pairs = self.size_wh[::-1], (y0, x0, y1, x1), self.axes[::-1], self.factor[::-1], self.offset[::-1]
        return PixelFrame(*pairs)

    def resized(self, size_wh: tuple[int, int]) -> 'PixelFrame':
        """Stretch the output to another size."""
        sx, sy = (new / old for new, old in zip(size_wh, self.size_wh, strict=True))
        (fx, fy), (bx, by), (x0, y0, x1, y1) = self.factor, self.offset, self.seen_xyxy
        seen = (x0 * sx, y0 * sy, x1 * sx, y1 * sy)
        return PixelFrame(tuple(size_wh), seen, self.axes, (fx * sx, fy * sy), (bx * sx, by * sy))

    def windowed(self, x: float, y: float, size_wh: tuple[int, int]) -> 'PixelFrame':
        """Cut a window out of the output; it may reach beyond, but what an earlier one cut off does not come back."""
        (width, height), (bx, by), (x0, y0, x1, y1) = size_wh, self.offset, self.seen_xyxy
        seen = (max(x0 - x, 0), max(y0 - y, 0), min(x1 - x, width), min(y1 - y, height))
        return replace(self, size_wh=(width, height), seen_xyxy=seen, offset=(bx - x, by - y))

    @property
    def upright(self) -> 'PixelFrame':
        """The same frame before it was mirrored or transposed: the orientation of the file."""
        frame = self.transposed() if self.axes == (1, 0) else self
        return frame.mirrored(frame.factor[0] < 0, frame.factor[1] < 0)

    @property
    def seen_pixels(self) -> Window:
        """Pixels whose centres show the file's image."""
        return tuple(int(np.ceil(side - 0.5)) for side in self.seen_xyxy)

    def place(self, points_xy: NDArray) -> NDArray:
        """Bring points (N, 2) of the file to the output, in px."""
        return points_xy[:, list(self.axes)] * self.factor + self.offset

    def turn_boxes(self, boxes_xyxy: NDArray) -> NDArray:
        """Bring boxes (N, 4) from the upright frame to this one, in px."""
        corners = boxes_xyxy.reshape(-1, 2, 2)[..., list(self.axes)]
        for axis in (0, 1):
            if self.factor[axis] < 0:
                corners[..., axis] = self.size_wh[axis] - corners[:, ::-1, axis]
        return corners.reshape(-1, 4)

    def turn_crop(self, crop: NDArray) -> NDArray:
        """Bring pixels (h, w) from the upright frame to this one; a view."""
        crop = crop.T if self.axes == (1, 0) else crop
        return crop[:: -1 if self.factor[1] < 0 else 1, :: -1 if self.factor[0] < 0 else 1]

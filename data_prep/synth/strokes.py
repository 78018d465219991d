"""Many thin strokes at once: needles, blades, twigs, branches, roots. Their ink is spread over pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_prep.synth.grain import Floats, unit


@dataclass(frozen=True)
class Strokes:
    """N bent strokes.

    Attributes:
        start_xy: (N, 2) px.
        angle: (N,) radians, x right, y down.
        length: (N,) px.
        bend: (N,) how far the tip is pushed sideways, as a share of the length.
        width: (N,) px at the start; half of it at the tip.
        tone: (N,) brightness, 1 = the colour as it is.
    """

    start_xy: Floats
    angle: Floats
    length: Floats
    bend: Floats
    width: Floats
    tone: Floats

    def __len__(self) -> int:
        return len(self.length)

    def take(self, chosen: np.ndarray) -> Strokes:
        """The strokes at an index or where a mask is true."""
        return Strokes(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def points(self, step: float = 0.7, longest: float | None = None) -> tuple[Floats, Floats, Floats]:
        """Points along each stroke.

        Args:
            step: Between the points of the longest stroke, px; all have as many.
            longest: Its length in px; by default that of the longest of these.

        Returns:
            Points (N, K, 2) in px, their ink (N, K) in px^2, and where they lie (K,), 0 at the start, 1 at the tip.
        """
        longest = float(self.length.max(initial=1)) if longest is None else longest
        count = max(2, int(np.ceil(longest / step)))
        share = ((np.arange(count) + 0.5) / count).astype(np.float32)
        along = unit(self.angle.astype(np.float64))
        side = np.stack([-along[:, 1], along[:, 0]], 1)
        sideways = self.bend[:, None] * share * share
        reach = share[None, :, None] * along[:, None] + sideways[..., None] * side[:, None]
        xy = self.start_xy[:, None] + self.length[:, None, None] * reach
        ink = self.width[:, None] * (1 - 0.5 * share) * (self.length / count)[:, None]
        return xy.astype(np.float32), ink.astype(np.float32), share


def splat(shape: tuple[int, int], xy: Floats, inks: tuple[Floats, ...], *, wrap: bool = False) -> list[Floats]:
    """Spread inks over the four pixels around each point.

    Args:
        shape: Height and width in px.
        xy: (..., 2) points in px, (0, 0) the outer corner of the first pixel.
        inks: Each (...), px^2 that each point covers.
        wrap: Continue over the edges instead of dropping what lies outside.

    Returns:
        For each ink (H, W) covered area of the pixels; more than 1 where strokes lie over each other.
    """
    height, width = shape
    x, y = xy[..., 0].ravel() - np.float32(0.5), xy[..., 1].ravel() - np.float32(0.5)
    left, top = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    fx, fy = x - left.astype(np.float32), y - top.astype(np.float32)
    if wrap:
        left, top = left % width, top % height
    else:
        left, top = np.clip(left, -2, width), np.clip(top, -2, height)
    # The grid has two spare rows and columns on each side, which take what lies outside.
    step = width + 4
    first = (top + 2) * step + left + 2
    at = np.concatenate([first, first + 1, first + step, first + step + 1])
    shares = np.concatenate([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy])
    planes = []
    for ink in inks:
        total = np.bincount(at, np.tile(ink.ravel(), 4) * shares, (height + 4) * step).reshape(height + 4, step)
        if wrap:
            total[2] += total[height + 2]
            total[:, 2] += total[:, width + 2]
        planes.append(total[2 : height + 2, 2 : width + 2].astype(np.float32))
    return planes


def draw(
    shape: tuple[int, int], strokes: Strokes, *, wrap: bool = False, longest: float | None = None
) -> tuple[Floats, Floats]:
    """Cover and brightness of strokes.

    Args:
        shape: Height and width in px.
        strokes: Of any number.
        wrap: As in ``splat``.
        longest: As in ``Strokes.points``.

    Returns:
        Cover (H, W) from 0 to 1 and tone (H, W), the mean tone of the strokes that cover a pixel, 1 elsewhere.
    """
    if not len(strokes):
        return np.zeros(shape, np.float32), np.ones(shape, np.float32)
    xy, ink, _ = strokes.points(longest=longest)
    cover, toned = splat(shape, xy, (ink, ink * strokes.tone[:, None]), wrap=wrap)
    return np.minimum(cover, 1), np.where(cover > 1e-3, toned / np.maximum(cover, 1e-3), 1).astype(np.float32)


def scatter(
    rng: np.random.Generator,
    count: int,
    start_xy: Floats,
    angle: tuple[float, float] | Floats,
    length: tuple[float, float] | Floats,
    *,
    width: float = 1.0,
    bend: float = 0.15,
    tone: tuple[float, float] = (0.7, 1.3),
) -> Strokes:
    """Make strokes from ranges; an array stands for itself."""
    pick = lambda of: of if isinstance(of, np.ndarray) else rng.uniform(*of, count)  # noqa: E731
    parts = (
        start_xy,
        pick(angle),
        pick(length),
        rng.normal(0, bend, count),
        width * rng.uniform(0.6, 1.2, count),
        pick(tone),
    )
    return Strokes(*(np.asarray(part, np.float32) for part in parts))

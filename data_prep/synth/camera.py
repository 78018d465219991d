"""From the forest to the file: a seamline, colours, blur, noise, JPEG, and holes where no picture was taken."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import rasterize
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from data_prep.synth.grain import Floats

DARKEST = 3  # of a real pixel: 0 in all bands means that there is no picture
MOST_SHIFT = 3  # px, at the seam


@dataclass(frozen=True)
class Seam:
    """Two flights meet: right of a line from the top edge to the bottom edge all is shifted and of another colour.

    Attributes:
        knots_xy: (K, 2) px, from above the scene to below it.
        shift: (2,) whole px, right and down.
        gain: (3,) factor on the colours.
    """

    knots_xy: Floats
    shift: tuple[int, int]
    gain: Floats

    def right(self, top: int, height: int, width: int) -> NDArray[np.bool_]:
        """Pixels on the right side; (height, width)."""
        line = np.interp(np.arange(top, top + height) + 0.5, self.knots_xy[:, 1], self.knots_xy[:, 0])
        return np.arange(width)[None, :] + 0.5 > line[:, None]

    def move(self, geometry: shapely.Geometry, width: int) -> shapely.Geometry:
        """Where a geometry of the forest lies in the picture; what crosses the seam is broken there."""
        far = width + 1e5
        side = shapely.Polygon([*self.knots_xy, (far, self.knots_xy[-1, 1]), (far, self.knots_xy[0, 1])])
        shifted = shapely.transform(geometry, lambda xy: xy + self.shift)
        return shapely.union(shapely.difference(geometry, side), shapely.intersection(shifted, side))


@dataclass(frozen=True)
class Camera:
    """All that happens to the colours of a scene after the light.

    Attributes:
        gain: (3,) colour cast.
        contrast: Around the middle grey.
        brightness: Added, 0-255.
        blur: Share that one pixel gives to its neighbours along an axis, and how often.
        noise: Deviation, 0-255.
        quality: Of the JPEG.
        seam: Or None.
        holes: Polygons in px without a picture.
    """

    gain: Floats
    contrast: float
    brightness: float
    blur: tuple[float, int]
    noise: float
    quality: int
    seam: Seam | None
    holes: tuple[shapely.Polygon, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, size_wh: tuple[int, int], roughness: float) -> Camera:
        """Choose a camera for a scene; `roughness` scales blur, noise and JPEG artefacts."""
        holes = [_hole(rng, size_wh) for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.35, 0.15])))]
        return cls(
            gain=np.round(1 + rng.normal(0, 0.045, 3), 4).astype(np.float32),
            contrast=float(rng.uniform(0.8, 1.12)),
            brightness=float(rng.uniform(4, 34)),
            blur=(min(0.25, float(rng.uniform(0.12, 0.24)) * roughness), int(rng.integers(1, 4))),
            noise=float(rng.uniform(1.2, 3.6)) * roughness,
            quality=int(np.clip(100 - rng.uniform(6, 26) * roughness, 60, 97)),
            seam=_seam(rng, size_wh) if rng.random() < 0.4 else None,
            holes=tuple(holes),
        )

    @property
    def halo(self) -> int:
        """Rows above and below a band that its picture depends on."""
        return self.blur[1] + MOST_SHIFT

    def shift(self, rgb: Floats, trees: NDArray[np.int32], top: int) -> tuple[Floats, NDArray[np.int32]]:
        """Apply the seam to colours (3, H, W) and tree numbers (H, W) of rows `top` on."""
        if self.seam is None:
            return rgb, trees
        height, width = trees.shape
        right = self.seam.right(top, height, width)
        row = np.clip(np.arange(height) - self.seam.shift[1], 0, height - 1)
        column = np.arange(width) - self.seam.shift[0]
        known = (column >= 0) & (column < width)
        column = np.clip(column, 0, width - 1)
        moved = rgb[:, row][:, :, column] * self.seam.gain[:, None, None]
        numbers = np.where(known, trees[row][:, column], 0)
        return np.where(right, moved, rgb), np.where(right, numbers, trees)

    def develop(self, rng: np.random.Generator, rgb: Floats) -> NDArray[np.uint8]:
        """Colours, blur, noise and JPEG of a band without its holes; the `blur[1]` outer rows are used up.

        Args:
            rng: Of the band.
            rgb: (3, H + 2 blur[1], W), 0-255.

        Returns:
            (3, H, W), none of its values 0.
        """
        planes = [self._exposed(rng, plane, gain) for plane, gain in zip(rgb, self.gain, strict=True)]
        return np.maximum(_jpeg(np.stack(planes), self.quality), DARKEST)

    def _exposed(self, rng: np.random.Generator, plane: Floats, gain: np.float32) -> NDArray[np.uint8]:
        """One colour of a band, blurred and noisy; `blur[1]` rows fewer above and below."""
        share, times = self.blur
        for _ in range(times):
            plane = _blurred(plane, np.float32(share))
        plane = (plane - 118) * np.float32(self.contrast * gain) + np.float32((118 + self.brightness) * gain)
        grain = rng.standard_normal(plane.shape, dtype=np.float32)
        grain[:, 1:] = grain[:, 1:] * np.float32(0.8) + grain[:, :-1] * np.float32(0.5)
        grain *= plane * np.float32(self.noise / 256) + np.float32(0.5 * self.noise)
        plane += grain
        plane += np.float32(0.5)
        return np.clip(plane, 0, 255, out=plane).astype(np.uint8)

    def no_picture(self, top: int, height: int, width: int) -> NDArray[np.bool_]:
        """Pixels inside a hole; (height, width)."""
        if not self.holes:
            return np.zeros((height, width), bool)
        return rasterize(self.holes, (height, width), transform=Affine.translation(0, top), dtype=np.uint8).astype(bool)


def _blurred(plane: Floats, share: np.float32) -> Floats:
    """One binomial step down and across; two rows fewer."""
    middle = plane[1:-1] * (1 - 2 * share)
    middle += (plane[:-2] + plane[2:]) * share
    out = middle * (1 - 2 * share)
    middle *= share
    out[:, 1:] += middle[:, :-1]
    out[:, :-1] += middle[:, 1:]
    out[:, [0, -1]] += middle[:, [0, -1]]
    return out


def _jpeg(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Through JPEG and back. Bands of 128 rows hold whole blocks, so this is what one JPEG of the scene would give."""
    count, height, width = rgb.shape
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with MemoryFile() as memory:
            profile = dict(driver='JPEG', width=width, height=height, count=count, dtype='uint8', quality=quality)
            with memory.open(**profile) as dataset:
                dataset.write(rgb)
            with memory.open() as dataset:
                return dataset.read()


def _seam(rng: np.random.Generator, size_wh: tuple[int, int]) -> Seam:
    width, height = size_wh
    count = max(3, height // 160)
    x = (rng.uniform(0.2, 0.8) + np.cumsum(rng.normal(0, 0.012, count))) * width
    y = np.linspace(-50, height + 50, count)
    shift = (int(rng.integers(-MOST_SHIFT, MOST_SHIFT + 1)), int(rng.integers(-MOST_SHIFT, MOST_SHIFT + 1)))
    gain = (1 + rng.normal(0, 0.06)) * (1 + rng.normal(0, 0.02, 3))
    return Seam(np.round(np.stack([x, y], 1), 2).astype(np.float32), shift, np.round(gain, 4).astype(np.float32))


def _hole(rng: np.random.Generator, size_wh: tuple[int, int]) -> shapely.Polygon:
    """A corner or a bite out of an edge, with a ragged inner side."""
    width, height = size_wh
    reach = rng.uniform(0.06, 0.22, 2) * (width, height)
    inner = np.linspace(0, 1, 7)[:, None] * [[1.0, -1.0]] + [[0.0, 1.0]]  # from (0, 1) to (1, 0)
    inner += np.concatenate([[[0, 0]], rng.normal(0, 0.05, (5, 2)), [[0, 0]]])
    points = np.concatenate([[[-0.1, -0.1], [-0.1, 1.0]], inner, [[1.0, -0.1]]]) * reach
    if rng.random() < 0.5:
        points[:, 0] = width - points[:, 0]
    if rng.random() < 0.5:
        points[:, 1] = height - points[:, 1]
    return shapely.make_valid(shapely.Polygon(np.round(points, 2)))

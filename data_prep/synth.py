"""`python -m data_prep synth`: draw small scenes with fallen trunks, to try everything on without data of one's own.

Each scene is a GeoTIFF and a LabelMe file of the same name. The same seed draws the same scenes, and a longer run
begins with the scenes of a shorter one.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from data_prep.atomic import atomic_path, atomic_write
from data_prep.errors import DataError

Floats = NDArray[np.float64]

LABEL = 'fallen_tree'
CRS = 'EPSG:32633'
ORIGIN_XY = (500_000.0, 5_500_000.0)
# RGB of the things in a scene, 0-255.
SOIL, MOSS, BARK, CROWN = (112, 98, 78), (74, 88, 52), (168, 156, 138), (46, 66, 38)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser('synth', help='draw scenes with fallen trunks', description=__doc__)
    parser.add_argument('--out', required=True, type=Path, help='folder for the scenes')
    parser.add_argument('--scenes', type=int, default=6, help='how many (default 6)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--size', type=int, default=1024, help='width and height in px (default 1024)')
    parser.add_argument('--gsd', type=float, default=0.05, help='metres per pixel (default 0.05)')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw the scenes; returns the exit code."""
    if args.scenes < 1 or args.size < 128 or args.gsd <= 0:
        raise DataError(
            f'synth needs --scenes >= 1, --size >= 128 and --gsd > 0; got {args.scenes}, {args.size} and {args.gsd}.'
        )
    args.out.mkdir(parents=True, exist_ok=True)
    trees = sum(
        draw_scene(args.out / f'synth_{index:02d}.tif', (args.seed, index), args.size, args.gsd)
        for index in range(args.scenes)
    )
    print(f'{args.scenes} scenes with {trees} fallen trees in {args.out}')
    return 0


def draw_scene(path: Path, seed: tuple[int, int], size: int, gsd_m: float) -> int:
    """Draw one square scene and its labels beside it.

    Returns:
        The number of trees in it.
    """
    rng = np.random.default_rng(seed)
    image = _ground(rng, size)
    trunks = [_random_trunk(rng, size) for _ in range(rng.integers(size // 50, size // 25))]
    for centre_xy, half_width in trunks:
        _paint_trunk(rng, image, centre_xy, half_width)
    for _ in range(size // 60):
        _paint_crown(rng, image)
    pixels = np.clip(image + rng.normal(0, 5, image.shape), 1, 255).astype(np.uint8)
    _write_geotiff(path, pixels, gsd_m)
    shapes = [_labelme_shape(_outline(centre_xy, half_width)) for centre_xy, half_width in trunks]
    labels = dict(
        version='5.4.1', flags={}, shapes=shapes, imagePath=path.name, imageData=None, imageHeight=size, imageWidth=size
    )
    with atomic_write(path.with_suffix('.json')) as file:
        json.dump(labels, file)
    return len(shapes)


def _ground(rng: np.random.Generator, size: int) -> Floats:
    """Soil and moss in patches of several sizes; (size, size, 3)."""
    field = sum(weight * _noise(rng, size, cell) for cell, weight in ((256, 1.0), (64, 0.7), (16, 0.5), (4, 0.4)))
    share = 1 / (1 + np.exp(-2 * field))[..., None]
    light = 1 + 0.12 * _noise(rng, size, 6)[..., None] + 0.10 * _noise(rng, size, 40)[..., None]
    return (share * np.array(SOIL) + (1 - share) * np.array(MOSS)) * light


def _noise(rng: np.random.Generator, size: int, cell: int) -> Floats:
    """Smooth noise of mean 0 and deviation about 0.7, with features of `cell` px; (size, size)."""
    count = size // cell + 2
    at = np.arange(size) / cell
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count)))
    return weights @ rng.normal(0, 1, (count, count)) @ weights.T


def _random_trunk(rng: np.random.Generator, size: int) -> tuple[Floats, Floats]:
    """Choose a bent, tapering trunk: centreline (K, 2) in px and half width (K,) in px, thick end first."""
    length, base = rng.uniform(60, 260), rng.uniform(4.5, 8.5)
    angle = rng.normal(0.7, 0.5) if rng.random() < 0.6 else rng.uniform(0, 2 * np.pi)
    along = np.linspace(-0.5, 0.5, 17)
    bend = rng.normal(0, 0.03) * length * (1 - 4 * along**2)
    direction = np.array([np.cos(angle), np.sin(angle)])
    side = np.array([-direction[1], direction[0]])
    start = rng.uniform(0, size, 2)
    centre_xy = start + along[:, None] * length * direction + bend[:, None] * side
    return centre_xy, base * np.linspace(1, 0.45, len(along))


def _paint_trunk(rng: np.random.Generator, image: Floats, centre_xy: Floats, half_width: Floats) -> None:
    """Paint a trunk, round in its shading, with a shadow on one side, in place."""
    colour = np.array(BARK) * rng.uniform(0.75, 1.2)
    for offset, shade in (((4.0, 5.0), 0.0), ((0.0, 0.0), 1.0)):
        crop, distance, radius = _distance_to(centre_xy + offset, half_width, image.shape[0])
        cover = np.clip(radius - distance + 0.5, 0, 1)[..., None]
        round_light = (0.72 + 0.4 * np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, 1)))[..., None]
        paint = colour * round_light if shade else image[crop] * 0.6
        image[crop] = image[crop] * (1 - cover) + paint * cover


def _distance_to(
    centre_xy: Floats, half_width: Floats, size: int
) -> tuple[tuple[slice, slice], NDArray[np.float64], NDArray[np.float64]]:
    """Measure, in the part of the image around a centreline, the distance to it and its half width there."""
    low = np.clip(np.floor(centre_xy.min(0) - half_width.max() - 2), 0, size).astype(int)
    high = np.clip(np.ceil(centre_xy.max(0) + half_width.max() + 2), 0, size).astype(int)
    ys, xs = np.mgrid[low[1] : high[1], low[0] : high[0]] + 0.5
    best, radius = np.full(xs.shape, np.inf), np.ones(xs.shape)
    for (x0, y0), (x1, y1), w0, w1 in zip(centre_xy, centre_xy[1:], half_width, half_width[1:], strict=False):
        dx, dy = x1 - x0, y1 - y0
        share = ((xs - x0) * dx + (ys - y0) * dy) / (dx * dx + dy * dy)
        # A quarter segment beyond either end closes the bends; more would round the sawn ends past the outline.
        beside = (share < -0.25) | (share > 1.25)
        share = np.clip(share, 0, 1)
        distance = np.where(beside, np.inf, np.hypot(xs - x0 - share * dx, ys - y0 - share * dy))
        closer = distance < best
        best[closer], radius[closer] = distance[closer], (w0 + share * (w1 - w0))[closer]
    return (slice(low[1], high[1]), slice(low[0], high[0])), best, radius


def _paint_crown(rng: np.random.Generator, image: Floats) -> None:
    """Paint a living crown, a round dark green heap, in place; it may hide part of a trunk."""
    size = image.shape[0]
    x, y = rng.uniform(0, size, 2)
    radius = rng.uniform(12, 42)
    crop = tuple(slice(max(0, int(c - radius - 6)), int(c + radius + 6)) for c in (y, x))
    ys, xs = np.mgrid[: image[crop].shape[0], : image[crop].shape[1]]
    ys, xs = ys + crop[0].start - y, xs + crop[1].start - x
    edge = radius * (1 + 0.15 * np.sin(5 * np.arctan2(ys, xs) + rng.uniform(0, 6)))
    cover = np.clip(edge - np.hypot(ys, xs), 0, 1)[..., None]
    light = 0.8 + 0.5 * np.clip(1 - np.hypot(ys + radius / 3, xs + radius / 3) / radius, 0, 1)
    leaves = np.array(CROWN) * light[..., None] * rng.normal(1, 0.12, (*light.shape, 1))
    image[crop] = image[crop] * (1 - cover) + leaves * cover


def _outline(centre_xy: Floats, half_width: Floats) -> Floats:
    """Walk down one side of a trunk and up the other; (2K, 2)."""
    along = np.gradient(centre_xy, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], 1) / np.linalg.norm(along, axis=1, keepdims=True)
    offset = normal * half_width[:, None]
    return np.concatenate([centre_xy + offset, (centre_xy - offset)[::-1]])


def _labelme_shape(outline_xy: Floats) -> dict:
    points = [[round(float(x), 2), round(float(y), 2)] for x, y in outline_xy]
    return dict(label=LABEL, points=points, group_id=None, description='', shape_type='polygon', flags={})


def _write_geotiff(path: Path, pixels: NDArray[np.uint8], gsd_m: float) -> None:
    height, width, bands = pixels.shape
    profile = dict(
        driver='GTiff', width=width, height=height, count=bands, dtype='uint8', crs=CRS, tiled=True, blockxsize=256,
        blockysize=256, compress='deflate', photometric='rgb', transform=from_origin(*ORIGIN_XY, gsd_m, gsd_m),
    )  # fmt: skip
    with atomic_path(path) as temporary, rasterio.open(temporary, 'w', **profile) as raster:
        raster.write(pixels.transpose(2, 0, 1))

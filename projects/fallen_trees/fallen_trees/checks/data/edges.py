"""Edges of colour that a shadow does not make.

A trunk and its shadow have edges alike, a few pixels apart and in all of a scene to the same side. Light takes from all
bands about the same share, so that ratios of bands hardly change where a shadow begins: edges are looked for in the
logarithms of two ratios. Only grey images are looked at by their brightness, shadows cut off.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

SURROUNDINGS_PX = 12.0  # sigma; what changes slower than this is light and soil
FINE_PX = 1.0
FLOOR = 0.04  # of the brightest value, added before the logarithm: ratios of dark pixels are noise
LEAST_CHROMA = 0.01  # standard deviation of the log ratios; below it an image counts as grey
DARKEST = -0.3  # standard deviations of brightness; what is darker counts as this dark


def is_grey(image: NDArray) -> bool:
    """Whether an image (H, W, bands) has no colour to look for edges in."""
    return image.shape[-1] < 3 or float(_ratios(image).std(axis=(0, 1)).max()) < LEAST_CHROMA


def colour_edges(image: NDArray) -> NDArray[np.float32]:
    """Gradients of an image's colour, each on the scale of its own contrasts.

    Args:
        image: (H, W, bands) of any range; the first three bands are used, in any order.

    Returns:
        (2, axes, H, W): along x and along y.
    """
    if is_grey(image):
        axes = _contrast(_scaled(image).mean(axis=-1, keepdims=True))
        axes = np.maximum(axes / (axes.std() + 1e-6), DARKEST)
    else:
        axes = _contrast(_ratios(image))
        axes = axes / (axes.std(axis=(0, 1)) + 1e-3)
    planes = np.moveaxis(axes, -1, 0)
    along = [
        [cv2.Sobel(plane, cv2.CV_32F, *order, ksize=3, scale=1 / 8) for plane in planes] for order in ((1, 0), (0, 1))
    ]
    return np.array(along)


def _scaled(image: NDArray) -> NDArray[np.float32]:
    values = image[..., :3].astype(np.float32)
    return values / max(float(np.percentile(values, 99)), 1e-6)


def _ratios(image: NDArray) -> NDArray[np.float32]:
    """Logarithms of the ratios between outer bands and of the middle one to both (H, W, 2)."""
    a, b, c = np.moveaxis(np.log(np.maximum(_scaled(image), 0) + FLOOR), -1, 0)
    return np.stack([a - c, b - (a + c) / 2], axis=-1)


def _contrast(axes: NDArray[np.float32]) -> NDArray[np.float32]:
    """An image less its mean around each pixel."""
    fine, coarse = (cv2.GaussianBlur(axes, (0, 0), sigma) for sigma in (FINE_PX, SURROUNDINGS_PX))
    return (fine - coarse).reshape(axes.shape)

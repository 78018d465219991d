"""Text on pictures: where captions go so that they cover each other least, and writing them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from data_prep.errors import MissingPackage

FONT_PX = 12
LUMINANCE = np.array((0.299, 0.587, 0.114))  # of red, green and blue (ITU-R BT.601)


def caption_places(
    boxes_xyxy: np.ndarray, captions: Sequence[str], size_wh: tuple[int, int]
) -> list[tuple[float, float]]:
    """Left upper corners for captions: above, below or beside the box, wherever fewest others are covered."""
    taken = np.zeros((0, 4))
    places = []
    for (x0, y0, x1, y1), text in zip(boxes_xyxy, captions, strict=True):
        wide, tall = 0.62 * FONT_PX * len(text) + 4, FONT_PX + 3
        tries = [(x0, y0 - tall), (x0, y1), (x1, y0), (x0 - wide, y0), (x1 - wide, y0 - tall), (x0, y0)]
        spots = [(np.clip(x, 0, max(size_wh[0] - wide, 0)), np.clip(y, 0, max(size_wh[1] - tall, 0))) for x, y in tries]

        x, y = min(spots, key=lambda spot, wide=wide, tall=tall, taken=taken: _covered(taken, *spot, wide, tall))
        taken = np.vstack((taken, (x, y, x + wide, y + tall)))
        places.append((float(x), float(y)))
    return places


def _covered(taken: np.ndarray, x: float, y: float, wide: float, tall: float) -> float:
    """Area of other captions (N, 4) that one at x, y would lie on."""
    across = np.minimum(taken[:, 2], x + wide) - np.maximum(taken[:, 0], x)
    down = np.minimum(taken[:, 3], y + tall) - np.maximum(taken[:, 1], y)
    return float((np.maximum(across, 0) * np.maximum(down, 0)).sum())


def put_text(image: np.ndarray, texts: Sequence[tuple[float, float, str, np.ndarray]]) -> np.ndarray:
    """Write (x, y, text, colour) on an image, each from its left upper corner, black or white on the colour.

    Raises:
        MissingPackage: If matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPackage('pictures need matplotlib: pip install -r requirements/report.txt') from None
    height, width = image.shape[:2]
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    figure.figimage(image, origin='upper')  # pixel for pixel: nothing is resampled
    for x, y, text, colour in texts:
        ground = {'facecolor': tuple(colour / 255), 'edgecolor': 'none', 'pad': 1.0}
        ink = 'black' if colour @ LUMINANCE > 110 else 'white'
        figure.text((x + 2) / width, 1 - (y + 1) / height, text, color=ink, va='top', bbox=ground,
                    fontsize=FONT_PX * 0.72, parse_math=False)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # a letter the font lacks becomes a box, which says enough
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[: image.shape[0], : image.shape[1], :3].copy()

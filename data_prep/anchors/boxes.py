"""Widths and heights of boxes as a network sees them, and how well anchors fit them: IoU of two boxes on one centre."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.errors import DataError
from data_prep.labels.strict_json import read_json

Sizes = NDArray[np.float64]  # (N, 2) width, height in px


def read_sizes(path: Path, image_wh: tuple[int, int] | None) -> Sizes:
    """Sizes of all boxes of a COCO file but crowds.

    Args:
        path: COCO file.
        image_wh: Each image is fitted into this, its proportions kept, as MMDetection's `Resize` does; None leaves it.

    Raises:
        DataError: If it is no COCO file, or holds no box with an area.
    """
    if not path.is_file():
        raise DataError(f'{path} must be a COCO file; nothing is there; name one')
    content = read_json(path)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ('images', 'annotations')
    ):
        raise DataError(f'{path} must be a COCO file with lists of images and annotations; it has none; name another')
    try:
        scales = {image['id']: _scale(image, image_wh) for image in content['images']}
        single = [entry for entry in content['annotations'] if not entry.get('iscrowd')]
        sizes = np.array([[*entry['bbox'][2:4], scales[entry['image_id']]] for entry in single], float).reshape(-1, 3)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DataError(f'{path} has an image without id, width or height, or an annotation without bbox and image_id '
                        f'({error!r}); python -m data_prep check lists them') from None  # fmt: skip
    sizes = sizes[:, :2] * sizes[:, 2:]
    sizes = sizes[np.isfinite(sizes).all(1) & (sizes > 0).all(1)]
    if not len(sizes):
        raise DataError(f'{path} holds no box with an area besides crowds; there is nothing to fit anchors to')
    return sizes


def _scale(image: dict[str, Any], image_wh: tuple[int, int] | None) -> float:
    if image_wh is None:
        return 1.0
    long, short = max(image['width'], image['height']), min(image['width'], image['height'])
    return min(max(image_wh) / long, min(image_wh) / short)


def ious(sizes: Sizes, anchors: Sizes) -> NDArray[np.float64]:
    """IoU (N, K) of boxes and anchors with one centre; the distance of Redmon and Farhadi (2016) is 1 less this."""
    overlap = np.minimum(sizes[:, None], anchors).prod(2)
    return overlap / (sizes.prod(1)[:, None] + anchors.prod(1) - overlap)


def mean_best_iou(sizes: Sizes, anchors: Sizes) -> float:
    """Mean over boxes of the IoU with the anchor that fits best."""
    return float(ious(sizes, anchors).max(1).mean())

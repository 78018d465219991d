"""How informative an image is: many classes, rare classes, and a sub-folder with few images.

    score = w0 CDS / max(CDS) + w1 RCS / max(RCS) + w2 ICS / max(ICS)

    CDS   class diversity: number of classes in the image
    RCS   rare classes: sum over the classes in the image of (images in all) / (images that show the class)
    ICS   image count: 1 / (images in the image's sub-folder)

The maxima are taken over all images; where one is 0 (no annotation at all), its term is 0.
"""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from data_prep.errors import DataError

Record = dict[str, Any]
Weights = tuple[float, float, float]

DEFAULT_WEIGHTS: Weights = (0.4, 0.4, 0.2)


class Score(NamedTuple):
    """Score of an image, and the three parts before they are divided by their maxima."""

    score: float  # 0..1, rounded to 9 decimals, so that equal images tie
    cds: int
    rcs: float
    ics: float


def score_images(
    images: Sequence[Record],
    annotations: Sequence[Record],
    *,
    weights: Weights = DEFAULT_WEIGHTS,
    balance: str = 'folder',
) -> list[Score]:
    """Score the images of a COCO file.

    Args:
        images: With ``id`` and ``file_name``.
        annotations: With ``image_id`` and ``category_id``; crowds count like others.
        weights: Of class diversity, rare classes and image count; they are divided by their sum.
        balance: What an image's sub-folder is: ``'folder'`` takes that of ``file_name``, ``'scene'`` the key ``scene``.

    Returns:
        One score for each image, in order.

    Raises:
        DataError: If an image has no ``scene`` where it is asked for.
    """
    classes: dict[Any, set[Any]] = defaultdict(set)
    for part in annotations:
        classes[part['image_id']].add(part['category_id'])
    shown = [sorted(classes[image['id']], key=repr) for image in images]
    frequency = Counter(category for present in shown for category in present)
    groups = [_group(image, balance) for image in images]
    sizes = Counter(groups)
    parts = [
        (len(present), sum(len(images) / frequency[category] for category in present), 1 / sizes[group])
        for present, group in zip(shown, groups, strict=True)
    ]
    maxima = [max((part[index] for part in parts), default=0) for index in range(3)]
    shares = [weight / sum(weights) for weight in weights]
    return [Score(_weighted(part, maxima, shares), part[0], round(part[1], 9), round(part[2], 9)) for part in parts]


def _weighted(part: Sequence[float], maxima: Sequence[float], shares: Sequence[float]) -> float:
    terms = [share * value / top for value, top, share in zip(part, maxima, shares, strict=True) if top]
    return round(sum(terms), 9)


def _group(image: Record, balance: str) -> str:
    if balance == 'folder':
        return posixpath.dirname(image['file_name'])
    if not isinstance(image.get('scene'), str):
        raise DataError(f'--balance scene needs the key scene in every image; {image["file_name"]!r} has none; '
                        'take --balance folder')  # fmt: skip
    return image['scene']


def best(images: Sequence[Record], scores: Sequence[Score], count: int) -> list[int]:
    """Rows of the ``count`` images with the highest scores, best first; ties go by file name, then by order."""
    order = sorted(range(len(images)), key=lambda row: (-scores[row].score, images[row]['file_name'], row))
    return order[:count]

"""Counts, quantiles and histograms of a collection, as plain data that JSON can hold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_prep.stats.instances import Collection

QUANTITIES = {  # name: axis label with unit
    'per_image': 'instances per image',
    'size_px': 'size: root of the area (px)',
    'length_px': 'length (px)',
    'width_px': 'width: area by length (px)',
    'aspect': 'aspect: length by width',
    'visible_fraction': 'visible share of the whole object',
    'length_m': 'length (m)',
    'width_m': 'width: area by length (m)',
    'area_m2': 'area (m2)',
}
STEPS, BINS = (1, 2, 2.5, 5, 10), 30


def summarise(collection: Collection) -> dict[str, Any]:
    """Say everything in numbers.

    Args:
        collection: What was measured.

    Returns:
        ``splits`` (counts by split), ``classes`` (instances by class and split, crowds left out), ``quantities``
        (n, min, p5, median, mean, p95, max by name; only those that any instance has), ``histograms`` (``edges`` and
        ``counts`` by class; bins are half-open but for the last), ``without_outline`` and ``source``.
    """
    columns = _columns(collection)
    single = [item for item in collection.instances if not item.crowd]
    labels = sorted({item.label for item in single})
    classes: dict[str, dict[str, int]] = {label: {} for label in labels}
    for item in single:
        split = collection.images[item.image].split
        classes[item.label][split] = classes[item.label].get(split, 0) + 1
    there = {name: (values, kinds) for name, (values, kinds) in columns.items() if len(values)}
    return {
        'source': collection.source,
        'splits': _splits(collection),
        'classes': classes,
        'without_outline': sum(math.isnan(item.length_px) for item in single),
        'quantities': {name: _quantiles(values) for name, (values, _) in there.items()},
        'histograms': {
            name: histogram(values, kinds, whole=name == 'per_image') for name, (values, kinds) in there.items()
        },  # fmt: skip
    }


def _splits(collection: Collection) -> dict[str, dict[str, Any]]:
    result = {}
    for split in dict.fromkeys(image.split for image in collection.images):
        chosen = [item for item in collection.instances if collection.images[item.image].split == split]
        single = [item for item in chosen if not item.crowd]
        images = sum(image.split == split for image in collection.images)
        objects = {item.object_id for item in single if item.object_id is not None}
        busiest = Counter(item.image for item in single)
        result[split] = {
            'images': images,
            'empty_images': images - len(busiest),
            'instances': len(single),
            'objects': len(objects) if objects else None,
            'crowds': len(chosen) - len(single),
            'mean_per_image': round(len(single) / images, 3),
            'max_per_image': max(busiest.values(), default=0),
        }
    return result


def _columns(collection: Collection) -> dict[str, tuple[np.ndarray, list[str]]]:
    """Values and classes of each quantity, without NaN."""
    single = [item for item in collection.instances if not item.crowd]
    kinds = np.array([item.label for item in single], object)
    length, width, area, visible, gsd = np.array(
        [(i.length_px, i.width_px, i.area_px, i.visible_fraction, collection.images[i.image].gsd_m) for i in single],
        float,
    ).reshape(-1, 5).T  # fmt: skip
    busiest = Counter(item.image for item in single)
    images = range(len(collection.images))
    columns = {'per_image': (np.array([busiest[n] for n in images], float), ['images' for _ in images])}
    values = {
        'size_px': np.sqrt(area),
        'length_px': length,
        'width_px': width,
        'aspect': length / width,
        'visible_fraction': visible,
        'length_m': length * gsd,
        'width_m': width * gsd,
        'area_m2': area * gsd**2,
    }
    for name, column in values.items():
        finite = np.isfinite(column)
        columns[name] = (column[finite], kinds[finite].tolist())
    return columns


def _quantiles(values: np.ndarray) -> dict[str, float]:
    low, p5, median, p95, high = np.percentile(values, (0, 5, 50, 95, 100)).tolist()
    named = {'min': low, 'p5': p5, 'median': median, 'mean': float(values.mean()), 'p95': p95, 'max': high}
    return {'n': len(values), **{name: round(value, 6) for name, value in named.items()}}


def histogram(values: np.ndarray, kinds: Sequence[str], *, whole: bool = False) -> dict[str, Any]:
    """Count values in bins from 0 to the greatest, at most about 30, of a round width.

    Args:
        values: (N,) finite, 0 or greater, N > 0.
        kinds: N classes.
        whole: Whether the values are whole numbers; a bin is then a whole number wide.

    Returns:
        ``edges`` (B + 1) and ``counts``, B numbers by class. A value on an edge falls into the bin above it; the last
        bin holds its upper edge too.
    """
    step = round_step(float(values.max()) / BINS)
    step = max(math.ceil(step), 1) if whole else step
    bins = math.floor(values.max() / step) + 1 if whole else max(math.ceil(values.max() / step - 1e-9), 1)
    edges = [float(f'{number * step:.12g}') for number in range(bins + 1)]  # 0.3, not 0.30000000000000004
    names, values = np.array(kinds, object), np.minimum(values, edges[-1])
    counts = {name: np.histogram(values[names == name], edges)[0].tolist() for name in sorted(set(kinds))}
    return {'edges': edges, 'counts': counts}


def round_step(least: float) -> float:
    """Smallest of 1, 2, 2.5, 5 times a power of ten that is at least this; 1 for 0."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in STEPS if step * power >= least * (1 - 1e-9))

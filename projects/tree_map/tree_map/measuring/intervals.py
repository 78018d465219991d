"""Intervals around what was measured: from the size of a pixel, the error of the masks and what of a tree is hidden."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from tree_map.measuring.sections import Floats
from tree_map.measuring.stem import Stem

MASK_ERROR_PX = 1.0
NAMES = ('length', 'diameter_base', 'diameter_mid', 'diameter_top', 'volume', 'azimuth', 'area', 'visible')
NOMINAL = 0.9
# Weight of each source in `features`, for the part below the measured value and for the part above. They minimise the
# interval score of Gneiting & Raftery (Strictly Proper Scoring Rules, 2007) on 675 drawn trees of all difficulties,
# 5 cm a pixel, with masks of no error, of 0.5 and of 1 px, and were then scaled to hold 90 % of these. What length and
# volume reach above is mostly for ends that are hidden, which no outline shows.
WEIGHTS = {
    'length': ((3.4, 3.4, 0.0, 0.0, 0.13, 0.53), (3.4, 3.4, 1.3, 0.55, 0.27, 22.0)),
    'diameter_base': ((3.1, 0.99, 0.11, 0.0, 0.0, 0.0), (6.2, 1.6, 0.0, 0.3, 0.0, 0.0)),
    'diameter_mid': ((0.51, 1.2, 0.25, 0.0, 8.6, 0.0), (5.3, 0.64, 0.43, 0.0, 0.0, 0.0)),
    'diameter_top': ((0.016, 1.9, 0.34, 1.9, 0.53, 0.42), (2.7, 0.99, 0.0, 0.0, 0.0, 0.0)),
    'volume': ((5.3, 1.1, 0.0, 0.93, 0.15, 0.0, 0.0, 8.7), (5.3, 1.3, 1.2, 0.0, 0.31, 1.2, 0.0, 8.7)),
    'azimuth': ((2.7, 5.8, 0.29, 0.0, 0.0, 0.09), (2.7, 5.8, 0.29, 0.0, 0.0, 0.09)),
    'area': ((0.27, 8.0, 0.45), (0.15, 12.0, 1.3)),
    'visible': ((2.7, 0.0, 1.5, 0.0, 15.0, 0.0), (0.0, 0.47, 0.0, 0.0, 0.0, 0.0)),
}  # fmt: skip
# Of what a line could not follow, below and above: not fitted, as drawn trunks give none. It may be more of this tree.
LEFT = {
    'length': (0.5, 1.0), 'diameter_base': (0.5, 0.5), 'diameter_mid': (0.5, 0.5), 'diameter_top': (0.5, 0.5),
    'volume': (0.7, 1.0), 'azimuth': (1.0, 1.0), 'area': (0.0, 0.0), 'visible': (1.0, 1.0),
}  # fmt: skip


def features(stems: list[Stem], perimeter: Floats, gsd_m: float, mask_error_px: float) -> dict[str, Floats]:
    """What makes each quantity uncertain, in its own unit; (n, k) for k sources."""
    get = lambda name: np.array([getattr(stem, name) for stem in stems], float)  # noqa: E731
    length, area, seen, plate, crown = (get(name) for name in ('length', 'area', 'seen', 'plate', 'crown'))
    diameters = np.array([stem.diameters for stem in stems]).reshape(-1, 3)
    scatter = np.array([stem.diameter_errors for stem in stems]).reshape(-1, 3)
    pixel, mask, one = np.full(len(stems), gsd_m), np.full(len(stems), gsd_m * mask_error_px), np.ones(len(stems))
    hidden, broad = 1 - seen, ((plate > 0) | (crown > 0)).astype(float)
    found = {'length': [pixel, mask, plate, crown, hidden * length, 0.01 * length]}
    for k, name in enumerate(('base', 'mid', 'top')):
        d = diameters[:, k]
        found[f'diameter_{name}'] = [scatter[:, k], mask, hidden * d, pixel, 0.01 * d, 0.01 * broad * d]
    middle = np.maximum(diameters[:, 1], gsd_m)
    found['volume'] = [
        2 * scatter[:, 1] / middle, 2 * mask / middle, pixel / middle, 0.01 * one, hidden, plate / length,
        crown / length, mask / length,
    ]  # fmt: skip
    found['azimuth'] = [pixel / length, mask / length, plate / length, crown / length, hidden * middle / length, hidden]
    # Of counting pixels whose centre lies inside: 0.0724 b g^3 is the variance (Gundersen & Jensen 1987).
    found['area'] = [np.sqrt(0.0724 * perimeter * gsd_m**3), mask * np.sqrt(perimeter * gsd_m), mask * perimeter / 2]
    found['visible'] = [scatter[:, 1] / middle, mask / middle, pixel / middle, hidden, 0.01 * one, broad * 0.01]
    left = get('left')
    more = left / np.maximum(1 - left, 0.05)
    aside = dict(length=np.clip(left * area / middle, left * length, 2 * length), volume=more, azimuth=np.pi / 2 * left,
                 area=0 * left, visible=left)  # fmt: skip
    aside |= {f'diameter_{name}': left * diameters[:, k] for k, name in enumerate(('base', 'mid', 'top'))}
    for name, part in found.items():
        part.append(aside[name])
    units = dict(volume=get('volume'), azimuth=np.full(len(stems), np.degrees(1)))
    return {name: np.stack(part, 1) * units.get(name, one)[:, None] for name, part in found.items()}


def with_intervals(
    stems: list[Stem | None], perimeter: Floats, gsd_m: float, mask_error_px: float, level: float
) -> pd.DataFrame:
    """The table of ``table.measure``."""
    known = np.flatnonzero([stem is not None for stem in stems])
    whole = [stems[k] for k in known]
    widen = norm.ppf((1 + level) / 2) / norm.ppf((1 + NOMINAL) / 2)
    sources = features(whole, perimeter[known], gsd_m, mask_error_px)
    half = {
        name: [widen * np.sqrt((part**2) @ (np.array([*w, last]) ** 2))
               for w, last in zip(WEIGHTS[name], LEFT[name], strict=True)]
        for name, part in sources.items()
    }  # fmt: skip
    values = _values(whole)
    columns = {}
    for name, (below, above) in half.items():
        if name != 'azimuth':
            stem, unit = COLUMNS[name]
            low = np.maximum(values[name] - below, 0)
            high = values[name] + above
            bounds = 'visible' if name == 'visible' else stem
            columns |= {stem + unit: values[name], f'{bounds}_lo{unit}': low,
                        f'{bounds}_hi{unit}': np.minimum(high, 1) if name == 'visible' else high}  # fmt: skip
    columns['azimuth_deg'] = values['azimuth']
    columns['azimuth_error_deg'] = np.minimum(half['azimuth'][0], 90)
    table = pd.DataFrame(columns, index=known).reindex(range(len(stems)))
    table['direction'] = pd.Series(['fall' if stem.fall else 'axis' for stem in whole], known, object).reindex(
        range(len(stems))
    )
    return table[ORDER]


COLUMNS = {name: (name, '_m') for name in NAMES[:4]} | {
    'volume': ('volume', '_m3'), 'area': ('area', '_m2'), 'visible': ('visible_fraction', ''),
}  # fmt: skip
ORDER = [
    *(f'{stem}{bound}{unit}' for stem, unit in list(COLUMNS.values())[:5] for bound in ('', '_lo', '_hi')),
    'azimuth_deg', 'azimuth_error_deg', 'direction',
    'area_m2', 'area_lo_m2', 'area_hi_m2', 'visible_fraction', 'visible_lo', 'visible_hi',
]  # fmt: skip


def _values(stems: list[Stem]) -> dict[str, NDArray]:
    get = lambda name: np.array([getattr(stem, name) for stem in stems], float)  # noqa: E731
    diameters = np.array([stem.diameters for stem in stems]).reshape(-1, 3)
    return dict(
        length=get('length'), diameter_base=diameters[:, 0], diameter_mid=diameters[:, 1],
        diameter_top=diameters[:, 2], volume=get('volume'), azimuth=get('azimuth'), area=get('area'),
        visible=get('seen'),
    )  # fmt: skip

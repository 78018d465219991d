"""How near the truth are the measures of trees, and how often do their intervals hold it?

    python tools/benchmark/measuring.py            # 40 drawn scenes of 1600 x 1600 px, some minutes
    python tools/benchmark/measuring.py --quick    # 6 of them, under a minute

Drawn windthrow (`python -m data_prep synth`), seeds that no constant of the measuring was fitted on. Masks: `exact`,
the pixels in which a tree is seen, and `degraded`: their border moved by 1 px (root mean square; bumps of about 5 px
and an offset of 0.25 px for the whole tree), ends lost or added by 3 px. Trees: labelled ones that lie wholly inside
the picture. `whole`: at least 90 % of the outline is seen. Hidden ends are not seen, and yet count against length.

The last line is one line of JSON: errors of whole trees with exact masks, and the share of all trees whose interval at
nominal 90 % holds the truth, for each quantity and kind of mask.
"""

import argparse
import json
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely
from rasterio.features import rasterize, shapes
from rasterio.transform import Affine
from scipy.ndimage import distance_transform_edt, gaussian_filter, label

from data_prep.synth.annotate import is_labelled
from data_prep.synth.scene import Scene
from data_prep.synth.settings import Options
from data_prep.synth.tree import FallenTree
from data_prep.synth.truth import Seen, TreeTruth, all_truth
from tree_map.measuring import measure

SEEDS = 20_000  # the first of the seeds reported here
BUMPS_PX, OFFSET_PX, ENDS = 2.0, 0.25, 3.0
QUANTITIES = ('length_m', 'diameter_base_m', 'diameter_mid_m', 'diameter_top_m', 'volume_m3', 'area_m2')
WHOLE = 0.9


@dataclass(frozen=True)
class Drawn:
    """A tree, what is true of it, and the size of a pixel, m."""

    truth: TreeTruth
    tree: FallenTree
    gsd_m: float

    def to_map(self, geometry: shapely.Geometry) -> shapely.Geometry:
        """From pixels to metres, north up."""
        return shapely.transform(geometry, lambda xy: xy * (self.gsd_m, -self.gsd_m))


def draw(seeds: range, difficulty: str = 'default', side: int = 1600, gsd_m: float = 0.05) -> list[Drawn]:
    """Labelled trees of one scene for each seed, those that the picture's border cuts left out."""
    found = []
    for seed in seeds:
        size = dict(width_px=(side, side), height_px=(side, side), gsd_m=(gsd_m, gsd_m))
        scene = Scene(Options(seed=seed, trees=(8, 40), difficulty=difficulty, **size), 0)
        seen = Seen(scene)
        for band in scene.bands():
            seen.add(band)
        pairs = zip(all_truth(scene, seen), scene.layout.trees, strict=True)
        found += [Drawn(t, tree, scene.gsd_m) for t, tree in pairs if is_labelled(t) and t.inside_share > 0.999]
    return found


def degraded(drawn: Drawn, rng: np.random.Generator, error_px: float) -> shapely.MultiPolygon:
    """The visible part as a network with this error would have found it, px; may be empty."""
    low = np.floor(drawn.truth.visible.bounds[:2]).astype(int) - 24
    width, height = (np.ceil(drawn.truth.visible.bounds[2:]).astype(int) + 24 - low).tolist()
    at = Affine.translation(*low.tolist())
    mask = rasterize([drawn.truth.visible], (height, width), transform=at, dtype=np.uint8).astype(bool)
    mask = _other_ends(mask, drawn, low, rng.normal(0, ENDS * error_px, 2))
    inside = np.where(mask, distance_transform_edt(mask) - 0.5, 0.5 - distance_transform_edt(~mask))
    bumps = gaussian_filter(rng.standard_normal(mask.shape), BUMPS_PX)
    bumps *= np.sqrt(1 - OFFSET_PX**2) / bumps.std()
    mask = inside + error_px * (bumps + OFFSET_PX * rng.standard_normal()) > 0
    parts, count = label(mask)
    mask &= np.append(0, np.bincount(parts.ravel(), minlength=count + 1)[1:])[parts] >= 5
    found = shapes(mask.astype(np.uint8), mask=mask, transform=at)
    return shapely.MultiPolygon([shapely.geometry.shape(part) for part, _ in found])


def _other_ends(mask: np.ndarray, drawn: Drawn, low: np.ndarray, change_px: np.ndarray) -> np.ndarray:
    """The mask with what is seen of the tree longer, or shorter, at its ends by some px."""
    line = max(shapely.get_parts(drawn.truth.centreline), key=lambda part: part.length)
    row, column = np.nonzero(mask)
    at = shapely.line_locate_point(line, shapely.points(np.stack([column, row], 1) + low + 0.5))
    ends = at.min(), at.max()
    kept = (at >= ends[0] - change_px[0]) & (at <= ends[1] + change_px[1])
    out = np.zeros_like(mask)
    out[row[kept], column[kept]] = True
    for end, other, change in ((ends[0], ends[0] + 4, change_px[0]), (ends[1], ends[1] - 4, change_px[1])):
        if change > 0:
            tip, inner = (np.array(line.interpolate(s).coords[0]) for s in (end, other))
            beyond = tip + (tip - inner) / max(float(np.hypot(*(tip - inner))), 1e-6) * change
            radius = max(np.interp(end / line.length, [0, 0.5, 1], drawn.truth.diameters_m) / drawn.gsd_m / 2, 0.5)
            patch = shapely.LineString([tip, beyond]).buffer(radius, cap_style='flat')
            out |= rasterize([patch], mask.shape, transform=Affine.translation(*low.tolist())).astype(bool)
    return out


def truth_table(trees: list[Drawn]) -> pd.DataFrame:
    """What is true, columns as in the table of measures; `visible_share` of the outline."""
    rows = []
    for d in trees:
        t, stem = d.truth, shapely.union_all([part.outline().buffer(0) for part in d.tree.stems])
        area = t.outline.area if t.visible_share > 0.9999 else t.visible.area
        rows.append((t.length_m, *t.diameters_m, t.volume_m3, area * d.gsd_m**2, t.azimuth_deg, t.visible_share,
                     shapely.intersection(t.visible, stem).area / stem.area))  # fmt: skip
    return pd.DataFrame(rows, columns=[*QUANTITIES, 'azimuth_deg', 'visible_share', 'visible_fraction'])


def azimuth_off(table: pd.DataFrame, truth: pd.DataFrame) -> np.ndarray:
    """Degrees between the two, 0 to 180, or 0 to 90 where only the axis is known."""
    off = np.abs((table['azimuth_deg'] - truth['azimuth_deg'] + 180) % 360 - 180)
    return np.where(table['direction'] == 'axis', np.minimum(off, 180 - off), off)


def covered(table: pd.DataFrame, truth: pd.DataFrame) -> dict[str, np.ndarray]:
    """For each quantity which trees' interval holds the truth."""
    held = {'azimuth': azimuth_off(table, truth) <= table['azimuth_error_deg']}
    for name in (*QUANTITIES, 'visible_fraction'):
        stem, dash, unit = name.rpartition('_') if name != 'visible_fraction' else ('visible', '', '')
        low, high = (table[f'{stem}_{bound}{dash}{unit}'] for bound in ('lo', 'hi'))
        held[name if stem == 'visible' else stem] = (low <= truth[name]) & (truth[name] <= high)
    return {name: np.asarray(part) for name, part in held.items()}


def accuracy(table: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Median and mean error by how much of a tree is seen: % of the truth, degrees of the axis."""
    off = azimuth_off(table, truth)
    fall = (table['direction'] == 'fall').to_numpy()
    error = pd.DataFrame({name: 100 * (table[name] / truth[name] - 1).abs() for name in QUANTITIES})
    error['azimuth_deg'] = np.minimum(off, 180 - off)
    rows = {}
    for low, high in ((WHOLE, 1.01), (0.6, WHOLE), (0.0, 0.6)):
        kept = truth['visible_share'].between(low, high, inclusive='left').to_numpy()
        row = {'trees': int(kept.sum())}
        for name in error:
            row |= {(f'{name} {kind}'): getattr(error.loc[kept, name], kind)() for kind in ('median', 'mean')}
        row |= {'fall known %': 100 * fall[kept].mean(), 'right of these %': 100 * (off[kept & fall] < 90).mean()}
        rows[f'seen {100 * low:.0f}-{100 * min(high, 1):.0f} %'] = row
    return pd.DataFrame(rows)


def main() -> None:
    """Draw, measure, print two tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='6 scenes')
    parser.add_argument('--difficulty', default='default', help='of the drawn scenes: easy, default, hard')
    parser.add_argument('--gsd', type=float, default=0.05, help='side of a pixel, m')
    args = parser.parse_args()
    trees = draw(range(SEEDS, SEEDS + (6 if args.quick else 40)), args.difficulty, gsd_m=args.gsd)
    rng, truth, result = np.random.default_rng(SEEDS), truth_table(trees), {}
    masks = dict(exact=(0.0, [d.truth.visible for d in trees]), degraded=(1.0, [degraded(d, rng, 1.0) for d in trees]))
    for kind, (error_px, found) in masks.items():
        polygons = np.empty(len(trees), object)
        polygons[:] = [d.to_map(polygon) for d, polygon in zip(trees, found, strict=True)]
        began = time.process_time()
        table = measure(polygons, args.gsd, error_px).table
        seconds = time.process_time() - began
        kept = table['length_m'].notna().to_numpy()
        table, true = table[kept], truth[kept]
        errors = accuracy(table, true)
        print(f'\n{kind}: {kept.sum()} of {len(trees)} trees, {1000 * seconds / len(trees):.1f} ms of CPU each')
        print(errors.to_string(float_format='%.2f'), flush=True)
        for name, held in covered(table, true).items():
            result[f'coverage_{kind}_{name}'] = round(float(held.mean()), 3)
        if kind == 'exact':
            whole = errors.iloc[:, 0]
            for name, row in (('length_error_pct', 'length_m'), ('azimuth_error_deg', 'azimuth_deg'),
                              ('volume_error_pct', 'volume_m3')):  # fmt: skip
                result |= {f'{name}{end}': round(float(whole[f'{row} {of}']), 3)
                           for end, of in (('', 'median'), ('_mean', 'mean'))}  # fmt: skip
            result['fall_right_pct'] = round(
                100 * float((azimuth_off(table, true) < 90)[table['direction'] == 'fall'].mean()), 1
            )
        result[f'ms_per_tree_{kind}'] = round(1000 * seconds / len(trees), 2)
    print(json.dumps(result))


if __name__ == '__main__':
    main()

"""How often do the intervals of figures hold the true value?

    python tools/benchmark/intervals.py            # 200 drawn worlds of each kind, some minutes
    python tools/benchmark/intervals.py --quick    # 16 of each, under a minute

A world is a few scenes of drawn windthrow (`data_prep.synth`, trees without pixels) and a simulated detector: it misses
thin trees more often, and more in some scenes and patches of ground than in others; borders and ends are noisy, trees
are split, there are false alarms, and scores say how well a tree was seen.

    scenes   10 scenes of 0.25 ha, any of 400; scenes are drawn. True value: that of the 400.
    blocks   2 scenes of 6 ha, each in one world; blocks of 1 ha are drawn. True value: that of all scenes as hard as
             these two, so for this ground. `elsewhere` is the same interval against all 400 scenes, of any hardness:
             what such an interval does not promise.

Prints a table of the share of
worlds whose 95 % interval holds the true value and of the mean width of the interval. The last line is one line of
JSON: coverage by setting and figure, the lowest and highest of each.
"""

import argparse
import json
import time
from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from data_prep.synth.layout import lay_out
from data_prep.synth.light import Sun
from data_prep.synth.settings import DIFFICULTIES
from tree_map.scoring import centrelines, errors, precision, relaxed
from tree_map.scoring.bootstrap import intervals
from tree_map.scoring.figures import Figure
from tree_map.scoring.matching import pairs_of
from tree_map.scoring.scored_scene import MEASURES, ScoredScene
from tree_map.scoring.scores import ScoreSettings
from tree_map.scoring.units import Units, units_of

SEED, GSD_M = 0, 0.05
BARE = replace(DIFFICULTIES['default'], crowns=(1e-9, 0.0), snags=0.0, brash=0.0, overgrown=0.0)  # only fallen trees
HARDNESS = (-0.9, -0.3, 0.3, 0.9)  # of scenes, added to the log odds of missing a tree
PATCH_M, PATCHY = 40.0, 0.6  # the same of patches of ground, standard deviation
SETTINGS = ScoreSettings(score_thr=0.35, replicates=400)


@dataclass(frozen=True)
class Setting:
    """Worlds of one kind: scenes in each, their sides in m and fewest and most trees."""

    scenes: int
    sides_m: tuple[float, float]
    trees: tuple[int, int]


KINDS = {'scenes': Setting(10, (50.0, 50.0), (5, 20)), 'blocks': Setting(2, (240.0, 250.0), (50, 100))}


def truth_of(rng: np.random.Generator, setting: Setting, count: int) -> gpd.GeoDataFrame:
    """Labelled trees of one scene."""
    size = tuple(round(side / GSD_M) for side in setting.sides_m)
    trees = lay_out(rng, size, GSD_M, count, BARE, Sun.draw(rng)).trees
    up = lambda xy: xy * (GSD_M, -GSD_M) + (0, setting.sides_m[1])  # noqa: E731
    lines = np.array([tree.centreline for tree in trees], object)
    columns = {
        'tree_id': [str(k) for k in range(count)],
        'class': 'tree',
        'length_m': [tree.length_px * GSD_M for tree in trees],
        'diameter_mid_m': [tree.diameters_px()[1] * GSD_M for tree in trees],
        'volume_m3': [tree.volume_px3() * GSD_M**3 for tree in trees],
        'azimuth_deg': [tree.azimuth for tree in trees],
        'direction': 'fall',
    }
    outlines = shapely.transform(np.array([tree.outline for tree in trees], object), up)
    return gpd.GeoDataFrame(columns, geometry=outlines).assign(centreline=shapely.transform(lines, up))


def moved(rows: gpd.GeoDataFrame, ahead, aside, turn, longer, wider) -> gpd.GeoDataFrame:
    """Trees moved along and across themselves, m, turned, degrees, stretched along and across; measured exactly."""
    angle = np.radians(rows['azimuth_deg'].to_numpy(float))
    along, across = np.stack([np.sin(angle), np.cos(angle)], 1), np.stack([np.cos(angle), -np.sin(angle)], 1)
    new_along, new_across = (np.cos(np.radians(turn))[:, None] * a + np.sin(np.radians(turn))[:, None] * b
                             for a, b in ((along, across), (across, -along)))  # fmt: skip
    lines = rows['centreline'].to_numpy()
    middle = shapely.get_coordinates(shapely.line_interpolate_point(lines, 0.5, normalized=True))
    place = middle + ahead[:, None] * along + aside[:, None] * across

    def change(shapes: np.ndarray) -> np.ndarray:
        xy, row = shapely.get_coordinates(shapes, return_index=True)
        off = xy - middle[row]
        by_length, by_width = (off * along[row]).sum(1) * longer[row], (off * across[row]).sum(1) * wider[row]
        xy = place[row] + by_length[:, None] * new_along[row] + by_width[:, None] * new_across[row]
        return shapely.set_coordinates(shapes.copy(), xy)

    out = rows.assign(
        length_m=rows['length_m'] * longer,
        diameter_mid_m=rows['diameter_mid_m'] * wider,
        volume_m3=rows['volume_m3'] * longer * wider**2,
        azimuth_deg=(rows['azimuth_deg'] + turn) % 360,
        centreline=change(lines),
    )
    return out.set_geometry(change(rows.geometry.to_numpy()))


def detected(rng: np.random.Generator, truth: gpd.GeoDataFrame, setting: Setting, hardness: float) -> gpd.GeoDataFrame:
    """What the detector makes of a scene, surest first."""
    patches = rng.normal(0, PATCHY, [int(side / PATCH_M) + 3 for side in setting.sides_m])
    middle = shapely.get_coordinates(shapely.centroid(truth.geometry.to_numpy()))
    at = np.clip((middle / PATCH_M + 1).astype(int), 0, np.array(patches.shape) - 1)
    thin = (0.32 - truth['diameter_mid_m'].to_numpy(float)) / 0.1
    hard = hardness + patches[tuple(at.T)] + 0.5 * thin + rng.normal(0, 0.5, len(truth))
    seen = np.flatnonzero(rng.random(len(truth)) < 1 / (1 + np.exp(hard - 1.6)))
    split = rng.random(len(seen)) < 0.12
    parts = [(seen[~split], 0.0, 1.0), (seen[split], -0.26, 0.46), (seen[split], 0.27, 0.46)]
    found = [_noisy(rng, truth.iloc[rows], np.exp(0.35 * hard[rows]), shift, share) for rows, shift, share in parts]
    alarms = rng.poisson(0.15 * len(truth) * np.exp(0.5 * hardness))
    false = truth_of(rng, setting, alarms) if alarms else truth.iloc[:0]
    found.append(_noisy(rng, false, rng.uniform(1.0, 3.0, alarms), 0.0, 0.6))
    out = gpd.GeoDataFrame(pd.concat(found)).sort_values('score', ascending=False, ignore_index=True)
    return out.assign(tree_id=range(len(out)))


def _noisy(rng: np.random.Generator, rows: gpd.GeoDataFrame, noise: np.ndarray, shift: float, share: float):
    """Shares of trees with noise on borders, ends and direction; the noisier, the less sure."""
    length, n = rows['length_m'].to_numpy(float), len(rows)
    swapped = rng.random(n) < 0.1
    width = rows['diameter_mid_m'].to_numpy(float)
    out = moved(
        rows,
        ahead=length * (shift + rng.normal(0, 0.02, n) * noise),
        aside=0.12 * width * rng.normal(0, 1, n) * noise,
        turn=rng.normal(0, 0.4, n) * noise,
        longer=share * np.clip(1 + rng.normal(-0.02, 0.03, n) * noise, 0.5, 1.3),
        wider=np.exp(rng.normal(0.03, 0.12, n) * noise),
    )
    score = 1 / (1 + np.exp(2.0 * noise - 3.2 + rng.normal(0, 0.7, n)))
    return out.assign(score=score, azimuth_deg=(out['azimuth_deg'] + 180 * swapped) % 360)


def drawn(rng: np.random.Generator, setting: Setting, level: int, name: str) -> ScoredScene:
    """One scene with its truth and what was found."""
    truth = truth_of(rng, setting, int(rng.integers(*setting.trees, endpoint=True)))
    found = detected(rng, truth, setting, HARDNESS[level])
    for frame in (truth, found):
        assert set(MEASURES) <= set(frame.columns)
    return ScoredScene(name, truth, found, shapely.box(0, 0, *setting.sides_m), GSD_M, (20, 0, 0, 0, -20, 0))


def all_figures(scenes: list[ScoredScene], units: Units | None = None) -> tuple[list[Figure], int]:
    """Every figure of a map, and the number of units."""
    pairs = [pairs_of(scene, SETTINGS.score_thr) for scene in scenes]
    units = units or units_of(scenes)
    modules = (precision, relaxed, centrelines, errors)
    return [figure for module in modules for figure in module.figures(scenes, pairs, units, SETTINGS)], units.count


def coverage(kind: str, worlds: int) -> pd.DataFrame:
    """Share of worlds whose interval holds the true value, and mean width, by figure."""
    setting, rng = KINDS[kind], np.random.default_rng([SEED, list(KINDS).index(kind)])
    levels = rng.integers(len(HARDNESS), size=2 * worlds)
    pool = [drawn(rng, setting, level, str(k)) for k, level in enumerate(levels)]
    alone = rng.permutation(len(pool)).reshape(worlds, -1)
    members = alone if kind == 'blocks' else rng.integers(len(pool), size=(worlds, setting.scenes))
    homes = [[np.full(len(getattr(s, side)), k) for k, s in enumerate(pool)] for side in ('truth', 'found')]
    figures, count = all_figures(pool, Units(len(pool), 'scene', *homes))
    of_level = levels == np.arange(len(HARDNESS))[:, None]
    alike = (of_level / of_level.sum(1, keepdims=True))[levels[members]].sum(
        1
    )  # as much of each of a world's hardnesses
    anywhere = np.ones((1, count))
    true = {f.name: (f.of(alike) if kind == 'blocks' else np.repeat(f.of(anywhere), worlds), f.of(anywhere)[0])
            for f in figures}  # fmt: skip
    rows = []
    for number, world in enumerate(members):
        found, units = all_figures([pool[k] for k in world])
        for f, (value, low, high) in zip(found, intervals(found, units, SETTINGS.replicates), strict=True):
            here, elsewhere = true[f.name][0][number], true[f.name][1]
            rows.append((f.name, low <= here <= high, low <= elsewhere <= high, elsewhere, value - here, high - low))
    columns = ['figure', 'coverage', 'elsewhere', 'true', 'bias', 'width']
    return pd.DataFrame(rows, columns=columns).groupby('figure', sort=False).mean()


def main() -> None:
    """Draw worlds of both kinds, print a table of each and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='16 worlds of each kind')
    parser.add_argument('--worlds', type=int, help='of each kind; 200')
    args = parser.parse_args()
    worlds, result = args.worlds or (16 if args.quick else 200), {}
    for kind in KINDS:
        began = time.process_time()
        table = coverage(kind, worlds)
        shown = table if kind == 'blocks' else table.drop(columns='elsewhere')
        print(f'\n{kind}: {worlds} worlds, {time.process_time() - began:.0f} s of CPU')
        print(shown.to_string(float_format='%.3f'), flush=True)
        result |= {f'{kind}_lowest': round(float(table['coverage'].min()), 3),
                   f'{kind}_highest': round(float(table['coverage'].max()), 3),
                   kind: table['coverage'].round(3).to_dict()}  # fmt: skip
    print(json.dumps(result))


if __name__ == '__main__':
    main()

"""Straight bars for trees: scenes for scoring whose figures can be worked out by hand."""

import geopandas as gpd
import numpy as np
import shapely

from tree_map.scoring.scored_scene import ScoredScene


def bar(x, y, azimuth=90.0, length=10.0, width=0.4, score=0.9, name='fallen_tree', **measures):
    """A bar that begins at (x, y), m; its measures are exact but for those given."""
    way = np.array([np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))])
    line = shapely.LineString([(x, y), (x, y) + length * way])
    return {
        'geometry': line.buffer(width / 2, cap_style='flat'),
        'class': name,
        'score': score,
        'centreline': line,
        'length_m': length,
        'diameter_mid_m': width,
        'volume_m3': np.pi / 4 * width**2 * length,
        'azimuth_deg': azimuth,
        'direction': 'fall',
        **measures,
    }


COLUMNS = list(bar(0, 0))


def frame(bars):
    """Bars as a frame, surest first."""
    bars = sorted(bars, key=lambda row: -row['score'])
    columns = {name: [row[name] for row in bars] for name in COLUMNS if name not in ('geometry', 'centreline')}
    lines = np.empty(len(bars), object)
    lines[:] = [row['centreline'] for row in bars]
    table = gpd.GeoDataFrame(columns, geometry=[row['geometry'] for row in bars])
    return table.assign(centreline=lines, tree_id=range(len(bars)))


def scene(truth, found, name='a', ignored=()):
    """A scene of bars."""
    ignored = gpd.GeoDataFrame({'class': [row['class'] for row in ignored]}, geometry=[r['geometry'] for r in ignored])
    labelled = frame(truth).drop(columns='score')
    labelled['tree_id'] = labelled['tree_id'].astype(str)
    return ScoredScene(name, labelled, frame(found), shapely.box(0, 0, 200, 200), 0.05, (20, 0, 0, 0, -20, 0), ignored)


def values(module, scenes, settings):
    """Figures of a module by name."""
    from tree_map.scoring.matching import pairs_of
    from tree_map.scoring.units import units_of

    pairs = [pairs_of(one, settings.score_thr, settings.iou_thr) for one in scenes]
    units = units_of(scenes)
    once = np.ones((1, units.count))
    return {f.name: float(f.of(once)[0]) for f in module.figures(scenes, pairs, units, settings)}

"""A map with every kind of tree: in one part, in two, with a hole, measured or not, with odd names."""

import geopandas as gpd
import numpy as np
import shapely

from tree_map.scene_map import SceneMap

ODD = ['<script>alert("ä")</script>', "tree's & 'x'; DROP TABLE trees;--", '=1+1,"a"\tb\nc', '松の木 🌲 %s {0} ]]>']
GSD, SIDE, ORIGIN = 0.1, 2000, (500_000.0, 5_500_000.0)
CREATED = '2026-11-21T10:00:00+02:00'


def trunk(middle, azimuth_deg, length, width):
    """Outline and centreline, from base to top, of a tapering trunk."""
    along = np.array([np.sin(np.radians(azimuth_deg)), np.cos(np.radians(azimuth_deg))])
    across = np.array([along[1], -along[0]])
    base, top = middle - along * length / 2, middle + along * length / 2
    corners = [base + across * width / 2, top + across * width / 4, top - across * width / 4, base - across * width / 2]
    return shapely.Polygon(corners), shapely.LineString([base, top])


def drawn_map(count=40, crs='EPSG:32633', seed=0, classes=ODD, created=CREATED):
    """A scene of 200 x 200 m (2000 x 2000 px), four cells of one hectare; without a CRS in (x, -y) pixels."""
    rng, (x0, y0) = np.random.default_rng(seed), ORIGIN if crs else (0, 0)
    unit = 1 if crs else 1 / GSD
    polygons, lines, rows = [], [], []
    for n in range(count):
        length, width, azimuth = rng.uniform(4, 20), rng.uniform(0.5, 1), rng.uniform(0, 360)
        middle = np.array((x0, y0)) + (rng.uniform(12, 188) * unit, -rng.uniform(12, 188) * unit)
        polygon, line = trunk(middle, azimuth, length * unit, width * unit)
        if n % 5 == 1:  # seen in two parts
            polygon = polygon.difference(line.interpolate(0.5, normalized=True).buffer(1.5 * unit))
        if n % 5 == 2:  # seen around something that lies on it
            polygon = polygon.buffer(0.5 * unit).difference(line.interpolate(0.4, normalized=True).buffer(0.4 * unit))
        polygons.append(polygon)
        lines.append(line)
        fall = n % 3 > 0
        rows.append({
            'tree_id': n + 1, 'class': classes[n % len(classes)], 'score': round(rng.uniform(0.1, 1), 3),
            'length_m': length if n % 7 else np.nan, 'length_lo_m': length * 0.9, 'azimuth_deg': azimuth % (360 if fall
            else 180), 'direction': 'fall' if fall else 'axis', 'area_m2': polygon.area / unit**2, 'parts': 1 + n % 3,
            'seam_joined': bool(n % 2), 'scene': 'stand 7 ü',
        })  # fmt: skip
    trees = gpd.GeoDataFrame(rows, geometry=polygons, crs=crs)
    names = ['tree_id', 'class', 'score', 'length_m', 'azimuth_deg', 'direction']
    centrelines = gpd.GeoDataFrame(trees[names], geometry=lines, crs=crs)
    return SceneMap(trees, centrelines, _cells(x0, y0, unit, crs), provenance(classes, created), [
        {'scene': 'stand 7 ü', 'window_xywh': [0, 0, 512, 512], 'reason': 'cannot be read: <block 3>'}])  # fmt: skip


def _cells(x0, y0, unit, crs):
    side = 100 * unit
    squares = [shapely.box(x0 + side * i, y0 - side * (j + 1), x0 + side * (i + 1), y0 - side * j)
               for i in (0, 1) for j in (0, 1)]  # fmt: skip
    columns = {'trees': [0, 8, 40, 150], 'trees_per_ha': [0.0, 8, 40, 150], 'axis_deg': [np.nan, 10, 20, 30]}
    return gpd.GeoDataFrame(columns, geometry=squares, crs=crs)


def provenance(classes=ODD, created=CREATED):
    """What a scene of 2000 x 2000 px says of itself."""
    return {
        'scene': 'stand 7 ü', 'file_name': 'stand 7 ü.tif', 'classes': list(classes), 'width': SIDE, 'height': SIDE,
        'transform': [GSD, 0.0, ORIGIN[0], 0.0, -GSD, ORIGIN[1]], 'created': created, 'score_thr': 0.25,
        'checkpoint_sha256': 'ab' * 32, 'stretch_lo_hi': None, 'scale': 2.0, 'gsd_m': 0.05,
    }  # fmt: skip

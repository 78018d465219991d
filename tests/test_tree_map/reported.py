"""Small scenes with maps and labels, drawn so that what became of each tree is known."""

import json

import geopandas as gpd
import numpy as np
import shapely

from tree_map.__main__ import main
from tree_map.scene_map import SceneMap
from tree_map.writing import write_map

GSD, ORIGIN, SIZE = 0.1, (500_000.0, 5_500_000.0), (400, 300)
EVIL = '<script>alert(1)</script>'
# Bars in pixels, (x, y, width, height). Two are found right, one poorly, one is missed, two are false alarms.
LABELLED = [(20, 20, 120, 8), (200, 30, 100, 8), (30, 120, 150, 10), (250, 150, 60, 6), (40, 250, 30, 6)]
FOUND = [((20, 20, 118, 8), 0.95), ((201, 30, 100, 8), 0.9), ((30, 120, 90, 10), 0.7), ((300, 240, 60, 8), 0.85),
         ((150, 220, 40, 8), 0.6)]  # fmt: skip


def write_scene(
    folder,
    write_raster,
    name='stand',
    label='fallen_tree',
    found=FOUND,
    labelled=LABELLED,
    size=SIZE,
    write=None,
    **profile,
):
    """Write a raster, its map and its labels (LabelMe); returns the three paths."""
    raster = (write or write_raster)(folder / f'{name}.tif', size, **profile)
    boxes = [shapely.box(x, y, x + w, y + h) for (x, y, w, h), _ in found]
    shapes = [shapely.transform(box, lambda xy: xy * (GSD, -GSD) + ORIGIN) for box in boxes]
    lengths = np.array([w * GSD for (_, _, w, _), _ in found])
    trees = gpd.GeoDataFrame({
        'tree_id': np.arange(1, len(found) + 1), 'class': [label] * len(found), 'score': [score for _, score in found],
        'length_m': lengths, 'length_lo_m': lengths * 0.9, 'length_hi_m': lengths * 1.1,
        'diameter_mid_m': [h * GSD for (_, _, _, h), _ in found], 'volume_m3': lengths * 0.5,
        'azimuth_deg': [90.0] * len(found), 'direction': [['fall', 'axis', 'axis'][n % 3] for n in range(len(found))],
        'scene': [name] * len(found),
    }, geometry=shapes, crs='EPSG:32633')  # fmt: skip
    known = {'scene': name, 'file_name': f'{name}.tif', 'source': str(raster), 'width': size[0], 'height': size[1],
             'transform': [GSD, 0.0, ORIGIN[0], 0.0, -GSD, ORIGIN[1]], 'gsd_m': GSD, 'scale': 1.0, 'classes': [label],
             'score_thr': 0.5, 'bands': [1, 2, 3], 'checkpoint_sha256': 'ab' * 32,
             'config': f'configs/{label}.py', 'created': '2026-11-21T10:00:00+00:00'}  # fmt: skip
    write_map(SceneMap(trees, provenance=known), folder / f'{name}.gpkg')
    corners = [[[x, y], [x + w, y], [x + w, y + h], [x, y + h]] for x, y, w, h in labelled]
    shapes = [{'label': label, 'points': points, 'shape_type': 'polygon'} for points in corners]
    labels = folder / f'labels/{name}.json'
    labels.parent.mkdir(exist_ok=True)
    labels.write_text(json.dumps({'shapes': shapes, 'imageWidth': size[0], 'imageHeight': size[1]}))
    return raster, folder / f'{name}.gpkg', labels


def report(*words):
    """Run the command in this process; returns its exit code."""
    return main(['report', *map(str, words), '--replicates', '50'])

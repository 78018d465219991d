"""A small scene with trunks, its raster, its map as ``tools/predict.py`` writes it, and its labels in every format."""

import json

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from affine import Affine
from drawn_map import trunk
from pyproj import Transformer

from data_prep.imagery.rasters import sha256
from tree_map.measuring import measure
from tree_map.scene_map import SceneMap
from tree_map.writing import write_map

SIZE, GSD, ORIGIN = (320, 200), 0.1, (500_000.0, 5_500_000.0)
# Middle (m from the upper left corner), azimuth, length, width (m).
TRUNKS = (((8, 5), 70, 9, 0.6), ((20, 6), 130, 7, 0.5), ((9, 14), 20, 8, 0.7), ((24, 14), 95, 10, 0.5))
SCORES = (0.9, 0.8, 0.7, 0.6)


def outlines(trunks=TRUNKS):
    """Outlines of trunks in metres, x east, y north, from the upper left corner."""
    return [trunk(np.array([x, -y]), azimuth, length, width)[0] for (x, y), azimuth, length, width in trunks]


def in_pixels(polygon):
    return shapely.transform(polygon, lambda xy: xy / (GSD, -GSD))


def on_map(polygon, crs='EPSG:32633'):
    """From metres to the scene's CRS; without one to (x, -y) in pixels."""
    if crs is None:
        return shapely.transform(polygon, lambda xy: xy / GSD)
    moved = shapely.transform(polygon, lambda xy: xy + ORIGIN)
    if crs == 'EPSG:32633':
        return moved
    to = Transformer.from_crs('EPSG:32633', crs, always_xy=True)
    return shapely.transform(moved, lambda xy: np.column_stack(to.transform(xy[:, 0], xy[:, 1])))


def transform_of(crs):
    """From pixels to the CRS: for degrees that which fits the corners."""
    if crs == 'EPSG:32633':
        return Affine(GSD, 0, ORIGIN[0], 0, -GSD, ORIGIN[1])
    if crs is None:
        return Affine.identity()
    corners = on_map(shapely.LineString([(0, 0), (SIZE[0] * GSD, -SIZE[1] * GSD)]), crs)
    (x0, y0), (x1, y1) = corners.coords
    return Affine((x1 - x0) / SIZE[0], 0, x0, 0, (y1 - y0) / SIZE[1], y0)


def make_raster(write_raster, path, crs='EPSG:32633'):
    """Write the scene itself."""
    pixels = np.full((3, SIZE[1], SIZE[0]), 90, np.uint8)
    return write_raster(path, SIZE, pixels=pixels, crs=crs, transform=transform_of(crs), compress='deflate')


def scene_map(path, polygons, crs='EPSG:32633', scores=SCORES, unread=(), measured=True, **more):
    """Map of a raster; polygons in metres as ``outlines`` gives them."""
    count, unit = len(polygons), GSD if crs is None else 1
    rows = {'tree_id': range(1, count + 1), 'class': ['fallen_tree'] * count, 'score': scores[:count],
            'scene': [path.stem] * count}  # fmt: skip
    lines = {}
    if measured and crs in (None, 'EPSG:32633'):
        placed = [on_map(polygon, crs) for polygon in polygons]
        table, centre = measure(shapely.transform(np.array(placed, object), lambda xy: xy * unit), GSD)
        rows |= table.to_dict('list')
        centre = shapely.transform(centre, lambda xy: xy / unit)
        lines = {'centrelines': gpd.GeoDataFrame({'tree_id': rows['tree_id']}, geometry=list(centre), crs=crs)}
    trees = gpd.GeoDataFrame(rows, geometry=[on_map(polygon, crs) for polygon in polygons], crs=crs)
    known = {
        'scene': path.stem, 'file_name': path.name, 'source': str(path), 'source_sha256': sha256(path),
        'width': SIZE[0], 'height': SIZE[1], 'transform': list(transform_of(crs))[:6], 'classes': ['fallen_tree'],
        'score_thr': 0.5, 'created': '2026-11-21T10:00:00+00:00', 'scale': 1.0, 'gsd_m': GSD if crs else None, **more,
    }  # fmt: skip
    return SceneMap(trees, **lines, provenance=known, unread=list(unread))


def make_map(path, raster, polygons, crs='EPSG:32633', **more):
    """Write the map of a raster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_map(scene_map(raster, polygons, crs, **more), path)
    return path


def make_labelme(path, polygons, label='fallen_tree'):
    """Label outlines in pixels."""
    shapes = [{'label': label, 'shape_type': 'polygon', 'points': list(in_pixels(polygon).exterior.coords)[:-1]}
              for polygon in polygons]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({'shapes': shapes, 'imageWidth': SIZE[0], 'imageHeight': SIZE[1]}))
    return path


def make_coco(path, scenes):
    """Label outlines of several rasters in one file: file name to polygons."""
    images = [{'id': n, 'file_name': f'images/{name}', 'width': SIZE[0], 'height': SIZE[1]}
              for n, name in enumerate(scenes, 1)]  # fmt: skip
    annotations = [
        {'id': 100 * n + k, 'image_id': n, 'category_id': 1, 'iscrowd': 0,
         'segmentation': [np.asarray(in_pixels(polygon).exterior.coords)[:-1].ravel().tolist()]}
        for n, polygons in enumerate(scenes.values(), 1) for k, polygon in enumerate(polygons)
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({'images': images, 'annotations': annotations,
                                'categories': [{'id': 1, 'name': 'fallen_tree'}]}))  # fmt: skip
    return path


def make_layer(path, polygons, crs='EPSG:32633', layer=None, **columns):
    """Label outlines in a vector file with any columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = gpd.GeoDataFrame(columns or {'label': ['fallen_tree'] * len(polygons)},
                             geometry=[on_map(polygon, crs) for polygon in polygons], crs=crs)  # fmt: skip
    pyogrio.write_dataframe(frame, path, layer=layer, append=path.exists() and layer is not None)
    return path

"""The drawn world is hard enough: thin trunks, many hidden or crossing, and colour alone does not find them."""

import contextlib
import io
import json
import sqlite3

import numpy as np
import pytest
import rasterio
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rasterio.features import shapes

SIDE, SCENES = 640, 3


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    from data_prep.__main__ import main

    folder = tmp_path_factory.mktemp('world')
    assert main(['synth', '--out', str(folder), '--scenes', str(SCENES), '--size', str(SIDE), '--seed', '0']) == 0
    return folder


@pytest.fixture(scope='module')
def trees(world):
    rows = []
    for path in sorted((world / 'truth').glob('*.gpkg')):
        with sqlite3.connect(path) as base:
            rows += base.execute('SELECT diameter_mid_m, visible_share, crossings FROM outlines').fetchall()
    return np.array(rows)


def test_trunks_are_thin(trees):
    assert 5 <= np.median(trees[:, 0] / 0.05) <= 8


def test_many_are_hidden_or_crossing(trees):
    assert ((trees[:, 1] < 0.9) | (trees[:, 2] > 0)).mean() >= 0.3


def test_the_colour_of_trunks_does_not_find_them(world):
    best = max(average_precision(world, rule) for rule in rules())
    print('AP50 of the best colour threshold:', round(best, 3))
    assert best < 0.15


def test_the_same_search_finds_what_is_easy(tmp_path):
    for image in range(SCENES):
        rgb = np.random.default_rng(image).integers(40, 90, (3, SIDE, SIDE), np.uint8)
        bars = [[[50, y], [450, y], [450, y + 7], [50, y + 7]] for y in range(40, 600, 40)]
        for (x0, y0), _, (x1, y1), _ in bars:
            rgb[:, y0:y1, x0:x1] = 200
        shapes = [dict(points=bar) for bar in bars]
        (tmp_path / f'synth_{image:02d}.json').write_text(json.dumps(dict(shapes=shapes)))
        profile = dict(driver='GTiff', width=SIDE, height=SIDE, count=3, dtype='uint8')
        with rasterio.open(tmp_path / f'synth_{image:02d}.tif', 'w', **profile) as raster:
            raster.write(rgb)
    assert max(average_precision(tmp_path, rule) for rule in rules()) > 0.9


def rules():
    """Pixels that a colour threshold takes for trunks, from the share of the scene that it lets through."""
    for share in (0.02, 0.05, 0.1, 0.2):
        yield lambda value, saturation, share=share: value > np.quantile(value, 1 - share)
        yield lambda value, saturation, share=share: saturation < np.quantile(saturation, share)
        both = share**0.5
        yield (
            lambda value, saturation, both=both: (
                (value > np.quantile(value, 1 - both)) & (saturation < np.quantile(saturation, both))
            )
        )


def average_precision(world, rule):
    truth, found = [], []
    for image in range(SCENES):
        with rasterio.open(world / f'synth_{image:02d}.tif') as raster:
            rgb = raster.read().astype(np.float32)
        value = rgb.max(0)
        saturation = 1 - rgb.min(0) / np.maximum(value, 1)
        saturation[value == 0] = 1
        labels = json.loads((world / f'synth_{image:02d}.json').read_text())
        for shape in labels['shapes']:
            segment = rle.frPyObjects([np.ravel(shape['points']).tolist()], SIDE, SIDE)[0]
            truth.append(dict(image_id=image, segmentation=segment, **geometry(segment)))
        for segment in components(rule(value, saturation)):
            found.append(dict(image_id=image, segmentation=segment, score=float(rle.area(segment)), category_id=1))
    return evaluate(truth, found)


def geometry(segment):
    return dict(area=float(rle.area(segment)), bbox=rle.toBbox(segment).tolist(), category_id=1, iscrowd=0)


def components(mask):
    """Connected parts of at least 60 px after a majority filter, which is kind to thin trunks under noise."""
    padded = np.pad(mask.astype(np.int32), 1)
    around = sum(padded[y : y + SIDE, x : x + SIDE] for y in range(3) for x in range(3))
    mask = (around >= 5).astype(np.uint8)
    for outline, _ in shapes(mask, mask=mask.astype(bool), connectivity=8):
        rings = [np.ravel(ring).tolist() for ring in outline['coordinates'][:1]]
        segment = rle.frPyObjects(rings, SIDE, SIDE)[0]
        if rle.area(segment) >= 60:
            yield segment


def evaluate(truth, found):
    if not found:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        images = [dict(id=image, width=SIDE, height=SIDE) for image in range(SCENES)]
        annotations = [dict(id=number, **entry) for number, entry in enumerate(truth, 1)]
        gt.dataset = dict(images=images, annotations=annotations, categories=[dict(id=1, name='fallen_tree')])
        gt.createIndex()
        run = COCOeval(gt, gt.loadRes(found), 'segm')
        run.params.maxDets = [1, 100, 1000]
        run.params.iouThrs = np.array([0.5])
        run.evaluate()
        run.accumulate()
    precision = run.eval['precision'][0, :, 0, 0, -1]
    return float(precision.mean()) if (precision >= 0).any() else 0.0

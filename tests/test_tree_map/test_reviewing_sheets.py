"""Crops of large scenes and the order in which trees are looked at."""

import csv
import json

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tree_map.__main__ import main
from tree_map.reviewing.doubts import doubts
from tree_map.reviewing.pictures import ELSEWHERE
from tree_map.reviewing.sheets import crops, starts
from tree_map.scene_map import SceneMap
from tree_map.writing import write_map

WIDTH, HEIGHT = 700, 500
PROVENANCE = {'scene': 's', 'file_name': 's.tif', 'width': WIDTH, 'height': HEIGHT, 'classes': ['tree'],
              'bands': [3, 2, 1], 'stretch_lo_hi': [[0, 1000]] * 3}  # fmt: skip
LEFT, RIGHT, LONG = (20, 30, 120, 50), (560, 30, 680, 45), (5, 400, 695, 410)
GROUND = np.array([230, 102, 26])  # bands 3, 2, 1 of the scene, stretched
BRIDGE = (300, 100, 310, 320)  # fits in no crop of 300 px by itself but one around it

places = st.tuples(st.floats(-5, 900), st.floats(-5, 700), st.floats(0.5, 900), st.floats(0.5, 600))


@given(st.lists(places, max_size=12), st.integers(64, 1024))
def test_each_tree_lies_whole_in_exactly_one_crop(boxes, side):
    size = (900, 700)
    bounds = np.array([(x, y, x + width, y + height) for x, y, width, height in boxes]).reshape(-1, 4)
    sheets = crops('s', size, bounds, side)
    assert sorted(row for sheet in sheets for row in sheet.rows) == list(range(len(boxes)))
    assert len({sheet.name for sheet in sheets}) == len(sheets)
    for sheet in sheets:
        window = sheet.window
        assert min(window.x, window.y) >= 0 and window.right <= size[0] and window.bottom <= size[1]
        for x0, y0, x1, y1 in np.clip(bounds[sheet.rows], 0, (*size, *size)):
            assert window.x <= x0 and x1 <= window.right and window.y <= y0 and y1 <= window.bottom


@given(st.integers(1, 30_000), st.integers(64, 4096))
def test_crops_cover_the_scene_and_share_a_quarter(length, side):
    found = starts(length, side)
    assert found[0] == 0 and found[-1] + side >= length and (length <= side or found[-1] + side == length)
    assert all(b - a <= side * 0.75 + 1 for a, b in zip(found, found[1:], strict=False))


@pytest.fixture(scope='module')
def scene(tmp_path_factory, write_raster):
    """A scene of 16 bits and four bands with three trees, one of them in two parts."""
    folder = tmp_path_factory.mktemp('scene')
    pixels = np.stack([np.full((HEIGHT, WIDTH), value, np.uint16) for value in (100, 400, 900, 5)])
    write_raster(folder / 's.tif', pixels=pixels, crs=None)
    outlines = [shapely.box(*LEFT), shapely.MultiPolygon([shapely.box(*RIGHT), shapely.box(600, 60, 690, 70)]),
                shapely.box(*LONG), shapely.box(*BRIDGE)]  # fmt: skip
    columns = {'tree_id': [1, 2, 3, 4], 'class': 'tree', 'score': [0.9, 0.3, 0.8, 0.85], 'scene': 's'}
    trees = gpd.GeoDataFrame(columns, geometry=[shapely.transform(box, lambda xy: xy * (1, -1)) for box in outlines])
    write_map(SceneMap(trees, provenance=PROVENANCE), folder / 'm.gpkg')
    assert main(['review', str(folder / 'm.gpkg'), '--out', str(folder / 'crops'), '--tiles', '300',
                 '--order', 'uncertain']) == 0  # fmt: skip
    return folder / 'crops', trees


def test_pictures_are_stretched_as_the_network_saw_them(scene):
    folder, _ = scene
    pictures = sorted(folder.glob('*.jpg'))
    assert len(pictures) == len(list(folder.glob('*.json'))) > 4
    pixels = np.asarray(Image.open(folder / 's_000000_000200.jpg'))
    assert pixels.shape == (300, 300, 3)
    assert np.abs(pixels[20, 20].astype(int) - np.rint(np.array([900, 400, 100]) * 0.255)).max() <= 2


def test_trees_of_other_crops_are_drawn_in_and_own_ones_are_not(scene):
    folder, trees = scene
    for path in sorted(folder.glob('*.json')):
        content = json.loads(path.read_text())
        pixels = np.asarray(Image.open(path.with_suffix('.jpg'))).astype(int)
        assert pixels.shape[:2] == (content['imageHeight'], content['imageWidth'])
        x, y = (int(number) for number in path.stem.split('_')[1:3])
        window = shapely.box(x + 1, y + 1, x + pixels.shape[1] - 1, y + pixels.shape[0] - 1)
        own = {shape['id'] for shape in content['shapes']}
        for number, outline in zip(trees['tree_id'], trees.geometry, strict=True):
            edge = shapely.boundary(shapely.transform(outline, lambda xy: xy * (1, -1)))
            seen = shapely.get_coordinates(shapely.segmentize(shapely.intersection(edge, window), 1)).astype(int)
            if not len(seen):
                continue
            drawn = (pixels[seen[:, 1] - y, seen[:, 0] - x] - GROUND) @ (np.array(ELSEWHERE) - GROUND) > 60**2
            assert (drawn.mean() > 0.25) != (number in own), (path.name, number)


def test_crops_with_trees_hold_them_in_their_own_pixels(scene):
    folder, trees = scene
    found = {}
    for path in folder.glob('*.json'):
        x, y = (int(number) for number in path.stem.split('_')[1:3])
        for shape in json.loads(path.read_text())['shapes']:
            found.setdefault(shape['id'], []).append(shapely.Polygon(np.array(shape['points']) + (x, y)))
    for number, outline in zip(trees['tree_id'], trees.geometry, strict=True):
        wanted = shapely.transform(outline, lambda xy: xy * (1, -1))
        assert shapely.symmetric_difference(shapely.union_all(found[number]), wanted).area < 1e-6


def test_doubtful_trees_come_first(scene):
    folder, _ = scene
    rows = list(csv.DictReader((folder / 'review.csv').open()))
    assert [row['tree_id'] for row in rows][0] == '2' and len(rows) == 4
    assert rows[0]['reason'] == 'low score; in 2 parts'
    assert (folder / f'{rows[0]["file"]}.json').is_file()
    assert [float(row['doubt']) for row in rows] == sorted((float(row['doubt']) for row in rows), reverse=True)


def test_what_is_doubtful():
    boxes = [shapely.box(10 + 40 * n, 10, 15 + 40 * n, 60) for n in range(10)]
    boxes += [shapely.box(5, 30, 45, 34), shapely.box(10, 200, 30, 210), shapely.box(10, 300, 690, 310)]
    frame = {'tree_id': range(1, 14), 'class': 'tree', 'score': 0.9, 'seam_joined': [True] + [False] * 12}
    trees = gpd.GeoDataFrame(frame, geometry=[shapely.transform(box, lambda xy: xy * (1, -1)) for box in boxes])
    found = doubts(SceneMap(trees, provenance=PROVENANCE))
    assert found[0].reasons == ('crosses 11', 'joined over seams') and found[10].reasons == ('crosses 1',)
    assert found[11].reasons == ('hardly longer than wide',) and found[12].reasons == ('implausibly long',)
    assert all(item.reasons == () for item in found[1:10]) and found[1].doubt == pytest.approx(0.1)


def test_a_large_scene_is_said_to_need_crops(scene, capsys):
    folder, _ = scene
    code = main(['review', str(folder.parent / 'm.gpkg'), '--out', str(folder.parent / 'whole')])
    assert code == 0 and '4 bands of uint16, which LabelMe may not open; pass --tiles' in capsys.readouterr().err


def test_an_empty_map_is_reviewed_for_missed_trees(tmp_path, scene):
    folder, _ = scene
    write_map(SceneMap.empty(provenance=PROVENANCE), tmp_path / 'm.gpkg')
    raster = str(folder.parent / 's.tif')
    assert main(['review', str(tmp_path / 'm.gpkg'), '--scenes', raster, '--out', str(tmp_path / 'r')]) == 0
    content = json.loads((tmp_path / 'r' / 's.json').read_text())
    content['shapes'].append({'label': 'tree', 'points': [[1, 1], [9, 1], [9, 9]], 'shape_type': 'polygon'})
    (tmp_path / 'r' / 's.json').write_text(json.dumps(content))
    assert main(['review', '--back', str(tmp_path / 'r'), '--out', str(tmp_path / 'l')]) == 0
    assert len(json.loads((tmp_path / 'l' / 's.json').read_text())['shapes']) == 1

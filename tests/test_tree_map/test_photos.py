"""Trees over photos, and photos' labels as LabelMe and COCO, read back by our own readers."""

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from data_prep.convert.converting import convert_labels
from data_prep.errors import DataError
from data_prep.labels.labelme import read_labelme
from data_prep.show.panels import PALETTE
from tree_map.photos import caption, draw_trees, write_photos, write_picture
from tree_map.scene_map import SceneMap
from tree_map.writing.labelme import write_labelme

from .drawn_map import ODD

WIDTH, HEIGHT, GREY = 240, 160, 90
CROSS = shapely.box(20, 30, 120, 42)
TWO = shapely.MultiPolygon([shapely.box(150, 60, 170, 70), shapely.box(180, 60, 220, 70)])
RING = shapely.box(30, 90, 110, 140).difference(shapely.box(50, 100, 90, 130))


def photo_map(names=ODD, polygons=(CROSS, TWO, RING), **known):
    n = len(polygons)
    trees = gpd.GeoDataFrame(
        {'tree_id': range(1, n + 1), 'class': names[:n], 'score': [0.9, 0.456, 0.7][:n]},
        geometry=[shapely.transform(polygon, lambda xy: xy * (1, -1)) for polygon in polygons],
    )  # fmt: skip
    whole = {'scene': 'p', 'file_name': 'p.png', 'width': WIDTH, 'height': HEIGHT, 'classes': list(names), **known}
    return SceneMap(trees, provenance=whole)


@pytest.fixture
def photo(tmp_path, write_raster):
    """Write an even grey photo and return its path."""

    def write(name='p.png', size_wh=(WIDTH, HEIGHT), bands=3):
        pixels = np.full((bands, size_wh[1], size_wh[0]), GREY, np.uint8)
        return write_raster(tmp_path / 'photos' / name, pixels=pixels, driver='PNG', crs=None, transform=None)

    return write


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read().transpose(1, 2, 0)


def inside(polygon, by=2):
    """Pixels well inside a polygon."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return shapely.contains_xy(polygon.buffer(-by), x, y)


def test_every_tree_has_its_colour_and_the_rest_stays(tmp_path):
    image = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    drawn = draw_trees(image, photo_map(['', '', '']))
    assert (image == GREY).all() and drawn.shape == image.shape
    seen = []
    for polygon in (CROSS, TWO, RING):
        colours, counts = np.unique(drawn[inside(polygon)], axis=0, return_counts=True)
        fill = colours[counts.argmax()]
        assert counts.max() > 0.5 * counts.sum()  # a text may lie on it
        mixed = [np.abs(np.rint(GREY * 0.55 + colour * 0.45) - fill).max() <= 1 for colour in PALETTE]
        assert sum(mixed) == 1
        seen.append(tuple(fill))
    assert len(set(seen)) == 3
    assert (drawn[inside(shapely.box(50, 100, 90, 130))] == GREY).all()  # the hole
    assert (drawn[150:, 130:] == GREY).all()


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_the_picture_is_written_with_readable_texts(tmp_path, suffix):
    image = np.full((HEIGHT * 10, WIDTH * 10, 3), GREY, np.uint8)
    larger = photo_map(polygons=[shapely.affinity.scale(p, 10, 10, origin=(0, 0)) for p in (CROSS, TWO, RING)])
    write_picture(image, larger, tmp_path / f'ä{suffix}')
    found = read(tmp_path / f'ä{suffix}').astype(int)
    assert found.shape == image.shape
    ink = (found.max(axis=2) < 20) | (found.min(axis=2) > 235)
    assert 1000 < ink.sum() < 0.02 * ink.size  # letters grow with the photo: 27 px high here


def test_texts_stay_inside_the_picture():
    """Broad letters take more room than the places were found for; the last one stays whole at the right edge."""
    image = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    corner = [shapely.box(WIDTH - 2, HEIGHT - 2, WIDTH, HEIGHT)]
    edge = draw_trees(image, photo_map(['WWWWWWWWWW'], corner))[:, -1]
    shown = edge[(edge != GREY).any(axis=1)]
    assert len(shown) >= 12 and len(np.unique(shown[:12], axis=0)) == 1  # the margin behind the last letter
    outside = photo_map(['tree'], [shapely.box(WIDTH + 5, HEIGHT + 5, WIDTH + 9, HEIGHT + 9)])
    assert draw_trees(image, outside).shape == image.shape


CAPTIONS = [('a\nb\tc', 'a b c 0.50'), ('x' * 99, 'x' * 39 + '… 0.50'), (None, '0.50'), ('<b>&', '<b>& 0.50')]


@pytest.mark.parametrize(('name', 'wanted'), CAPTIONS)
def test_captions_are_one_short_line(name, wanted):
    assert caption(name, 0.5) == wanted
    assert caption(name, float('nan')) == wanted.removesuffix('0.50').strip()


@pytest.mark.parametrize('name', ['m.bmp', 'm'])
def test_other_pictures_are_refused(tmp_path, name):
    with pytest.raises(DataError, match='must end in'):
        write_picture(np.zeros((9, 9, 3), np.uint8), photo_map(['tree'], []), tmp_path / name)


def test_jpeg_too_large_is_refused(tmp_path):
    with pytest.raises(DataError, match='at most 65500 px'):
        write_picture(np.zeros((1, 65_600, 3), np.uint8), photo_map(['tree'], []), tmp_path / 'm.jpg')


def test_labelme_reads_back_through_data_prep(tmp_path):
    made, path = photo_map(), tmp_path / 'labels/p.json'
    path.parent.mkdir()
    write_labelme(made, path, tmp_path / 'photos ä/p.png')
    content = json.loads(path.read_text('utf-8'))
    assert content['version'] and 'imageData' in content and content['imageData'] is None
    assert content['imagePath'] == '../photos ä/p.png' and (content['imageWidth'], content['imageHeight']) == (240, 160)
    shapes = content['shapes']
    assert {shape['shape_type'] for shape in shapes} == {'polygon'} and [s['label'] for s in shapes][0] == ODD[0]
    groups = {shape['label']: shape['group_id'] for shape in shapes}
    assert groups[ODD[0]] is None and groups[ODD[1]] != groups[ODD[2]] and None not in (groups[ODD[1]], groups[ODD[2]])
    assert [shape['description'] for shape in shapes][:3] == ['score 0.900', 'score 0.456', 'score 0.456']
    features = read_labelme(path, content, (WIDTH, HEIGHT)).features
    assert all(feature.problem is None for feature in features)
    for label, polygon in zip(ODD, (CROSS, TWO, RING), strict=False):
        parts = [feature.geometry for feature in features if feature.label == label]
        assert shapely.union_all(parts).symmetric_difference(polygon).area < 1e-6


def test_labelme_becomes_coco_with_whole_trees_and_scores(tmp_path, photo):
    write_labelme(photo_map(['log', 'log', 'log']), tmp_path / 'p.json', photo())
    convert_labels([tmp_path / 'p.json'], 'coco', tmp_path / 'c.json', images=tmp_path / 'photos')
    annotations = json.loads((tmp_path / 'c.json').read_text())['annotations']
    assert [annotation['score'] for annotation in annotations] == [0.9, 0.456, 0.7]
    assert np.allclose([annotation['area'] for annotation in annotations], [CROSS.area, TWO.area, RING.area])


@pytest.mark.parametrize('labels', ['coco', 'labelme'])
def test_a_folder_of_photos(tmp_path, photo, labels):
    sources = [photo('a.png'), photo('b ü.png', bands=1)]
    maps = [photo_map(), photo_map(polygons=[])]
    out = tmp_path / 'out'
    out.mkdir()
    written = write_photos(maps, sources, out, labels)
    names = ['instances.json'] if labels == 'coco' else ['a.json', 'b ü.json']
    assert [path.name for path in written] == ['a_trees.jpg', 'b ü_trees.jpg', *names]
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in written)
    assert (read(written[0])[inside(RING)] != GREY).any() and np.abs(read(written[1]).astype(int) - GREY).max() < 3
    if labels == 'coco':
        assert len(json.loads(written[-1].read_text())['images']) == 2
    else:
        assert (out / json.loads(written[-1].read_text())['imagePath']).resolve() == sources[1]


def test_labels_beside_the_photos_are_not_replaced(tmp_path, photo):
    source = photo()
    with pytest.raises(DataError, match='another folder'):
        write_photos([photo_map()], [source], source.parent / '.')
    assert [path.name for path in source.parent.iterdir()] == ['p.png']

"""Maps and labels of every format and CRS come to the same scene; what cannot be scored is said."""

import json

import mapped_scene as made
import numpy as np
import pyogrio
import pytest
import shapely
from mapped_scene import GSD, SCORES, SIZE, TRUNKS, make_coco, make_labelme, make_layer, make_map

from data_prep.__main__ import main as data_prep_main
from data_prep.errors import DataError
from tree_map.assembling import together
from tree_map.scoring.matching import pairs_of
from tree_map.scoring.reading import read_scenes
from tree_map.writing import write_map
from tree_map.writing.coco import write_coco

TREES = made.outlines()


@pytest.fixture(scope='module')
def folder(tmp_path_factory, write_raster):
    """A scene with its map and its labels, each in every format."""
    place = tmp_path_factory.mktemp('scored')
    raster = made.make_raster(write_raster, place / 's.tif')
    for suffix in ('gpkg', 'geojson', 'json'):
        make_map(place / f'map.{suffix}', raster, TREES)
    make_labelme(place / 'labelme/s.json', TREES)
    make_coco(place / 'coco/all.json', {'s.tif': TREES, 'other.tif': TREES[:1]})
    for suffix in ('gpkg', 'shp', 'geojson'):
        make_layer(place / suffix / f's.{suffix}', TREES, 'EPSG:4326' if suffix == 'geojson' else 'EPSG:32633')
    make_layer(place / 'degrees/s.gpkg', TREES, 'EPSG:4326')
    return place


def read(*args, **options):
    """Scenes, and what is said of them."""
    notes = []
    return read_scenes(*args, note=notes.append, **options), notes


@pytest.mark.parametrize('labels', ['labelme', 'coco', 'gpkg', 'shp', 'geojson', 'degrees'])
@pytest.mark.parametrize('suffix', ['gpkg', 'geojson', 'json'])
def test_every_format_gives_the_same_scene(folder, suffix, labels):
    (scene,), notes = read([folder / f'map.{suffix}'], folder / labels)
    assert notes == [] and scene.name == 's' and scene.gsd_m == pytest.approx(GSD)
    assert scene.found['score'].tolist() == list(SCORES) and set(scene.truth['class']) == {'fallen_tree'}
    pairs = pairs_of(scene, 0.0)
    assert pairs.truth.tolist() == pairs.found.tolist() == [0, 1, 2, 3] and pairs.iou.min() > 0.99
    for frame in (scene.found, scene.truth):
        assert frame['length_m'].to_numpy() == pytest.approx([trunk[2] for trunk in TRUNKS], rel=0.06)
        assert frame['diameter_mid_m'].notna().all() and frame['volume_m3'].notna().all()
        assert all(isinstance(line, shapely.LineString) for line in frame['centreline'])
        assert frame.index.tolist() == [0, 1, 2, 3] and frame.geometry.is_valid.all()
    assert scene.truth['tree_id'].tolist() == ['1', '2', '3', '4'] and scene.found['tree_id'].tolist() == [1, 2, 3, 4]
    assert scene.ground.area == pytest.approx(SIZE[0] * SIZE[1] * GSD**2)


def test_plane_to_pixel_leads_back_to_the_picture(folder):
    (scene,), _ = read([folder / 'map.gpkg'], folder / 'labelme')
    a, b, c, d, e, f = scene.plane_to_pixel
    points = shapely.transform(scene.truth.geometry[0], lambda xy: xy @ np.array([[a, d], [b, e]]) + (c, f))
    drawn = json.loads((folder / 'labelme/s.json').read_text())['shapes'][0]['points']
    assert points.hausdorff_distance(shapely.Polygon(drawn)) < 1e-5


def test_what_the_map_measured_is_taken_and_not_measured_again(folder, tmp_path):
    item = made.scene_map(folder / 's.tif', TREES)
    item.trees['length_m'] = [1.0, 2.0, 3.0, np.nan]
    write_map(item, tmp_path / 'map.gpkg')
    (scene,), _ = read([tmp_path / 'map.gpkg'], folder / 'labelme')
    assert scene.found['length_m'][:3].tolist() == [1, 2, 3] and scene.found['length_m'][3] > 8


def test_columns_of_labels_are_their_measures(folder, tmp_path):
    path = make_layer(tmp_path / 's.gpkg', TREES, label=['fallen_tree'] * 4, length_m=[1.0, 2.0, 3.0, None],
                      azimuth_deg=[200.0, 10.0, 20.0, None], direction=[None, 'axis', 'fall', None])  # fmt: skip
    (scene,), _ = read([folder / 'map.gpkg'], path)
    assert scene.truth['length_m'][:3].tolist() == [1, 2, 3] and scene.truth['length_m'][3] > 8
    assert scene.truth['azimuth_deg'][:3].tolist() == [200, 10, 20]
    assert scene.truth['direction'][:3].tolist() == ['fall', 'axis', 'fall'] and scene.truth['direction'][3]
    assert scene.truth['diameter_mid_m'].between(0.2, 0.9).all()


def test_degrees_are_measured_in_metres(write_raster, tmp_path):
    raster = made.make_raster(write_raster, tmp_path / 's.tif', 'EPSG:4326')
    for suffix in ('gpkg', 'json'):
        path = make_map(tmp_path / f'map.{suffix}', raster, TREES, 'EPSG:4326')
        (scene,), _ = read([path], make_layer(tmp_path / f'{suffix}/s.gpkg', TREES))
        assert pairs_of(scene, 0.0).iou.min() > 0.99 and scene.gsd_m == pytest.approx(GSD, rel=0.01)
        assert scene.truth['length_m'].to_numpy() == pytest.approx([trunk[2] for trunk in TRUNKS], rel=0.06)


@pytest.mark.parametrize('suffix', ['gpkg', 'json'])
def test_a_scene_that_lies_nowhere_wants_the_size_of_its_pixel(write_raster, tmp_path, suffix):
    raster = made.make_raster(write_raster, tmp_path / 's.tif', None)
    path = make_map(tmp_path / f'map.{suffix}', raster, TREES, None, measured=False)
    labels = make_labelme(tmp_path / 'labels/s.json', TREES)
    with pytest.raises(DataError, match='--gsd-of-scene'):
        read([path], labels)
    (scene,), _ = read([path], labels, gsd_of_scene=2 * GSD)
    assert pairs_of(scene, 0.0).iou.min() > 0.99 and scene.gsd_m == pytest.approx(2 * GSD)
    for frame in (scene.found, scene.truth):
        assert frame['length_m'].to_numpy() == pytest.approx([2 * trunk[2] for trunk in TRUNKS], rel=0.06)
    with pytest.raises(DataError, match='has no CRS, so'):
        read([path], make_layer(tmp_path / 'x/s.gpkg', TREES), gsd_of_scene=0.1)


def test_truth_outside_is_left_out_and_truth_over_the_edge_is_clipped(folder, tmp_path):
    half_out, outside = made.outlines([((0, 10), 90, 10, 0.6), ((-20, 10), 90, 10, 0.6)])
    (scene,), notes = read([folder / 'map.gpkg'], make_labelme(tmp_path / 's.json', [*TREES, half_out, outside]))
    assert len(scene.truth) == 5 and scene.truth['length_m'][4] == pytest.approx(5, rel=0.1)
    assert notes == []  # data_prep leaves it out: no part of it lies on the raster
    columns = dict(label=['fallen_tree'] * 6, length_m=[10.0] * 6)
    (scene,), notes = read(
        [folder / 'map.gpkg'], make_layer(tmp_path / 's.gpkg', [*TREES, half_out, outside], **columns)
    )
    assert len(scene.truth) == 5 and 'of 6 labelled trees lie outside' in notes[0]
    assert scene.truth['length_m'][:4].tolist() == [10] * 4 and scene.truth['length_m'][4] == pytest.approx(5, rel=0.1)


def test_ground_that_could_not_be_read_does_not_count(folder, tmp_path):
    window = [0, 0, 160, 100]  # the upper left quarter: the first tree and the head of the third
    unread = [{'scene': 's', 'window_xywh': window, 'reason': 'damaged'}]
    path = make_map(tmp_path / 'map.gpkg', folder / 's.tif', TREES, unread=unread)
    (scene,), notes = read([path], folder / 'labelme')
    assert scene.ground.area == pytest.approx(0.75 * SIZE[0] * SIZE[1] * GSD**2)
    whole = [shapely.box(*window).contains(shapely.box(*b)) for b in shapely.bounds(outlines_px())]
    assert len(scene.truth) == 4 - sum(whole) == len(scene.found) and '1 of 4 labelled trees' in notes[0]
    assert scene.ground.buffer(1e-6).covers(shapely.union_all(scene.truth.geometry.to_numpy()))


def outlines_px():
    return [shapely.transform(polygon, lambda xy: xy / (GSD, -GSD)) for polygon in TREES]


def test_several_scenes_in_one_map_and_one_label_file(folder, write_raster, tmp_path):
    rasters = [made.make_raster(write_raster, tmp_path / f'{name}.tif') for name in ('a', 'b', 'c')]
    maps = [made.scene_map(raster, TREES[:count]) for raster, count in zip(rasters, (3, 2, 0), strict=True)]
    write_map(together(maps), tmp_path / 'all.gpkg')
    write_map(together(maps), tmp_path / 'all.geojson')
    write_coco(maps, tmp_path / 'all.json')
    labels = make_coco(tmp_path / 'labels/x.json', {f'{name}.tif': TREES for name in 'abc'})
    for suffix in ('gpkg', 'geojson', 'json'):
        scenes, notes = read([tmp_path / f'all.{suffix}'], labels.parent)
        assert [(item.name, len(item.found), len(item.truth)) for item in scenes] == [
            ('a', 3, 4),
            ('b', 2, 4),
            ('c', 0, 4),
        ]
        assert notes == [] and all(pairs_of(item, 0.0).iou.size == len(item.found) for item in scenes)
    labels = make_coco(tmp_path / 'two/x.json', {f'{name}.tif': TREES for name in 'ab'})
    scenes, notes = read([tmp_path / 'all.gpkg'], labels.parent)
    assert len(scenes) == 2 and 'c is not scored' in notes[0]


def test_a_column_scene_tells_whose_labels_they_are(folder, tmp_path):
    columns = dict(label=['fallen_tree'] * 4, scene=['s', 's', 's', 't'])
    (scene,), _ = read([folder / 'map.gpkg'], make_layer(tmp_path / 'all.gpkg', TREES, **columns))
    assert len(scene.truth) == 3


def test_another_picture_is_noticed(folder, write_raster, tmp_path):
    pixels = np.full((3, SIZE[1], SIZE[0]), 91, np.uint8)
    other = write_raster(tmp_path / 's.tif', SIZE, pixels=pixels)
    _, notes = read([folder / 'map.gpkg'], folder / 'labelme', scenes=[other])
    assert len(notes) == 1 and 'has changed since' in notes[0]
    small = write_raster(tmp_path / 'small/s.tif', (32, 20))
    with pytest.raises(DataError, match='was made of 320 x 200 px'):
        read([folder / 'map.gpkg'], folder / 'labelme', scenes=[small.parent])


def test_a_map_without_its_picture_is_enough_but_for_geojson(folder, write_raster, tmp_path):
    raster = made.make_raster(write_raster, tmp_path / 's.tif')
    for suffix in ('gpkg', 'json', 'geojson'):
        make_map(tmp_path / f'map.{suffix}', raster, TREES)
    moved = tmp_path / 'moved/s.tif'
    moved.parent.mkdir()
    raster.rename(moved)
    for suffix in ('gpkg', 'json'):
        (scene,), notes = read([tmp_path / f'map.{suffix}'], folder / 'labelme')
        assert pairs_of(scene, 0.0).iou.size == 4 and notes == []
    with pytest.raises(DataError, match='pass --scenes'):
        read([tmp_path / 'map.geojson'], folder / 'labelme')
    assert len(read([tmp_path / 'map.geojson'], folder / 'labelme', scenes=[moved.parent])[0]) == 1


def test_labels_become_classes_or_are_refused(folder, tmp_path):
    labels = make_labelme(tmp_path / 's.json', TREES, 'log')
    with pytest.raises(DataError, match="--label-map 'log=fallen_tree'"):
        read([folder / 'map.gpkg'], labels)
    (scene,), _ = read([folder / 'map.gpkg'], labels, label_map={'log': 'fallen_tree'})
    assert set(scene.truth['class']) == {'fallen_tree'}
    (scene,), notes = read([folder / 'map.gpkg'], labels, skip_other_labels=True)
    assert len(scene.truth) == 0 and 'no tree is labelled' in notes[0]
    layer = make_layer(tmp_path / 's.gpkg', TREES, species=['log', 'log', None, 'log'])
    with pytest.raises(DataError, match='feature 3 has no label'):
        read([folder / 'map.gpkg'], layer, label_field='species', label_map={'log': 'fallen_tree'})


def test_features_that_are_no_trees_are_counted(folder, tmp_path):
    shapes = [*TREES, shapely.LineString([(1, -1), (5, -5)])]
    (scene,), notes = read([folder / 'map.gpkg'], make_layer(tmp_path / 's.gpkg', shapes))
    assert len(scene.truth) == 4 and len(notes) == 1 and '1 features cannot be scored (5): LineString' in notes[0]


BROKEN = {
    'nothing.gpkg': (b'', 'not a .gpkg file'),
    'text.json': (b'{', 'not valid JSON'),
    'plain.json': (b'{"images": [], "annotations": [], "categories": []}', 'info.provenance'),
    'plain.geojson': (b'{"type": "FeatureCollection", "features": []}', "no member 'provenance'"),
    'odd.tif': (b'', 'must end in .gpkg, .geojson, .json'),
}


@pytest.mark.parametrize('name', BROKEN)
def test_what_is_no_map_is_refused(folder, tmp_path, name):
    content, message = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read([tmp_path / name], folder / 'labelme')


def test_odd_pairs_of_maps_and_labels_are_refused(folder, tmp_path):
    with pytest.raises(DataError, match='holds labels of no scene'):
        (tmp_path / 'empty').mkdir()
        read([folder / 'map.gpkg'], tmp_path / 'empty')
    with pytest.raises(DataError, match='does not exist'):
        read([folder / 'map.gpkg'], tmp_path / 'missing')
    with pytest.raises(DataError, match='stands in'):
        read([folder / 'map.gpkg', folder / 'map.json'], folder / 'labelme')
    with pytest.raises(DataError, match='one label file'):
        make_labelme(tmp_path / 'two/s.json', TREES)
        make_layer(tmp_path / 'two/s.gpkg', TREES)
        read([folder / 'map.gpkg'], tmp_path / 'two')
    with pytest.raises(DataError, match="no layer 'x'"):
        read([folder / 'map.gpkg'], folder / 'gpkg', layer='x')
    with pytest.raises(DataError, match='layers trees and provenance'):
        read([folder / 'gpkg/s.gpkg'], folder / 'labelme')
    make_layer(tmp_path / 'odd/s.gpkg', TREES, layer='a')
    make_layer(tmp_path / 'odd/s.gpkg', TREES, layer='b')
    with pytest.raises(DataError, match='choose one with --layer'):
        read([folder / 'map.gpkg'], tmp_path / 'odd')
    assert len(read([folder / 'map.gpkg'], tmp_path / 'odd', layer='b')[0][0].truth) == 4


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """A drawn world, and a map that shows what is seen of its trees."""
    place = tmp_path_factory.mktemp('world')
    drawn = ['--scenes', '1', '--size', '512', '--trees', '40-40', '--difficulty', 'hard', '--seed', '0']
    assert data_prep_main(['synth', '--out', f'{place}/w', *drawn]) == 0
    return place / 'w'


def test_a_drawn_world_gives_its_own_measures_and_ignores_what_nobody_labelled(world, tmp_path):
    truth = pyogrio.read_dataframe(world / 'truth/synth_00.gpkg', layer='visible')
    seen = truth[~truth.geometry.is_empty]
    labelled = seen[seen['labelled'] == 1]
    shapes = [shapely.transform(shape, lambda xy: xy - (500_000, 5_500_000)) for shape in seen.geometry]
    path, raster = tmp_path / 'map.gpkg', world / 'synth_00.tif'
    scores = np.linspace(0.9, 0.5, len(shapes)).tolist()
    make_map(
        path, raster, shapes, scores=scores, width=512, height=512, transform=[0.05, 0, 500_000, 0, -0.05, 5_500_000]
    )
    (scene,), notes = read([path], world / 'truth')
    assert notes == [] and len(scene.truth) == len(labelled) and len(scene.ignored) == len(seen) - len(labelled)
    pairs = pairs_of(scene, 0.0)
    assert len(pairs.truth) == len(labelled) and len(pairs.ignored) == len(scene.ignored) and pairs.iou.min() > 0.99
    assert scene.truth['tree_id'].tolist() == labelled['tree'].astype(str).tolist()
    whole = (labelled['inside_share'] >= 0.999).to_numpy()
    assert whole.any() and not whole.all()
    for name in ('length_m', 'diameter_mid_m', 'volume_m3', 'azimuth_deg'):
        assert scene.truth.loc[whole, name].tolist() == labelled.loc[whole, name].tolist()
    assert set(scene.truth.loc[whole, 'direction']) == {'fall'}
    lengths = scene.truth.loc[whole, 'centreline'].map(lambda line: line.length).to_numpy(float)
    # The picture has a seam, which moves what lies beyond it.
    assert lengths == pytest.approx(labelled.loc[whole, 'length_m'], abs=0.5)
    cut = scene.truth[~whole]
    assert (cut['length_m'].to_numpy() < labelled.loc[~whole, 'length_m'].to_numpy()).all()
    (hand,), _ = read([path], world)
    assert len(hand.truth) == len(labelled) and len(hand.ignored) == 0
    (outline,), _ = read([path], world / 'truth', layer='outlines')
    assert outline.truth.area.sum() > scene.truth.area.sum()

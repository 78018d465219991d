"""What a page is made of: paths, pictures within their bytes, the order of cases, words for figures."""

import re
from dataclasses import replace

import mapped_scene
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from reported import write_scene

from data_prep.grid import Window
from data_prep.imagery.rasters import raster_info
from tree_map.reporting.chart_svg import VARIABLES
from tree_map.reporting.charts import histogram, length_errors, precision_recall, rose
from tree_map.reporting.outlines_svg import COARSEST_PX, in_pixels, path, paths
from tree_map.reporting.page import Report, write_report
from tree_map.reporting.picture import Source, overview, picture
from tree_map.reporting.scene_data import ReportScene
from tree_map.reporting.sources import source_of
from tree_map.reporting.tables import amount, interval, words
from tree_map.reporting.unlabelled import unlabelled
from tree_map.scoring.found_maps import read_maps
from tree_map.scoring.matching import pairs_of
from tree_map.scoring.scores import ScoreSettings, score


def rings(text):
    """Points of each ring of a path, in source pixels."""
    parts = [re.findall(r'-?\d+', part) for part in text.split('M')[1:]]
    return [np.cumsum(np.reshape(np.array(part, int), (-1, 2)), axis=0) / 10 for part in parts]


@given(st.lists(st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5)), min_size=3, max_size=40))
def test_a_path_keeps_every_corner_within_half_a_step(corners):
    ring = shapely.Polygon(corners)
    (points,) = rings(path(ring)) or [np.empty((0, 2))]
    assert np.abs(points - np.array(corners)[: len(points)]).max() <= 0.0501
    assert len(points) == len(shapely.get_coordinates(ring)) - 1  # the z goes back to the first


def test_a_path_has_a_ring_for_each_part_and_hole():
    holed = shapely.box(0, 0, 10, 10).difference(shapely.box(4, 4, 6, 6))
    text = path(shapely.MultiPolygon([holed, shapely.box(20, 0, 30, 5)]))
    assert [len(ring) for ring in rings(text)] == [4, 4, 4] and text.count('z') == 3
    assert path(None) == '' and path(shapely.Polygon()) == ''


def test_outlines_are_simplified_until_they_fit():
    round_ones = shapely.buffer(shapely.points(np.arange(50) * 300.0, 0), 100, quad_segs=64)
    long, short = paths(round_ones, 10**9), paths(round_ones, 6000)
    assert sum(map(len, short)) <= 6000 < sum(map(len, long))
    for circle, text in zip(round_ones, short, strict=True):
        kept = shapely.Polygon(rings(text)[0])
        assert shapely.hausdorff_distance(kept.exterior, circle.exterior) < COARSEST_PX + 0.1


def test_plane_goes_to_pixels():
    (line,) = in_pixels(np.array([shapely.LineString([(500, 1000), (510, 990)])]), (10, 0, -5000, 0, -10, 10000))
    assert shapely.get_coordinates(line).tolist() == [[0, 0], [100, 100]]


@pytest.fixture(scope='module')
def source(tmp_path_factory, write_raster):
    return Source(raster_info(write_raster(tmp_path_factory.mktemp('p') / 'noise.tif', (700, 500))), (1, 2, 3), None)


@pytest.mark.parametrize('most', [200_000, 60_000, 9_000])
def test_a_picture_of_noise_stays_within_its_bytes(source, most):
    shown = overview(source, 4096, most)
    assert len(shown.jpeg) <= most and shown.window == (0, 0, 700, 500)
    with rasterio.MemoryFile(shown.jpeg) as file, file.open() as opened:
        assert (opened.width, opened.height) == shown.size_wh
        assert opened.width / opened.height == pytest.approx(1.4, abs=0.03)


def test_a_picture_is_never_enlarged_and_never_wider_than_asked(source):
    assert picture(source, Window(100, 50, 64, 48), 1200, 10**6).size_wh == (64, 48)
    assert overview(source, 350, 10**6).size_wh == (350, 250)


def test_sixteen_bits_are_stretched_as_the_map_says(tmp_path, write_raster):
    pixels = np.full((3, 60, 80), 500, np.uint16)
    pixels[:, :, 40:] = 1500
    info = raster_info(write_raster(tmp_path / 'deep.tif', pixels=pixels))
    shown = overview(Source(info, (1, 2, 3), [[0, 2000]] * 3), 4096, 10**6)
    with rasterio.MemoryFile(shown.jpeg) as file, file.open() as opened:
        values = opened.read()
    assert values[:, :, :32].mean() == pytest.approx(64, abs=2)
    assert values[:, :, 48:].mean() == pytest.approx(191, abs=2)


@pytest.mark.parametrize('value, unit, name, said', [
    (0.61234, '', 'scene/recall', '0.612'), (1234.5, 'm', 'length/MAE_m', '1234 m'),
    (-2.3119, 'm', 'length/bias_m', '\N{MINUS SIGN}2.31 m'),
    (0.0645, 'm3', 'volume/bias_m3', '+0.0645 m³'), (0.8381, 'deg', 'azimuth/MAE_deg', '0.838°'), (None, 'm', 'x', '–'),
    (float('nan'), '', 'x', '–'), (0.0, 'm', 'length/MAE_m', '0.000 m'), (20.0, '%', 'count/error_percent', '+20.0 %'),
])  # fmt: skip
def test_amounts_have_three_digits_that_count(value, unit, name, said):
    assert amount(value, unit, name) == said


def test_both_ends_of_an_interval_have_the_decimals_of_the_larger():
    assert interval(9.771, 24, '%', 'length/median_percent', 12.9) == '9.8 to 24.0'
    assert interval(-27.1, 2.81, '%', 'length/total_error_percent', -19) == '\N{MINUS SIGN}27.1 to +2.8'
    assert interval(None, 1.0, 'm') == '–'


def test_figures_without_words_keep_their_names():
    assert words('bias_m') == 'mean error, with its sign' and words('strange_thing') == 'strange thing'


def test_the_curve_is_marked_at_the_last_tree_that_reaches_the_threshold():
    curve = {'recall': [0.1, 0.2, 0.3], 'precision': [1, 0.9, 0.8], 'score': [0.9, 0.6, 0.3]}
    assert 'at the threshold 0.60 precision is 0.90, recall 0.20' in precision_recall(curve, 0.6)
    assert 'no tree reaches the threshold' in precision_recall(curve, 0.95)


def test_charts_take_their_colours_from_the_page_and_are_the_same_each_time():
    values = np.array([1.0, 5, 9, np.nan])
    svg = histogram(values, values, 'length_m')
    assert svg == histogram(values, values, 'length_m') and svg.startswith('<svg class="chart" role="img"')
    assert 'var(--found)' in svg and 'var(--label)' in svg and not any(colour in svg for colour in VARIABLES)
    assert '<style' not in svg and 'found: 3 trees, median 5' in svg and 'id="figure' not in svg


def test_an_axis_is_drawn_both_ways_and_a_fall_one_way():
    trees = pd.DataFrame({'azimuth_deg': [30.0, 31, 190, np.nan], 'direction': ['fall', 'axis', 'axis', None]})
    assert 'most, 2 of 6, from 20 to 40 degrees' in rose(trees, None, fall=False)
    assert 'most, 1 of 1, from 20 to 40 degrees' in rose(trees, None, fall=True)
    assert rose(trees[1:], None, fall=True) is None and rose(trees[:0], trees, fall=True) is not None


def test_errors_of_length_are_told():
    svg = length_errors(np.array([10.0, 20, np.nan]), np.array([11.0, 20.5, 3]))
    assert '2 pairs, median error +0.75 m, half of them within 0.75 m' in svg
    assert length_errors(np.array([np.nan]), np.array([1.0])) is None
    many = np.random.default_rng(0).uniform(1, 30, 20_000)
    assert len(length_errors(many, many)) < 200_000


@pytest.mark.slow
def test_a_page_of_a_large_scene_stays_below_15_mb(tmp_path, write_raster):
    """10,000 x 10,000 px of noise, which JPEG cannot make small, with 4000 found and 3000 labelled trees."""
    rng = np.random.default_rng(0)
    found = [((int(x), int(y), int(w), 12), 0.9) for x, y, w in rng.integers((0, 0, 60), (9000, 9900, 600), (4000, 3))]
    _, made, _ = write_scene(tmp_path, write_raster, found=found, size=(10_000, 10_000), write=write_noise)
    (scene,) = read_maps([made])
    source = source_of(scene, {}, pytest.fail)
    scored = unlabelled(scene, source.info)
    truth = scored.found.drop(columns='score').iloc[1000:].assign(tree_id=lambda rows: rows['tree_id'].astype(str))
    truth = truth.set_geometry(truth.geometry.translate(0.3, 0.1)).reset_index(drop=True)
    scored = replace(scored, truth=truth)
    settings = ScoreSettings(0.5, replicates=20)
    shown = ReportScene(scored, source, (10_000, 10_000), scene.provenance, scene.trees)
    pairs, figures = [pairs_of(scored, 0.5)], score([scored], settings).to_json()
    write_report(Report([shown], pairs, figures, 0.5), tmp_path / 'r.html')
    assert 8e6 < (tmp_path / 'r.html').stat().st_size <= 15e6


def write_noise(path, size_wh, **profile):
    """A raster of noise, block by block."""
    tile = np.random.default_rng(0).integers(1, 256, (3, 512, 512), np.uint8)
    profile = {'driver': 'GTiff', 'count': 3, 'dtype': 'uint8', 'width': size_wh[0], 'height': size_wh[1],
               'tiled': True, 'blockxsize': 512, 'blockysize': 512, 'compress': 'zstd', 'zstd_level': 1,
               'crs': 'EPSG:32633',
               'transform': rasterio.transform.from_origin(500_000, 5_500_000, 0.1, 0.1), **profile}  # fmt: skip
    with rasterio.open(path, 'w', **profile) as dataset:
        for _, window in dataset.block_windows():
            dataset.write(tile[:, : window.height, : window.width], window=window)
    return path


def test_without_labels_centrelines_lie_in_their_outlines_in_metres(tmp_path, write_raster):
    raster = mapped_scene.make_raster(write_raster, tmp_path / 's.tif', None)
    path = mapped_scene.make_map(tmp_path / 'map.gpkg', raster, mapped_scene.outlines(), None)
    (found,) = read_maps([path])
    scene = unlabelled(found, None, gsd_of_scene=mapped_scene.GSD)
    assert len(scene.truth) == 0 and scene.found['score'].is_monotonic_decreasing
    for row in scene.found.itertuples():
        assert row.centreline.length == pytest.approx(row.length_m, rel=0.01)
        assert row.geometry.buffer(0.1).covers(row.centreline)

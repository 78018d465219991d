"""A scene to files: GeoTIFF and LabelMe labels side by side, the whole truth as GeoPackage in a folder of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import rasterio
import shapely
from rasterio.transform import Affine
from rasterio.windows import Window

from data_prep.atomic import atomic_path, atomic_write
from data_prep.labels.geopackage import Layer, write_geopackage
from data_prep.synth.annotate import is_labelled, labelme
from data_prep.synth.folder import TRUTH, Written, appearing, scene_name
from data_prep.synth.scene import Scene
from data_prep.synth.settings import Options
from data_prep.synth.truth import Seen, TreeTruth, all_truth

CRS = 'EPSG:32633'
ORIGIN_XY = (500_000.0, 5_500_000.0)
SCENES_IN_A_ROW, PITCH_M = 100, 2000  # no two scenes lie over each other on the map
CACHE_MB = 64  # of GDAL, which otherwise holds whole scenes before it writes them
HAND = 9  # seed of the annotator's hand, apart from those of Scene

COLUMNS = dict(
    scene=str, tree=int, labelled=int, length_m=float, diameter_base_m=float, diameter_mid_m=float,
    diameter_top_m=float, volume_m3=float, azimuth_deg=float, visible_share=float, inside_share=float,
    crossings=int, bark=str, broken=int, root_plate=int, crown_remnant=int,
)  # fmt: skip


def write_scene(folder: Path, options: Options, index: int) -> Written:
    """Draw a scene and write ``truth/synth_NN.gpkg``, ``synth_NN.tif`` and at last ``synth_NN.json``.

    Args:
        folder: See ``folder.opened``.
        options: Of the run.
        index: Of the scene, from 0.
    """
    scene, name = Scene(options, index), scene_name(index)
    east, south = index % SCENES_IN_A_ROW * PITCH_M, index // SCENES_IN_A_ROW * PITCH_M
    transform = Affine(scene.gsd_m, 0, ORIGIN_XY[0] + east, 0, -scene.gsd_m, ORIGIN_XY[1] - south)
    seen = Seen(scene)
    with appearing(folder, name) as half_made:
        _write_raster(half_made / f'{name}.tif', scene, seen, transform)
        truth = all_truth(scene, seen)
        hand = np.random.default_rng((options.seed, index, HAND))
        labels = labelme(hand, scene, seen, truth, f'{name}.tif')
        write_geopackage(half_made / TRUTH / f'{name}.gpkg', _layers(scene, name, truth, transform), CRS)
        with atomic_write(half_made / f'{name}.json', sync=False) as file:
            json.dump(labels, file)
    return Written(name, len(truth), len(labels['shapes']))


def _write_raster(path: Path, scene: Scene, seen: Seen, transform: Affine) -> None:
    width, height = scene.size_wh
    profile = dict(
        driver='GTiff', width=width, height=height, count=3, dtype='uint8', crs=CRS, transform=transform,
        tiled=True, blockxsize=256, blockysize=256, compress='deflate', zlevel=3, predictor=2, interleave='pixel',
        photometric='rgb', bigtiff='if_safer',
    )  # fmt: skip
    with (
        rasterio.Env(GDAL_CACHEMAX=CACHE_MB),
        atomic_path(path, sync=False) as temporary,
        rasterio.open(temporary, 'w', **profile) as raster,
    ):
        for band in scene.bands():
            raster.write(band.rgb, window=Window(0, band.top, width, band.rgb.shape[1]))
            seen.add(band)


def _layers(scene: Scene, name: str, truth: list[TreeTruth], transform: Affine) -> list[Layer]:
    """Whole outline, visible part and centreline of all trees, each with all fields."""
    rows = [_row(scene, name, tree) for tree in truth]
    corner, step = (transform.c, transform.f), (transform.a, transform.e)
    to_map = lambda geometry: shapely.transform(geometry, lambda xy: xy * step + corner)  # noqa: E731
    kinds = (('outlines', 'MULTIPOLYGON', 'outline'), ('visible', 'MULTIPOLYGON', 'visible'),
             ('centrelines', 'MULTILINESTRING', 'centreline'))  # fmt: skip
    return [
        Layer(layer, kind, [to_map(getattr(tree, what)) for tree in truth], COLUMNS, rows)
        for layer, kind, what in kinds
    ]


def _row(scene: Scene, name: str, truth: TreeTruth) -> tuple:
    tree = scene.layout.trees[truth.number - 1]
    measures = (
        truth.length_m,
        *truth.diameters_m,
        truth.volume_m3,
        truth.azimuth_deg,
        truth.visible_share,
        truth.inside_share,
    )
    return (
        name, truth.number, int(is_labelled(truth)), *(round(value, 4) for value in measures), truth.crossings,
        tree.bark, int(len(tree.stems) > 1), int(tree.plate is not None), int(tree.remnant is not None),
    )  # fmt: skip

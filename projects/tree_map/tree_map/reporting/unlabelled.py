"""A map as a scene of a report where nothing is labelled: found trees in a plane of metres, and no truth."""

from __future__ import annotations

from data_prep.errors import DataError
from data_prep.imagery.rasters import RasterInfo
from tree_map.scoring.found_maps import FoundScene
from tree_map.scoring.plane import plane_of
from tree_map.scoring.reading import found_in, ground_of, told_gsd
from tree_map.scoring.scored_scene import MEASURES, ScoredScene


def unlabelled(scene: FoundScene, info: RasterInfo | None, gsd_of_scene: float | None = None) -> ScoredScene:
    """Place the trees of a map.

    Args:
        scene: As read from a map.
        info: Header of its raster, where that is there.
        gsd_of_scene: Side of a source pixel, m, of a scene without a CRS.

    Raises:
        DataError: If nobody knows where the scene lies, or how long a metre is.
    """
    header = scene.info or info
    if header is None:
        raise DataError(f'{scene.file} does not say the CRS of {scene.name}, and its raster is not there; pass '
                        f'--scenes FOLDER')  # fmt: skip
    plane = plane_of(header, gsd_of_scene or told_gsd(scene))
    found = found_in(scene, plane, sorted(set(scene.trees['class'])))
    found = found.reindex(columns=[*found.columns, *(name for name in MEASURES if name not in found)])
    truth = found.drop(columns='score').iloc[:0]
    return ScoredScene(scene.name, truth, found, ground_of(scene, plane), plane.gsd_m, plane.plane_to_pixel)

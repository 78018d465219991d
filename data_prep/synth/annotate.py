"""LabelMe labels as a person would draw them: the whole tree, as far as it can be seen, with few vertices."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from shapely.ops import substring

from data_prep.synth.grain import Floats
from data_prep.synth.scene import Scene
from data_prep.synth.settings import LABEL_FROM, LABEL_FROM_PX
from data_prep.synth.truth import Seen, TreeTruth

LABEL = 'fallen_tree'
UNSEEN_END_PX = 10  # an end that is hidden for longer than this is not drawn
UNSEEN_SIDE_PX = 8  # of a root plate or crown, hidden parts are drawn this far
STRAY_PX = 0.35  # deviation of a drawn vertex
CROSSED = 0.03  # share of outlines that cross themselves


def is_labelled(tree: TreeTruth) -> bool:
    """The rule: a tree is labelled if 30 % of its pixels inside the picture, and 60 of them, are seen."""
    return tree.visible_share >= LABEL_FROM and tree.visible_px >= LABEL_FROM_PX


def labelme(rng: np.random.Generator, scene: Scene, seen: Seen, truth: list[TreeTruth], image: str) -> dict[str, Any]:
    """Content of a LabelMe file.

    Args:
        rng: Of the annotator's hand.
        scene: That was drawn.
        seen: Where its trees are seen.
        truth: Of the same scene.
        image: Name of the raster.

    Returns:
        One polygon for each tree that ``is_labelled``. Along the stem it runs through parts that other trees and crowns
        hide; it leaves out ends of the stem, root plates and crowns that nothing is seen of, and stays inside the
        picture and out of its holes.
    """
    drawn = [_drawn(rng, scene, seen, tree) for tree in truth if is_labelled(tree)]
    shapes = [
        dict(
            label=LABEL,
            points=np.round(points, 2).tolist(),
            group_id=None,
            description='',
            shape_type='polygon',
            flags={},
        )
        for points in drawn
        if points is not None
    ]
    width, height = scene.size_wh
    return dict(
        version='5.4.1', flags={}, shapes=shapes, imagePath=image, imageData=None, imageHeight=height, imageWidth=width
    )


def _drawn(rng: np.random.Generator, scene: Scene, seen: Seen, tree: TreeTruth) -> Floats | None:
    outline = shapely.difference(tree.outline, _unseen_ends(tree, seen.of(tree.number)))
    outline = shapely.intersection(outline, _guessed(tree, scene.gsd_m))
    outline = shapely.intersection(outline, shapely.box(0, 0, *scene.size_wh))
    for hole in scene.camera.holes:
        outline = shapely.difference(outline, hole)
    parts = [part for part in shapely.get_parts(outline) if part.geom_type == 'Polygon']
    if not parts:
        return None
    largest = max(parts, key=lambda part: part.area)
    ring = np.asarray(shapely.simplify(largest, 0.8).exterior.coords)[:-1]
    ring = np.clip(ring + rng.normal(0, STRAY_PX, ring.shape), 0, scene.size_wh)
    return _crossed(ring) if rng.random() < CROSSED else ring


def _guessed(tree: TreeTruth, gsd_m: float) -> shapely.Geometry:
    """Where a person supposes the tree: along the stem, and a little around what is seen of plate and crown."""
    stem = tree.centreline.buffer(0.75 * max(tree.diameters_m) / gsd_m)
    return shapely.union(stem, shapely.simplify(tree.visible, 1).buffer(UNSEEN_SIDE_PX, quad_segs=2))


def _unseen_ends(tree: TreeTruth, seen_xy: np.ndarray) -> shapely.Geometry:
    """Area around the ends of the stem beyond the first and the last pixel that is seen."""
    line = max(shapely.get_parts(tree.centreline), key=lambda part: part.length)
    at = shapely.line_locate_point(line, shapely.points(seen_xy[:: max(1, len(seen_xy) // 2000)] + 0.5))
    first, last = np.quantile(at, [0.005, 0.995])
    reach = float(np.sqrt(tree.outline.area)) + 10  # farther than root plates and crowns
    ends = []
    for start, end, hidden in ((0, first, first), (last, line.length, line.length - last)):
        if hidden > UNSEEN_END_PX:
            ends.append(_lengthened(substring(line, start, end), reach, start == 0).buffer(reach / 2, cap_style='flat'))
    return shapely.union_all(ends)


def _lengthened(line: shapely.LineString, by: float, at_start: bool) -> shapely.LineString:
    xy = np.asarray(line.coords)
    end, inner = (xy[0], xy[1]) if at_start else (xy[-1], xy[-2])
    beyond = end + (end - inner) / max(float(np.hypot(*(end - inner))), 1e-6) * by
    return shapely.LineString(np.concatenate([[beyond], xy] if at_start else [xy, [beyond]]))


def _crossed(ring: Floats) -> Floats:
    """Exchange the two neighbours that make the outline cross itself with the least change of its area."""
    best, loss = ring, np.inf
    area = shapely.Polygon(ring).area
    for k in range(len(ring) - 1):
        swapped = ring.copy()
        swapped[[k, k + 1]] = ring[[k + 1, k]]
        polygon = shapely.Polygon(swapped)
        change = abs(shapely.make_valid(polygon, method='structure', keep_collapsed=False).area - area)
        if not polygon.is_valid and change < loss:
            best, loss = swapped, change
    return best

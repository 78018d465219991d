"""Crops of the worst cases at full resolution: the ground with labelled outlines, and again with found ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from data_prep.grid import Window
from tree_map.reporting.outlines_svg import STEP_PX, in_pixels, path
from tree_map.reporting.picture import Picture, picture
from tree_map.reporting.scene_data import ReportScene
from tree_map.reporting.verdicts import NONE, UNSURE, Case, Verdicts

MARGIN_PX = 24  # around a tree, or so much of its longer side
LEAST_PX, MOST_PX = 160, 1200  # of a crop; a longer tree is seen with fewer pixels
NEIGHBOUR_PX = 0.3  # that the outline of a tree may move when it is simplified


@dataclass(frozen=True)
class Outline:
    """One tree drawn in a crop: its path in tenths of a source pixel, and a class of the page's style."""

    path: str
    kind: str


@dataclass(frozen=True)
class Shown:
    """One case as the page shows it.

    Attributes:
        link: To the tree on the map.
        text: What is said below.
        window: Source pixels of the crop.
        picture: The crop; None where the raster is not there.
        truth: Labelled trees in it.
        found: Found trees in it.
        step: Source pixels that 1 in a path counts.
    """

    link: str
    text: str
    window: Window
    picture: Picture | None
    truth: list[Outline]
    found: list[Outline]
    step: float = STEP_PX


@dataclass(frozen=True)
class Drawable:
    """Outlines of a scene in source pixels, with trees to find neighbours."""

    found: NDArray[np.object_]
    truth: NDArray[np.object_]

    @classmethod
    def of(cls, scene: ReportScene) -> Drawable:
        """Those of a scene."""
        to_pixel = scene.scored.plane_to_pixel
        return cls(*(in_pixels(frame.geometry.to_numpy(), to_pixel) for frame in (scene.scored.found,
                                                                                  scene.scored.truth)))  # fmt: skip


def show(
    cases: Sequence[Case],
    scenes: Sequence[ReportScene],
    verdicts: Sequence[Verdicts],
    drawables: Sequence[Drawable],
    most_bytes: int,
) -> list[Shown]:
    """Cut and draw cases.

    Args:
        cases: In order.
        scenes: That they lie in.
        verdicts: Of the scenes' trees.
        drawables: Of the scenes.
        most_bytes: Of all crops together; what one does not need is left to the next.

    Raises:
        DataError: If a raster is damaged.
    """
    made, left = [], most_bytes
    for number, case in enumerate(cases):
        scene, verdict, drawable = scenes[case.scene], verdicts[case.scene], drawables[case.scene]
        window = _window(case, drawable, scene.size_wh)
        crop = None
        if scene.source is not None:
            crop = picture(scene.source, window, MOST_PX, left // (len(cases) - number))
            left -= len(crop.jpeg)
        truth = _inside(drawable.truth, window, case.truth, verdict.truth)
        found = _inside(drawable.found, window, case.found, verdict.found)
        made.append(Shown(_link(case, scene), _text(case, scene, verdict), window, crop, truth, found))
    return made


def _window(case: Case, drawable: Drawable, size_wh: tuple[int, int]) -> Window:
    """The ground around a case: a square, inside the scene."""
    shapes = [outlines[n] for outlines, n in ((drawable.found, case.found), (drawable.truth, case.truth)) if n != NONE]
    left, top, right, bottom = shapely.total_bounds(np.array(shapes, dtype=object))
    margin = max(MARGIN_PX, 0.15 * max(right - left, bottom - top))
    side = max(right - left + 2 * margin, bottom - top + 2 * margin, LEAST_PX)
    sides = []
    for middle, most in (((left + right) / 2, size_wh[0]), ((top + bottom) / 2, size_wh[1])):
        length = min(round(side), most)
        sides.append((int(np.clip(round(middle - length / 2), 0, most - length)), length))
    (x, width), (y, height) = sides
    return Window(x, y, width, height)


def _inside(outlines: NDArray[np.object_], window: Window, own: int, kinds: Sequence[str]) -> list[Outline]:
    """The trees of the map that a window shows; the case's own is drawn last, and marked."""
    box = shapely.box(window.x, window.y, window.right, window.bottom)
    near = np.flatnonzero(shapely.intersects(outlines, box))
    near = [n for n in near if n != own and kinds[n] != UNSURE] + [own] * (own != NONE)
    # Cut off a little outside: long neighbours would cost bytes that nobody sees.
    cut = shapely.intersection(shapely.simplify(outlines[near], NEIGHBOUR_PX), box.buffer(9, join_style='mitre'))
    return [Outline(path(_polygons(shape)), f'{kinds[n]}{" own" if n == own else ""}')
            for n, shape in zip(near, cut, strict=True)]  # fmt: skip


def _polygons(shape: shapely.Geometry) -> shapely.Geometry:
    parts = [part for part in shapely.get_parts(shape) if part.geom_type == 'Polygon']
    return shapely.MultiPolygon(parts)


def _link(case: Case, scene: ReportScene) -> str:
    from urllib.parse import quote

    scored = scene.scored
    trees, n, word = (scored.truth, case.truth, 'label') if case.found == NONE else (scored.found, case.found, 'tree')
    return f'#scene={quote(scene.scored.name, safe="")}&{word}={quote(str(trees["tree_id"].iloc[n]), safe="")}'


def _text(case: Case, scene: ReportScene, verdict: Verdicts) -> str:
    """Such as: tree 12, score 0.93, 14.2 m."""
    words = []
    if case.found != NONE:
        tree = scene.scored.found.iloc[case.found]
        words += [f'tree {tree["tree_id"]}', f'score {tree["score"]:.2f}']
        if case.truth != NONE:
            words.append(f'IoU {verdict.iou[case.found]:.2f}')
        words += _length(tree, 'found ' if case.truth != NONE else '')
    if case.truth != NONE:
        tree = scene.scored.truth.iloc[case.truth]
        words += [f'label {tree["tree_id"]}'] if case.found == NONE else []
        words += _length(tree, 'labelled ' if case.found != NONE else '')
    return ', '.join(words)


def _length(tree: object, before: str) -> list[str]:
    length = float(tree['length_m'])
    return [f'{before}{length:.1f} m'] if np.isfinite(length) else []

"""How good the maps of some scenes are under any settings, without looking at a pixel again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine

from tree_map.assembling import SMOOTH_PX
from tree_map.joining import JoinSettings, join
from tree_map.joining.below import sure_ones
from tree_map.mapper import Seen
from tree_map.outlines import smooth
from tree_map.pieces import Trees
from tree_map.scoring.matching import pairs_of
from tree_map.scoring.scored_scene import ScoredScene

Settings = tuple[float, tuple[tuple[str, float], ...]]  # score threshold, then joining by name


@dataclass(frozen=True)
class Trial:
    """How good some settings are.

    Attributes:
        right: Labelled trees that were found, (scene, row) each.
        counted: Found and labelled trees together.
    """

    right: frozenset[tuple[int, int]]
    counted: int

    @property
    def f1(self) -> float:
        """Of all scenes together; 0 where nothing is labelled and nothing found."""
        return 2 * len(self.right) / max(self.counted, 1)

    def noise(self, other: Trial) -> float:
        """Standard error of the difference of the two F1, to first order.

        Of each labelled tree that only one of them finds, and of each false alarm that one has more, it was as likely
        to be the other way, as in McNemar's test (Psychometrika 12, 1947, 153-157). The two go together as far as they
        can: an outline that became right is a false alarm less.
        """
        f1, count = (self.f1 + other.f1) / 2, max(min(self.counted, other.counted), 1)
        moved = len(self.right ^ other.right)
        alarms = abs(self.counted - len(self.right) - other.counted + len(other.right))
        both = min(moved, alarms)
        return (4 * both + (2 - f1) ** 2 * (moved - both) + f1**2 * (alarms - both)) ** 0.5 / count


@dataclass
class Trials:
    """Scenes that were looked at, their labels, and what has been tried on them.

    Attributes:
        seen: What the network saw of each, from a low score on.
        labelled: The same scenes with their labels; what was found in them is replaced.
        classes: Names, by label.
        iou_thr: Least overlap of a found tree and its label.
        done: By settings, all that was tried.
    """

    seen: Sequence[Seen]
    labelled: Sequence[ScoredScene]
    classes: Sequence[str]
    iou_thr: float = 0.5
    done: dict[Settings, Trial] = field(default_factory=dict)

    def of(self, score_thr: float, joining: Mapping[str, float]) -> Trial:
        """Try a score threshold, and what joining does otherwise than by default."""
        key = (score_thr, tuple(sorted(joining.items())))
        if key not in self.done:
            right, counted = set(), 0
            for number, (seen, scene) in enumerate(zip(self.seen, self.labelled, strict=True)):
                trees = join(sure_ones(seen.pieces, score_thr), JoinSettings.at(seen.scene.gsd_m, joining))
                pairs = pairs_of(replace(scene, found=self._in_plane(seen, scene, trees)), 0.0, self.iou_thr)
                right |= {(number, row) for row in pairs.truth.tolist()}
                counted += len(trees) - len(pairs.ignored) + len(scene.truth)
            self.done[key] = Trial(frozenset(right), counted)
        return self.done[key]

    def _in_plane(self, seen: Seen, scene: ScoredScene, trees: Trees) -> gpd.GeoDataFrame:
        """Trees as a map has them, in the plane of the labels; of the scored classes alone."""
        across, down = seen.scene.info.grid.step_xy
        a, b, c, d, e, f = (~Affine(*scene.plane_to_pixel) * Affine.scale(across, down))[:6]
        shapes = shapely.transform(
            smooth(trees.polygons, SMOOTH_PX), lambda xy: xy @ np.array([[a, d], [b, e]]) + (c, f)
        )
        frame = {'class': np.array([self.classes[label] for label in trees.labels], object), 'score': trees.scores}
        return gpd.GeoDataFrame(frame, geometry=shapely.make_valid(shapes))

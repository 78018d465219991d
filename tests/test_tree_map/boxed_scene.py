"""Scenes whose trees are boxes of whole metres, so that overlaps can be counted by hand and drawn without error."""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from tree_map.scoring.scored_scene import MEASURES, ScoredScene


def boxed_scene(truth, found, ignored=(), name='scene', side=100):
    """A scene of ``side`` metres.

    Boxes are (x0, y0, x1, y1) or (x0, y0, x1, y1, class); found ones are pairs of box and score, surest first or not.
    """
    order = sorted(found, key=lambda item: -item[1])
    frame = _frame([box for box, _ in order])
    frame['score'] = np.array([score for _, score in order], float)
    return ScoredScene(
        name, _frame(truth), frame, shapely.box(0, 0, side, side), 1.0, (1, 0, 0, 0, -1, side),
        _frame(ignored)[['class', 'geometry']],
    )  # fmt: skip


def _frame(boxes):
    frame = pd.DataFrame({
        'tree_id': pd.Series(range(1, len(boxes) + 1), dtype=object),
        'class': pd.Series([box[4] if len(box) > 4 else 'tree' for box in boxes], dtype=object),
        'centreline': pd.Series([_line(*box[:4]) for box in boxes], dtype=object),
    })  # fmt: skip
    for measure in MEASURES:
        frame[measure] = pd.Series([None] * len(boxes), dtype=object) if measure == 'direction' else np.nan
    frame['length_m'] = np.array([max(x1 - x0, y1 - y0) for x0, y0, x1, y1, *_ in boxes], float)
    return gpd.GeoDataFrame(frame, geometry=[shapely.box(*box[:4]) for box in boxes])


def _line(x0, y0, x1, y1):
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return shapely.LineString([(x0, y), (x1, y)] if x1 - x0 >= y1 - y0 else [(x, y0), (x, y1)])

"""Trees summed up by square cells of the map: how many, how much wood, and which way they fell."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from data_prep.errors import DataError

HECTARE_M2 = 10_000.0
MOST = 4_000_000  # cells
NEEDED = ('length_m', 'volume_m3', 'azimuth_deg', 'direction')


def cells(trees: gpd.GeoDataFrame, cell_m: float = 100.0, mapped: shapely.Geometry | None = None) -> gpd.GeoDataFrame:
    """Sum trees up by cells.

    A tree counts whole in the cell that holds the middle of its centreline: so numbers stay whole, cells add up to the
    total, and each tree stands in one cell that a forester can point at. A border belongs to the cell east and north
    of it. A tree without length, or without geometry, is not counted.

    Args:
        trees: Columns `length_m`, `volume_m3`, `azimuth_deg` and `direction` as in ``measuring.measure``; geometry the
            centrelines, or the outlines, whose centroid then stands for the middle. In metres.
        cell_m: Side of a cell, m. Their borders lie at multiples of it in the coordinates of the map.
        mapped: What was looked at and holds data; all of the cells that hold trees where it is not given.

    Returns:
        A row for each cell that holds a tree or a part of `mapped`, from south to north and west to east: `trees`,
        `volume_m3`, `mapped_ha` (of the cell's area), `trees_per_ha`, `volume_m3_per_ha` and `length_m_per_ha`
        (NaN where nothing of a cell with trees is mapped), `mean_direction_deg` of the fall, clockwise from north, 0 <=
        it < 360, `direction_strength`, 0 (all ways) to 1 (one way), of trees whose fall is known, and `axis_deg`, 0 <=
        it < 180, of all. NaN without such trees.

    Raises:
        DataError: If a column is missing, the CRS is not in metres, cell_m is not above 0, or cells would be too many.
    """
    _checked(trees, cell_m)
    middle = _middles(trees.geometry.to_numpy())
    kept = np.isfinite(middle).all(1) & np.isfinite(trees['length_m'].to_numpy(float))
    tree_cell = np.floor(middle[kept] / cell_m).astype(np.int64)
    boxes, area = _mapped_cells(mapped, cell_m)
    every, which = np.unique(np.concatenate([boxes, tree_cell])[:, ::-1], axis=0, return_inverse=True)
    which = which.reshape(-1)
    mapped_m2 = np.full(len(every), cell_m**2 if mapped is None else 0.0)
    mapped_m2[which[: len(boxes)]] = area
    table = _sums(trees[kept], which[len(boxes) :], mapped_m2 / HECTARE_M2)
    corner = every[:, ::-1] * cell_m
    squares = shapely.box(*corner.T, *(corner + cell_m).T)
    return gpd.GeoDataFrame(table, geometry=squares, crs=trees.crs)


def mean_direction(degrees: NDArray[np.floating], group: NDArray[np.integer], count: int) -> tuple[NDArray, NDArray]:
    """Mean direction (count,), degrees, and resultant length (count,), 0..1, of angles by group; NaN of none.

    The direction of the sum of unit vectors, and its length by their number (Mardia & Jupp, Directional Statistics,
    2000, section 2.2). Axes are doubled before, and their mean halved after (section 9.1).
    """
    angle = np.radians(degrees)
    number = np.bincount(group, minlength=count).astype(float)
    east, north = (np.bincount(group, part, count) for part in (np.sin(angle), np.cos(angle)))
    with np.errstate(invalid='ignore', divide='ignore'):
        length = np.minimum(np.hypot(east, north) / number, 1)
    mean = np.degrees(np.arctan2(east, north)) % 360
    return np.where((number > 0) & (length > 1e-9), mean % 360, np.nan), length


def _sums(trees: pd.DataFrame, group: NDArray[np.int64], mapped_ha: NDArray[np.float64]) -> pd.DataFrame:
    count = len(mapped_ha)
    number = np.bincount(group, minlength=count)
    volume, length = (np.bincount(group, np.nan_to_num(trees[name].to_numpy(float)), count)
                      for name in ('volume_m3', 'length_m'))  # fmt: skip
    azimuth, fall = trees['azimuth_deg'].to_numpy(float), (trees['direction'] == 'fall').to_numpy(bool)
    known = np.isfinite(azimuth)
    mean, strength = mean_direction(azimuth[known & fall], group[known & fall], count)
    axis, _ = mean_direction(2 * azimuth[known], group[known], count)
    per_ha = lambda values: np.divide(values, mapped_ha, out=np.full(count, np.nan), where=mapped_ha > 0)  # noqa: E731
    return pd.DataFrame(dict(
        trees=number, trees_per_ha=per_ha(number.astype(float)), volume_m3=volume, volume_m3_per_ha=per_ha(volume),
        length_m_per_ha=per_ha(length), mean_direction_deg=mean, direction_strength=strength, axis_deg=axis / 2,
        mapped_ha=mapped_ha,
    ))  # fmt: skip


def _middles(geometry: NDArray[np.object_]) -> NDArray[np.float64]:
    """Half-way along lines, centroids of others; NaN of none; (n, 2)."""
    lines = shapely.get_type_id(geometry) == shapely.GeometryType.LINESTRING
    points = np.where(lines, shapely.line_interpolate_point(np.where(lines, geometry, None), 0.5, normalized=True),
                      shapely.centroid(geometry))  # fmt: skip
    return np.stack([shapely.get_x(points), shapely.get_y(points)], 1).reshape(-1, 2)


def _mapped_cells(mapped: shapely.Geometry | None, cell_m: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Column and row of cells that meet `mapped`, and its area within each, m2."""
    if mapped is None or mapped.is_empty:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    low, high = np.array(mapped.bounds).reshape(2, 2) / cell_m
    first, end = np.floor(low).astype(np.int64), np.ceil(high).astype(np.int64)
    if (end - first).prod() > MOST:
        raise DataError(f'cells must be at most {MOST}, but {cell_m} m make {(end - first).prod()}: make them larger')
    column, row = (axis.ravel() for axis in np.meshgrid(*(np.arange(a, b) for a, b in zip(first, end, strict=True))))
    corner = np.stack([column, row], 1)
    shapely.prepare(mapped)
    squares = shapely.box(*(corner * cell_m).T, *((corner + 1) * cell_m).T)
    area = np.where(shapely.contains_properly(mapped, squares), cell_m**2, 0.0)
    border = (area == 0) & shapely.intersects(mapped, squares)
    area[border] = shapely.area(shapely.intersection(squares[border], mapped))
    return corner[area > 0], area[area > 0]


def _checked(trees: gpd.GeoDataFrame, cell_m: float) -> None:
    missing = [name for name in NEEDED if name not in trees]
    if missing:
        raise DataError(f'trees must have the columns {", ".join(NEEDED)}, but {", ".join(missing)} is missing')
    if not (np.isfinite(cell_m) and cell_m > 0):
        raise DataError(f'the side of a cell must be above 0 m, not {cell_m}')
    if trees.crs is not None and (not trees.crs.is_projected or trees.crs.axis_info[0].unit_name != 'metre'):
        raise DataError(f'the CRS must be in metres, but {trees.crs.to_string()} is not: reproject the trees')

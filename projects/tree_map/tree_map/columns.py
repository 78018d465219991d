"""The map's layers and columns, told once: what is written, described inside the files, and listed in the README."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import pandas as pd
from pyproj import CRS

INTERVAL = 'of the interval that holds the truth for about 90 % of trees'
DTYPES = {'int': 'Int64', 'float': 'float64', 'bool': 'boolean', 'text': 'object'}


@dataclass(frozen=True)
class Column:
    """One column: its name, what kind of values (a key of DTYPES), their unit ('' without one), and what they mean."""

    name: str
    kind: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Layer:
    """One layer: its name, the kind of its geometry, what a row is, and its columns in order."""

    name: str
    geometry: str
    meaning: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Of the columns, in order."""
        return [column.name for column in self.columns]


def _measured(stem: str, unit: str, meaning: str, suffix: str) -> tuple[Column, ...]:
    """A measured value with the two ends of its interval."""
    return (
        Column(f'{stem}{suffix}', 'float', unit, meaning),
        *(Column(f'{stem}_{end}{suffix}', 'float', unit, f'{word} end {INTERVAL}')
          for end, word in (('lo', 'lower'), ('hi', 'upper'))),
    )  # fmt: skip


_TREE_ID = Column('tree_id', 'int', '', 'number of the tree, from 1, the same in all layers')
_CLASS = Column('class', 'text', '', 'name of its class, as the data of training call it')
_SCORE = Column('score', 'float', '', 'how sure the network is, 0 to 1')
_AZIMUTH = Column('azimuth_deg', 'float', 'deg', 'from base to top, clockwise from grid north, 0 to 360; below 180 '
                  'where direction is axis, as base and top may be swapped')  # fmt: skip
_DIRECTION = Column('direction', 'text', '', 'fall where taper, root plate or crown tell the base, else axis')

TREES = Layer('trees', 'MultiPolygon', 'Outline of each fallen tree, joined across windows', (
    _TREE_ID, _CLASS, _SCORE,
    *_measured('length', 'm', 'length of the centreline, gaps included', '_m'),
    *_measured('diameter_base', 'm', 'diameter at the base', '_m'),
    *_measured('diameter_mid', 'm', 'diameter half-way', '_m'),
    *_measured('diameter_top', 'm', 'diameter at the top', '_m'),
    *_measured('volume', 'm3', 'volume of the stem, taken as round', '_m3'),
    _AZIMUTH,
    Column('azimuth_error_deg', 'float', 'deg', 'half the width of the interval of azimuth_deg'),
    _DIRECTION,
    *_measured('area', 'm2', 'area of the outline', '_m2'),
    Column('visible_fraction', 'float', '', 'share of the whole tree that the outline shows, 0 to 1'),
    Column('visible_lo', 'float', '', f'lower end {INTERVAL}'),
    Column('visible_hi', 'float', '', f'upper end {INTERVAL}'),
    Column('parts', 'int', '', 'pieces, one or more from each window, that it was joined from'),
    Column('seam_joined', 'bool', '', 'whether the pieces come from more than one window'),
    Column('scene', 'text', '', 'name of the raster it was found in'),
))  # fmt: skip

CENTRELINES = Layer('centrelines', 'LineString', 'Middle of each tree, from base to top where direction is fall', (
    _TREE_ID, _CLASS, _SCORE,
    Column('length_m', 'float', 'm', 'length of the centreline, gaps included'),
    _AZIMUTH, _DIRECTION,
))  # fmt: skip

CELLS = Layer('cells', 'MultiPolygon', 'Squares with the sums of the trees in them; the sums by hectare count mapped '
              'ground only', (
    Column('trees', 'int', '', 'trees whose middle lies in the cell'),
    Column('trees_per_ha', 'float', '1/ha', 'trees by mapped hectare'),
    Column('volume_m3', 'float', 'm3', 'sum of their volumes'),
    Column('volume_m3_per_ha', 'float', 'm3/ha', 'volume by mapped hectare'),
    Column('length_m_per_ha', 'float', 'm/ha', 'length by mapped hectare'),
    Column('mean_direction_deg', 'float', 'deg', 'mean azimuth of the trees whose direction is fall'),
    Column('direction_strength', 'float', '', 'how much they agree: 1 all fell one way, 0 all ways'),
    Column('axis_deg', 'float', 'deg', 'mean axis of all trees, 0 to 180'),
    Column('mapped_ha', 'float', 'ha', 'ground of the cell that was looked at'),
))  # fmt: skip

LAYERS = (TREES, CENTRELINES, CELLS)


def complete(frame: gpd.GeoDataFrame, layer: Layer) -> gpd.GeoDataFrame:
    """Give a frame all columns of its layer, in order and of their kind; what is missing becomes empty.

    Args:
        frame: With any of the columns, and with others, which are kept behind them.
        layer: One of LAYERS.

    Returns:
        A new frame, its rows numbered from 0, its geometry last.

    Raises:
        ValueError: If a column holds values of another kind.
    """
    frame, rows = frame.reset_index(drop=True), range(len(frame))
    made = {}
    for column in layer.columns:
        values = frame[column.name] if column.name in frame else pd.Series([None] * len(frame), rows, dtype='object')
        made[column.name] = _as_kind(values, column)
    others = [name for name in frame.columns if name not in made and name != frame.geometry.name]
    made |= {str(name): frame[name] for name in others}
    return gpd.GeoDataFrame(made, geometry=frame.geometry.array, crs=frame.crs)


def _as_kind(values: pd.Series, column: Column) -> pd.Series:
    if column.kind == 'text':
        return values.astype('object').where(values.notna(), None)
    try:
        if column.kind == 'float':
            return pd.to_numeric(values).astype('float64')
        return (pd.to_numeric(values) if column.kind == 'int' else values).astype(DTYPES[column.kind])
    except (TypeError, ValueError) as error:
        raise ValueError(f"column '{column.name}' must hold values of kind {column.kind}: {error}") from None


def empty_layer(layer: Layer, crs: CRS | str | None = None) -> gpd.GeoDataFrame:
    """A layer with all its columns and no row: what a scene without a tree gives."""
    return complete(gpd.GeoDataFrame(geometry=[], crs=crs), layer)


def markdown(layer: Layer) -> str:
    """The layer's columns as a table for the README."""
    lines = [f'| {layer.name} | unit | |', '|---|---|---|']
    return '\n'.join([*lines, *(f'| `{column.name}` | {column.unit} | {column.meaning} |' for column in layer.columns)])

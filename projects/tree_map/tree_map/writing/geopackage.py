"""The map as a GeoPackage: three layers with their styles, what each column means, and how the map was made.

GDAL writes the tables. What it does not write, the descriptions of columns (OGC 12-128r19, annex F.9), is added after.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError

from data_prep.atomic import atomic_path
from data_prep.errors import one_line
from tree_map.columns import LAYERS, Layer
from tree_map.scene_map import SceneMap
from tree_map.writing.text import provenance_text

NO_DATE = '2000-01-01T00:00:00.000Z'  # where the provenance names none: the same map gives the same bytes
STYLES = {'trees': 'score', 'centrelines': 'direction', 'cells': 'trees per hectare'}  # layer: shown by what
VERSION = {'VERSION': '1.3'}  # the newest that QGIS 3.22 opens without a warning
FAILURES = (DataLayerError, DataSourceError, FeatureError, GeometryError, sqlite3.Error)

SCHEMA_TABLES = """
CREATE TABLE IF NOT EXISTS gpkg_data_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT,
  title TEXT, description TEXT, mime_type TEXT, constraint_name TEXT,
  CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name), CONSTRAINT gdc_tn UNIQUE (table_name, name));
CREATE TABLE IF NOT EXISTS gpkg_data_column_constraints (constraint_name TEXT NOT NULL, constraint_type TEXT NOT NULL,
  value TEXT, min NUMERIC, min_is_inclusive BOOLEAN, max NUMERIC, max_is_inclusive BOOLEAN, description TEXT,
  CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value));
"""
SCHEMA_EXTENSION = ('gpkg_schema', 'http://www.geopackage.org/spec121/#extension_schema', 'read-write')


def write_geopackage(scene_map: SceneMap, path: Path) -> None:
    """Write the layers ``trees``, ``centrelines`` and ``cells`` and the table ``provenance``.

    QGIS opens each layer in the style kept for it in ``layer_styles``. The file is built in the folder for temporary
    files and copied when it is whole: SQLite cannot lock files on many network drives.

    Args:
        scene_map: The map.
        path: Target; replaced when all is written.

    Raises:
        OSError: If the disk is full or a folder not writable.
    """
    with tempfile.TemporaryDirectory(prefix='tree_map_') as folder:
        built = Path(folder, 'map.gpkg')
        with _told_as_os_errors(path, folder):
            _add_layers(scene_map, built)
            with closing(sqlite3.connect(built)) as base, base:
                _describe_columns(base)
                _set_date(base, _date(scene_map))
            _check(scene_map, built)
        with atomic_path(path) as temporary:
            shutil.copyfile(built, temporary)


@contextmanager
def _told_as_os_errors(path: Path, folder: str) -> Iterator[None]:
    """Let failures of GDAL and SQLite look like those of any other file: they do not say that a disk is full."""
    try:
        yield
    except FAILURES as error:
        raise OSError(f'{path} could not be built in {folder}, whose disk may be full (TMPDIR names another): '
                      f'{one_line(error)[:100]}') from error  # fmt: skip


def _add_layers(scene_map: SceneMap, built: Path) -> None:
    # Of a layer: GDAL copies metadata of a whole file into an .aux.xml beside it as soon as somebody reads it.
    notes = {key: value for key, value in provenance_text(scene_map).items() if value is not None}
    for layer in LAYERS:
        frame = getattr(scene_map, layer.name)
        _add(frame, built, layer.name, geometry_type=_geometry_type(frame, layer), layer_metadata=notes,
             DESCRIPTION=layer.meaning, SPATIAL_INDEX='YES')  # fmt: skip
        notes = None
    texts = provenance_text(scene_map)
    table = pd.DataFrame({'key': list(texts), 'value': list(texts.values())}, dtype='object')
    _add(table, built, 'provenance', DESCRIPTION='How the map was made')
    _add(_styles(_date(scene_map)), built, 'layer_styles', FID='id', DESCRIPTION='Styles for QGIS')


def _add(frame: pd.DataFrame, built: Path, name: str, **options: object) -> None:
    if isinstance(frame, gpd.GeoDataFrame):
        options['promote_to_multi'] = options['geometry_type'].startswith('Multi')
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', "'crs' was not provided")  # a photo has none
        pyogrio.write_dataframe(frame, built, layer=name, driver='GPKG', dataset_options=VERSION, **options)


def _geometry_type(frame: gpd.GeoDataFrame, layer: Layer) -> str:
    """The layer's own, or its multi-part kind where a row has several parts."""
    several = frame.geom_type.astype('object').str.startswith('Multi').any()
    return layer.geometry if layer.geometry.startswith('Multi') or not several else f'Multi{layer.geometry}'


def _styles(date: str) -> pd.DataFrame:
    """Rows as QGIS writes them."""
    rows = [
        {
            'f_table_catalog': '',
            'f_table_schema': '',
            'f_table_name': name,
            'f_geometry_column': 'geom',
            'styleName': f'{name} by {shown}',
            'styleQML': files('tree_map.writing').joinpath('styles', f'{name}.qml').read_text('utf-8'),
            'styleSLD': '',
            'useAsDefault': True,
            'description': f'{name} by {shown}',
            'owner': '',
            'ui': None,
            'update_time': pd.Timestamp(date),
        }
        for name, shown in STYLES.items()
    ]
    return pd.DataFrame(rows).astype({'ui': 'object'})


def _date(scene_map: SceneMap) -> str:
    """The map's own date as GeoPackage wants it, in UTC."""
    try:
        made = datetime.fromisoformat(str(scene_map.provenance.get('created')))
    except ValueError:
        return NO_DATE
    made = made.astimezone(UTC) if made.tzinfo else made
    return f'{made:%Y-%m-%dT%H:%M:%S}.{made.microsecond // 1000:03d}Z'


def _describe_columns(base: sqlite3.Connection) -> None:
    base.executescript(SCHEMA_TABLES)
    for table in ('gpkg_data_columns', 'gpkg_data_column_constraints'):
        base.execute('INSERT OR IGNORE INTO gpkg_extensions VALUES (?, NULL, ?, ?, ?)', (table, *SCHEMA_EXTENSION))
    for layer in LAYERS:
        for column in layer.columns:
            unit = f' [{column.unit}]' if column.unit else ''
            base.execute('INSERT INTO gpkg_data_columns VALUES (?, ?, NULL, ?, ?, NULL, NULL)',
                         (layer.name, column.name, f'{column.name}{unit}', f'{column.meaning}{unit}'))  # fmt: skip


def _set_date(base: sqlite3.Connection, date: str) -> None:
    base.execute('UPDATE gpkg_contents SET last_change = ?', (date,))
    base.execute('UPDATE gpkg_metadata_reference SET timestamp = ?', (date,))


def _check(scene_map: SceneMap, built: Path) -> None:
    """Hold the file against what was to be written: GDAL does not report every failed write.

    Raises:
        sqlite3.DatabaseError: If the file is broken or rows are missing.
    """
    with closing(sqlite3.connect(built)) as base:
        found = base.execute('PRAGMA quick_check').fetchone()[0]
        if found != 'ok':
            raise sqlite3.DatabaseError(found)
        for layer in LAYERS:
            rows = base.execute(f'SELECT count(*) FROM "{layer.name}"').fetchone()[0]
            if rows != len(getattr(scene_map, layer.name)):
                raise sqlite3.DatabaseError(f'{layer.name} holds {rows} of {len(getattr(scene_map, layer.name))} rows')

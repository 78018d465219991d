"""A table that says which label file goes with which raster, and if wanted into which split.

    raster,labels,split,name
    north/ortho.tif,north/trees.gpkg,train,north
    south/ortho.tif,south/trees.gpkg,test,south

CSV (commas, or semicolons throughout) or a GeoPackage with one table. ``raster`` and ``labels`` must be there,
``split`` and ``name`` may be, other columns are not read. Paths are relative to the table.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from data_prep.errors import DataError, MissingPackage
from data_prep.labels.csv_rows import read_csv
from data_prep.labels.features import label_text
from data_prep.labels.vectors import check_magic, quiet_ogr
from data_prep.scenes import LABEL_SUFFIXES, Scene, find_scenes, unique_names
from data_prep.tile.splits import SPLITS

COLUMNS = ('raster', 'labels', 'split', 'name')
Row = dict[str, str]  # by column, blank where the table has nothing


def scenes_of(
    inputs: Sequence[Path], labels: Path | None, table: Path | None, *, unlabelled: str = 'error'
) -> list[Scene]:
    """Scenes of folders and rasters, or of a table.

    Args:
        inputs: Folders and rasters.
        labels: As for ``find_scenes``.
        table: In place of both, see ``read_scenes_table``.
        unlabelled: ``'error'`` or ``'empty'``.

    Raises:
        DataError: If both or none are given, or as the two readers say.
    """
    if bool(inputs) == bool(table):
        raise DataError('SCENES or --scenes-table must be given, and not both; name folders, rasters or a table')
    if table is None:
        return find_scenes(inputs, labels, unlabelled=unlabelled)
    if labels:
        raise DataError('--scenes-table names the labels itself, so --labels does not go with it; drop one')
    return read_scenes_table(table, unlabelled=unlabelled)


def read_scenes_table(table: Path, *, unlabelled: str = 'error') -> list[Scene]:
    """Read the scenes of a table.

    Args:
        table: A .csv or .gpkg file.
        unlabelled: ``'error'`` or ``'empty'``: what a row without labels means.

    Returns:
        Scenes sorted by name: that of the table, else the raster's without suffix.

    Raises:
        DataError: If the table cannot be read, lacks a column, names a file that is missing, names a raster or a scene
            twice, or gives a split to some rows only.
        MissingPackage: If a GeoPackage is given and pyogrio is not installed.
    """
    readers = {'.csv': _csv_rows, '.gpkg': _gpkg_rows}
    if table.suffix.lower() not in readers:
        raise DataError(f'--scenes-table {table} must end in .csv or .gpkg; export it as one of them')
    rows = readers[table.suffix.lower()](table)
    if not rows:
        raise DataError(f'{table} has no row; add one for each scene')
    scenes = [_scene(f'{table}, row {number}', table, row, unlabelled) for number, row in enumerate(rows, 1)]
    _refuse_twice(table, scenes)
    without = [number for number, scene in enumerate(scenes, 1) if scene.split is None]
    if 0 < len(without) < len(scenes):
        raise DataError(f'{table}, row {without[0]} has no split, others have one; fill the column, or leave it out')
    unique_names((scene.name, scene.raster) for scene in scenes)
    return sorted(scenes, key=lambda scene: scene.name)


def _scene(where: str, table: Path, row: Row, unlabelled: str) -> Scene:
    if not row['raster']:
        raise DataError(f'{where} names no raster; fill the cell, or delete the row')
    raster = table.parent / row['raster']
    labels = table.parent / row['labels'] if row['labels'] else None
    for path in (raster, labels):
        if path is not None and not path.is_file():
            raise DataError(f'{where} names {path}, which does not exist; paths are relative to the table')
    if labels is not None and labels.suffix.lower() not in LABEL_SUFFIXES:
        raise DataError(f'{where} names {labels} as labels, which must end in {", ".join(LABEL_SUFFIXES)}')
    if labels is None and unlabelled == 'error':
        raise DataError(f'{where} names no labels; fill the cell, or pass --unlabelled empty if it shows no object')
    if row['split'] and row['split'] not in SPLITS:
        raise DataError(f'{where} has the split {row["split"]!r}; it must be one of {", ".join(SPLITS)}')
    return Scene(row['name'] or raster.stem, raster, labels, row['split'] or None)


def _refuse_twice(table: Path, scenes: Sequence[Scene]) -> None:
    first: dict[Path, int] = {}
    for number, scene in enumerate(scenes, 1):
        other = first.setdefault(scene.raster.resolve(), number)
        if other != number:
            raise DataError(f'{table}, rows {other} and {number} name the same raster {scene.raster}; keep one')


def _csv_rows(table: Path) -> list[Row]:
    lines = read_csv(table)
    columns = _columns(table, lines[0] if lines else [])
    for number, line in enumerate(lines[1:], 1):
        if len(line) != len(lines[0]):
            raise DataError(f'{table}, row {number} has {len(line)} cells; its first line has {len(lines[0])}')
    return [{name: line[at] if at is not None else '' for name, at in columns.items()} for line in lines[1:]]


@quiet_ogr()
def _gpkg_rows(table: Path) -> list[Row]:
    check_magic(table)
    try:
        import pyogrio
    except ModuleNotFoundError:
        raise MissingPackage(f'reading {table.name} needs pyogrio: pip install fallen-trees[vectors]') from None
    source = os.path.abspath(table)
    try:
        layers = [name for name, _ in pyogrio.list_layers(source)]
        if len(layers) != 1:
            raise DataError(f'{table} must have one table; got {len(layers)} {layers}; export one alone')
        meta, _, _, cells = pyogrio.raw.read(source, layer=layers[0], read_geometry=False)
    except DataError:
        raise
    except (RuntimeError, ValueError) as error:  # pyogrio's own errors, and text that is not in its encoding
        raise DataError(f'{table} cannot be read: {error}; export it again') from None
    columns = _columns(table, list(meta['fields']))
    return [
        {name: '' if at is None else label_text(cells[at][number]) or '' for name, at in columns.items()}
        for number in range(len(cells[0]))
    ]


def _columns(table: Path, header: Sequence[str]) -> dict[str, int | None]:
    """Place of each column, None for one that is not there."""
    names = [name.strip().lower() for name in header]
    for name in COLUMNS[:2]:
        if name not in names:
            raise DataError(f'{table} must have the columns raster and labels; got {", ".join(header) or "none"}')
    for name in COLUMNS:
        if names.count(name) > 1:
            raise DataError(f'{table} has the column {name} twice; keep one')
    return {name: names.index(name) if name in names else None for name in COLUMNS}

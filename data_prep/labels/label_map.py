"""Labels of the files to classes of the data set: ``Pine log`` and ``Spruce log`` both become ``tree``.

    a=b,c=d,e=        on the command line; an empty target drops the label
    map.json          {"a": "b", "c": "d", "e": ""}; null drops as well
    map.csv           first line label,class, then one line per label

A label that the map does not name keeps its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from data_prep.errors import DataError
from data_prep.labels.csv_rows import read_csv
from data_prep.labels.strict_json import read_json

LabelMap = dict[str, str | None]  # None: dropped

HEADER = ['label', 'class']


def read_label_map(text: str) -> LabelMap:
    """Read a label map.

    Args:
        text: Name of a .json or .csv file, or the map itself, ``a=b,c=d``.

    Raises:
        DataError: If it is neither, a label stands in it twice or is empty, or a target is not text.
    """
    path = Path(text)
    if path.suffix.lower() == '.json':
        return _checked(_json_pairs(path), str(path))
    if path.suffix.lower() == '.csv':
        return _checked(_csv_pairs(path), str(path))
    items = [item.partition('=') for item in text.split(',')]
    if not all(equals and '=' not in target for _, equals, target in items):
        raise DataError(f"--label-map takes a .json or .csv file, or pairs such as 'a=b,c=d'; got {text!r}")
    return _checked([(label, target) for label, _, target in items], '--label-map')


def _json_pairs(path: Path) -> list[tuple[str, object]]:
    pairs = read_json(path, members=lambda members: members)  # a dict would hide duplicates
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise DataError(f'{path} must hold one JSON object of "label": "class"; write it as such')
    return pairs


def _csv_pairs(path: Path) -> list[tuple[str, object]]:
    rows = read_csv(path)
    if not rows or [cell.lower() for cell in rows[0]] != HEADER:
        got = ','.join(rows[0])[:80] if rows else 'nothing'
        raise DataError(f'{path} must begin with the line {",".join(HEADER)}; got {got}; add it')
    for row in rows[1:]:
        if len(row) != 2:
            raise DataError(f'{path} must have two cells in each line, label and class; got {",".join(row)[:80]!r}')
    return [(label, target) for label, target in rows[1:]]


def _checked(pairs: Iterable[tuple[str, object]], where: str) -> LabelMap:
    found: LabelMap = {}
    for label, target in pairs:
        name = label.strip()
        if not name:
            raise DataError(f'{where} has an empty label (for {target!r}); name the label that it stands for')
        if name in found:
            raise DataError(f'{where} has the label {name!r} twice; keep one')
        if not (target is None or isinstance(target, str)):
            raise DataError(f'{where} must give label {name!r} a class name, or nothing to drop it; got {target!r}')
        found[name] = (target or '').strip() or None
    if not found:
        raise DataError(f'{where} is empty; name at least one label, or leave --label-map out')
    return found

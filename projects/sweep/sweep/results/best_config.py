"""`best.py`: the winner of a sweep as a config of a few lines that inherits what the sweep inherited."""

import os
from collections.abc import Mapping
from pathlib import Path

from data_prep.atomic import atomic_write
from sweep.results.rows import Row, SweepFacts, one_line

WIDTH = 120  # of a line


def write_best(study: str, row: Row, sweep_file: SweepFacts, path: Path) -> None:
    """Write the config of a trial of a study; its folder must exist.

    Reading it gives the base with the sweep's options and the trial's values merged into it, as the trial had them.
    """
    with atomic_write(path) as file:
        file.write(best_text(study, row, sweep_file, path))


def best_text(study: str, row: Row, sweep_file: SweepFacts, path: Path) -> str:
    """The config's text; `path` is where it will lie, to which the base's path is relative unless links lie between."""
    base, folder = Path(sweep_file.base).resolve(), Path(os.path.abspath(path)).parent
    # Where a folder is a link, MMEngine takes `..` once from where it points, once from the link itself.
    base = str(base) if folder.resolve() != folder else os.path.relpath(base, folder)
    tree: dict = {}
    for key, value in {**sweep_file.options, **row.values}.items():
        _put(tree, key.split('.'), value)
    lines = [f'{name} = {_source(value, f"_base_[{name!r}]")}' for name, value in tree.items()]
    return '\n'.join([*_header(study, row, sweep_file), '', f'_base_ = [{base!r}]', '', *lines, ''])


def _header(study: str, row: Row, sweep_file: SweepFacts) -> list[str]:
    figures = ', '.join(
        f'{one_line(name)} {value:.4f}' for (name, _), value in zip(sweep_file.objectives, row.figures, strict=True)
    )
    at = '' if row.best_iteration is None else f', best at iteration {row.best_iteration}'
    chosen = ', '.join(f'{name}={value}' for name, value in row.params.items())
    lines = [f'# Study {one_line(study)}, trial {row.number}: {figures}{at}.', f'# {one_line(chosen)}']
    if len(sweep_file.objectives) > 1:
        lines.append(f'# Of several objectives this is the best by the first, {one_line(sweep_file.objectives[0][0])}.')
    return lines


def _put(tree: dict, parts: list[str], value: object) -> None:
    """Merge a value into nested dicts, as MMEngine merges options: dicts into dicts, anything else replaces."""
    *above, last = parts
    for part in above:
        if not isinstance(tree.get(part), dict):
            tree[part] = {}
        tree = tree[part]
    if isinstance(value, Mapping):
        tree[last] = tree[last] if isinstance(tree.get(last), dict) else {}
        for key, inner in value.items():
            _put(tree[last], [key], inner)
    else:
        tree[last] = value


def _source(value: object, base: str, indent: int = 4, whole: bool = False) -> str:
    """Python that says a value of the tree.

    Args:
        value: A dict of the tree, or a plain value.
        base: Python for what the base config has at this place.
        indent: Of the lines inside.
        whole: Whether the value takes the base's place. Dicts are merged into those of the base, but lists are not:
            inside a list everything is said whole, with what the base has there.
    """
    if not isinstance(value, dict) or not value:
        return repr(value)
    if all(key.isdigit() for key in value):
        return _list_source(value, base, indent)
    inside = {key: _source(item, f'{base}[{key!r}]', indent + 4, whole) for key, item in value.items()}
    start = [base] if whole else []
    if all(key.isidentifier() for key in inside):
        return _wrapped('dict(', [*start, *(f'{key}={item}' for key, item in inside.items())], ')', indent)
    start = [f'**{base}'] if whole else []
    return _wrapped('{', [*start, *(f'{key!r}: {item}' for key, item in inside.items())], '}', indent)


def _list_source(changes: dict, base: str, indent: int) -> str:
    """The base's list with some of its entries changed."""
    parts, after = [], 0
    for index in sorted(map(int, changes)):
        if index > after:
            parts.append(f'*{base}[{after or ""}:{index}]')
        parts.append(_source(changes[str(index)], f'{base}[{index}]', indent + 4, whole=True))
        after = index + 1
    return _wrapped('[', [*parts, f'*{base}[{after}:]'], ']', indent)


def _wrapped(start: str, parts: list[str], end: str, indent: int) -> str:
    line = f'{start}{", ".join(parts)}{end}'
    if len(line) + indent <= WIDTH - 20 and '\n' not in line:
        return line
    lines = ''.join(f'{" " * indent}{part},\n' for part in parts)
    return f'{start}\n{lines}{" " * (indent - 4)}{end}'

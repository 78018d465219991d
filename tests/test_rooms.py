"""Who may import whom, and that every file is written through the one atomic writer."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    'data_prep': ROOT / 'data_prep',
    'fallen_trees': ROOT / 'projects/fallen_trees/fallen_trees',
    'tree_map': ROOT / 'projects/tree_map/tree_map',
    'sweep': ROOT / 'projects/sweep/sweep',
}
DEEP = r'torch|mm\w+'
FORBIDDEN = {
    'data_prep': rf'({DEEP}|fallen_trees|tree_map|sweep|optuna|projects)\b',
    'fallen_trees': r'(rasterio|optuna|tree_map|sweep|data_prep(?!\.atomic\b)|projects)\b',
    'tree_map': r'(fallen_trees|sweep|optuna|projects)\b',
    'sweep': r'(data_prep(?!\.atomic\b)|fallen_trees|tree_map|torch|mm\w+|projects)\b',
}
# The one file of a room that may import what its room may not.
EXCEPTIONS = {
    'load_window.py': r'data_prep\.imagery\.(pixels|rasters)\b',  # tiles read straight from their GeoTIFF
    'model.py': r'fallen_trees\.\w+\.',  # a network is loaded for mapping as it is for testing
}
# Packages that data_prep imports only where they are used: a laptop without them still cuts tiles from LabelMe files.
OPTIONAL = r'(pyogrio|matplotlib|jinja2|distributed)\b'


def python_files(folder):
    return sorted(folder.rglob('*.py')) if folder.is_dir() else []


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


@pytest.mark.parametrize('room', [room for room, folder in ROOMS.items() if folder.is_dir()])
def test_rooms_import_only_what_they_may(room):
    files = python_files(ROOMS[room])
    assert files
    wrong = [f'{file}: {name}' for file in files for name in imports(file) if re.match(FORBIDDEN[room], name)
             and not re.match(EXCEPTIONS.get(file.name, '$'), name)]  # fmt: skip
    assert wrong == []


def test_configs_import_nothing():
    files = python_files(ROOT / 'configs')
    assert files
    assert [str(file) for file in files for _ in imports(file)] == []


def test_data_prep_imports_its_optional_packages_only_where_they_are_used():
    wrong = []
    for file in python_files(ROOMS['data_prep']):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or '']
                wrong += [f'{file}: {name}' for name in names if re.match(OPTIONAL, name)]
    assert wrong == []


def writes(file):
    """Calls that open a file for writing by name."""
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, 'id', '')
        constants = [a.value for a in [*node.args, *(k.value for k in node.keywords)] if isinstance(a, ast.Constant)]
        modes = [c for c in constants if isinstance(c, str) and re.fullmatch(r'[wxa]b?\+?|r\+b?', c)]
        if name in ('write_text', 'write_bytes') or (name == 'open' and modes and not on_temporary(node)):
            yield node.lineno


def on_temporary(call):
    """Whether a library writes by name into what `atomic_path` will move to its place."""
    return bool(call.args) and isinstance(call.args[0], ast.Name) and call.args[0].id == 'temporary'


def test_every_file_is_written_atomically():
    files = [file for folder in (*ROOMS.values(), ROOT / 'tools') for file in python_files(folder)]
    wrong = [
        f'{file.relative_to(ROOT)}:{line}' for file in files if file.name != 'atomic.py' for line in writes(file)
    ]  # fmt: skip
    assert wrong == []


def test_the_writer_of_files_would_be_caught(tmp_path):
    file = tmp_path / 'x.py'
    file.write_text("open('a', 'w')\nPath('b').write_text('')\nopen('c')\nopen('d', mode='wb')\n")
    assert list(writes(file)) == [1, 2, 4]

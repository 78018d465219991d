"""`finalists.py`: the best trials and the default as a file for `tools/ablate.py`, to be trained anew with fresh seeds.

The best of many trials is a lucky one too. What it is worth shows in runs that nothing was chosen by, on the test
split. What a sweep left out for speed (data, iterations) comes back there.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from pprint import pformat

from data_prep.atomic import atomic_write
from sweep.results.rows import Row, SweepFacts, one_line

SEEDS = (1, 2, 3)  # trials have that of their config, 0
DEFAULT = 'default'
HEADER = '''"""The best of study {study}, and the default, with fresh seeds, on the test split.

    python tools/ablate.py {path} --jobs 2
"""
'''


def write_finalists(study: str, rows: Sequence[Row], sweep_file: SweepFacts, path: Path) -> None:
    """Write the file; its folder must exist, and a trial must have run to its end."""
    with atomic_write(path) as file:
        file.write(finalists_text(study, rows, sweep_file, path))


def finalists_text(study: str, rows: Sequence[Row], sweep_file: SweepFacts, path: Path) -> str:
    """The file's text.

    The default is what the sweep file enqueues first, or the base with the sweep's options where it enqueues nothing.

    Args:
        study: Its name.
        rows: Of the study, the best on top.
        sweep_file: Says how many finalists there are, and which of the sweep's options change for them.
        path: Where it will lie.
    """
    first = dict(sweep_file.enqueue[0]) if sweep_file.enqueue else None
    ended = [row for row in rows if row.state == 'done']
    best = [row for row in ended if row.params != first][: sweep_file.finalists]
    arms = {f'trial_{row.number:04d}': dict(row.values) for row in best}
    content = {
        'config': str(Path(sweep_file.base).resolve()),
        'options': {**sweep_file.options, **sweep_file.final},
        'seeds': list(SEEDS),
        'arms': {DEFAULT: _settings(first, sweep_file), **arms},
        'metrics': [name for name, _ in sweep_file.objectives if '/' in name],
        'tests': {'test': {}},
    }
    said = (f'{name} = {pformat(value, width=110, sort_dicts=False)}\n' for name, value in content.items())
    return HEADER.format(study=_harmless(study), path=_harmless(str(path))) + '\n' + ''.join(said)


def _settings(params: Mapping[str, object] | None, sweep_file: SweepFacts) -> dict[str, object]:
    """What parameters set, by dotted key."""
    settings: dict[str, object] = {}
    for dimension in sweep_file.space.dimensions:
        if params and dimension.name in params:
            settings |= dimension.settings(params[dimension.name])
    return settings


def _harmless(text: str) -> str:
    """Text that ends no docstring."""
    return one_line(text).replace('\\', '/').replace('"', "'")

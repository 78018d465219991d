"""Folders of pictures and pages: appear whole, replace only their own kind, and need the optional packages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from data_prep.atomic import atomic_write
from data_prep.errors import DataError, MissingPackage
from data_prep.tile.staging import DATA, MARKER, check_out, staged_folder


def check_report_out(out: Path, sources: list[Path], command: str, *, overwrite: bool) -> Path:
    """Refuse an output folder as ``tile`` does; what ``--overwrite`` replaces must be of the same command.

    Raises:
        DataError: If the folder must not be touched.
    """
    out = check_out(out, sources, overwrite=overwrite)
    if (out / MARKER).is_file():
        try:
            made_by = json.loads((out / MARKER).read_text(encoding='utf-8')).get('command')
        except (ValueError, AttributeError):
            made_by = None
        if made_by != command:
            raise DataError(f'--out {out} was not made by {command}, so --overwrite leaves it; choose another folder')
    return out


@contextmanager
def fresh_folder(out: Path) -> Iterator[Path]:
    """Fill an empty folder that takes the place of ``out`` when the block ends without an error.

    Args:
        out: Checked by ``check_report_out``.

    Raises:
        DataError: If another run fills it.
        OSError: If it cannot be written.
    """
    with staged_folder(out) as staging:
        folder = staging / DATA
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed: pictures are drawn anew
        folder.mkdir()
        yield folder


def require_report_packages() -> None:
    """Say what is missing before any work is done.

    Raises:
        MissingPackage: If matplotlib or jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingPackage(f'{error.name} is needed here: pip install -r requirements/report.txt') from None


def render(path: Path, package: str, template: str, **values: object) -> None:
    """Fill an HTML template that lies in a package; all values are escaped.

    Raises:
        MissingPackage: If jinja2 is not installed.
    """
    require_report_packages()
    import jinja2

    text = resources.files(package).joinpath(template).read_text(encoding='utf-8')
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    with atomic_write(path) as file:
        file.write(environment.from_string(text).render(**values))

"""JSON in with clear errors, JSON out with stable bytes."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_prep.atomic import atomic_write
from data_prep.errors import DataError

MAX_BYTES = 1 << 30  # a parsed file takes about ten times its size in memory


def read_json(path: str | os.PathLike[str], members: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Parse a JSON file that somebody else wrote.

    NaN and Infinity are let through, because label tools write them; the polygon they stand in is dropped later, alone.

    Args:
        path: The file.
        members: Makes the value of an object from its members, inner objects first; None makes a dict, in which the
            last of two equal keys wins.

    Raises:
        DataError: If the file is missing, too large, not UTF-8, not JSON, or nested too deep.
    """
    try:
        with uncollected():
            return json.loads(read_text(path), object_pairs_hook=members)
    except json.JSONDecodeError as error:
        raise DataError(f'{path} is not valid JSON: {error.msg} in line {error.lineno}; export it again') from None
    except RecursionError:
        raise DataError(f'{path} is nested too deep to be a label file; export it again') from None
    except ValueError as error:  # Python refuses whole numbers of more than 4300 digits
        raise DataError(f'{path} holds a number that cannot be read: {error}; export it again') from None


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector from going through all that was parsed, again and again: three quarters of the time.

    Also a decorator. Whatever forms no cycle is freed as ever.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a text file that somebody else wrote.

    Raises:
        DataError: If the file is missing, too large or not UTF-8.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f'{path} is larger than {MAX_BYTES >> 20} MiB; split it, or convert it to GeoPackage')
        return path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise DataError(f'{path} must be UTF-8 text; byte {error.start} is not; save it as UTF-8') from None
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror}') from None


def write_json(path: str | os.PathLike[str], content: Any, *, indent: int | None = None) -> None:
    """Write JSON; the same content gives the same bytes.

    Raises:
        ValueError: If a number is NaN or infinite, which JSON does not know.
    """
    with atomic_write(path) as file:
        separators = (',', ':') if indent is None else (',', ': ')
        # dumps, not dump: without indent it is written in C, five times as fast.
        text = json.dumps(content, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False)
        file.write(f'{text}\n')

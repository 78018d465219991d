"""Small tables as text: commas, or semicolons as spreadsheets in some languages write them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from data_prep.errors import DataError
from data_prep.labels.strict_json import read_text


def read_csv(path: Path) -> list[list[str]]:
    """Read the lines of a CSV file, cells without blanks around them, empty lines left out.

    Raises:
        DataError: If the file is missing, too large, not UTF-8 or not CSV.
    """
    text = read_text(path)
    header = text.lstrip().partition('\n')[0]
    delimiter = ';' if ';' in header and ',' not in header else ','
    try:
        lines = [[cell.strip() for cell in line] for line in csv.reader(io.StringIO(text), delimiter=delimiter)]
    except csv.Error as error:
        raise DataError(f'{path} is not a CSV file: {error}; export it again') from None
    return [line for line in lines if any(line)]

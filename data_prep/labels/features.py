"""What every label reader hands on: drawn things with their place in the file, still as drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import rasterio
import shapely

from data_prep.errors import DataError


@dataclass(frozen=True)
class Feature:
    """One drawn thing.

    ``number`` is its place in the file, from 1, counting also what is dropped later; ``geometry`` is None where it
    could not be built.
    """

    number: int
    label: str | None
    geometry: shapely.Geometry | None
    problem: str | None = None  # why it cannot be an object, where the reader knows
    skip: str | None = None  # why it is passed over on purpose


@dataclass(frozen=True)
class FeatureFile:
    """All features of one label file.

    ``crs`` is None where coordinates are pixels of the raster (x right, y down, (0, 0) the outer corner of the first).
    """

    path: Path
    features: list[Feature]
    crs: rasterio.CRS | None


def label_text(value: object) -> str | None:
    """A label as text; None, NaN and blanks mean that there is none."""
    if value is None or value != value:
        return None
    return str(value).strip() or None


def parse_crs(text: str, path: Path) -> rasterio.CRS:
    """Read a CRS that a label file names.

    Raises:
        DataError: If PROJ does not know it.
    """
    try:
        with rasterio.Env():  # outside of it PROJ prints its own line
            return rasterio.CRS.from_user_input(text)
    except (rasterio.errors.CRSError, ValueError, TypeError):  # the latter two from text that looks like JSON
        raise DataError(f'{path} names a CRS that cannot be understood ({text[:80]}); set an EPSG code') from None

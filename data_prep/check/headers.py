"""Size of an image from its first bytes; no pixel is decoded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from data_prep.errors import DataError
from data_prep.imagery.rasters import DRIVERS, open_raster

PNG_END = b'IEND\xae\x42\x60\x82'
TAIL = 4096  # bytes at the end of a PNG where its last chunk is looked for: some tools append to a whole file


class Truncated(DataError):
    """The file stops before its format ends."""


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height of an image file in px.

    Args:
        path: PNG, JPEG or TIFF; told by its first bytes, not by its name.

    Returns:
        None for another kind of file.

    Raises:
        Truncated: If a PNG has no end.
        DataError: If the file cannot be opened or its header is damaged.
    """
    try:
        with open(path, 'rb') as file:
            start = file.read(32)
            driver = next((driver for magic, driver in DRIVERS.items() if start.startswith(magic)), None)
            if driver == 'PNG':
                return _png(file, start)
            if driver == 'JPEG':
                return _jpeg(file)
    except OSError as error:
        raise DataError(f'cannot be read: {error.strerror}') from None
    if not start:
        raise DataError('is an empty file')
    if driver is None:
        return None
    with open_raster(path) as dataset:
        return dataset.width, dataset.height


def _png(file: BinaryIO, start: bytes) -> tuple[int, int]:
    if len(start) < 24 or start[12:16] != b'IHDR':
        raise DataError('is a PNG without a header')
    length = file.seek(0, os.SEEK_END)
    file.seek(max(length - TAIL, 0))
    if PNG_END not in file.read():
        raise Truncated(f'is a PNG that stops after {length} bytes')
    return int.from_bytes(start[16:20]), int.from_bytes(start[20:24])


def _jpeg(file: BinaryIO) -> tuple[int, int]:
    """Walk over the segments up to the frame header (ITU T.81, B.2)."""
    file.seek(2)
    while True:
        marker = file.read(2)
        while marker[1:] == b'\xff':  # fill bytes
            marker = marker[1:] + file.read(1)
        if len(marker) < 2 or marker[0] != 0xFF:
            raise DataError('is a JPEG without a frame header')
        if marker[1] == 0x01 or 0xD0 <= marker[1] <= 0xD8:  # stand alone, without a length
            continue
        body = file.read(7)
        if 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC) and len(body) == 7:
            return int.from_bytes(body[5:7]), int.from_bytes(body[3:5])
        length = int.from_bytes(body[:2])
        if len(body) < 7 or length < 2:
            raise DataError('is a JPEG without a frame header')
        file.seek(length - len(body), os.SEEK_CUR)

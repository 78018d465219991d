"""Size of an image from its first bytes, and whether its last ones are there; no pixel is decoded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from data_prep.errors import DataError
from data_prep.imagery.file_end import lacks_pixels
from data_prep.imagery.rasters import DRIVERS, open_raster

TAIL = 4096  # bytes
PNG_END, JPEG_END = b'IEND\xae\x42\x60\x82', b'\xff\xd9'


class Truncated(DataError):
    """The file stops before its format ends."""


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height of an image file in px.

    Args:
        path: PNG, JPEG or TIFF; told by its first bytes, not by its name.

    Returns:
        None for another kind of file.

    Raises:
        Truncated: If a PNG or JPEG has no end, or pixels of a TIFF lie past the end of the file.
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
            length = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise DataError(f'cannot be read: {error.strerror}') from None
    if not start:
        raise DataError('is an empty file')
    if driver is None:
        return None
    with open_raster(path) as dataset:
        if lacks_pixels(dataset, length):
            raise Truncated(f'is a TIFF that stops after {length} bytes, before its pixels end')
        return dataset.width, dataset.height


def _check_end(file: BinaryIO, end: bytes, start: int, kind: str) -> None:
    """Look for the mark that ends a file, near its end and then anywhere: some tools append to a whole file."""
    length = file.seek(0, os.SEEK_END)
    for begin in (max(length - TAIL, start), start):
        file.seek(begin)
        if end in file.read():
            return
    raise Truncated(f'is a {kind} that stops after {length} bytes')


def _png(file: BinaryIO, start: bytes) -> tuple[int, int]:
    if len(start) < 24 or start[12:16] != b'IHDR':
        raise DataError('is a PNG without a header')
    _check_end(file, PNG_END, 24, 'PNG')
    return int.from_bytes(start[16:20]), int.from_bytes(start[20:24])


def _jpeg(file: BinaryIO) -> tuple[int, int]:
    """Walk over the segments up to the first scan (ITU T.81, B.2), in whose bytes no mark of the end can stand."""
    size = None
    file.seek(2)
    while True:
        marker = file.read(2)
        while marker[1:] == b'\xff':  # fill bytes
            marker = marker[1:] + file.read(1)
        if marker[:1] == b'\xff' and (marker[1:] == b'\x01' or b'\xd0' <= marker[1:] <= b'\xd8'):
            continue  # stand alone, without a length
        body = file.read(7)
        length = int.from_bytes(body[:2])
        if marker[:1] != b'\xff' or len(body) < 7 or length < 2:
            if size is None:
                raise DataError('is a JPEG without a frame header')
            raise Truncated(f'is a JPEG that stops after {file.seek(0, os.SEEK_END)} bytes')
        if marker[1] == 0xDA and size is not None:
            _check_end(file, JPEG_END, file.tell(), 'JPEG')
            return size
        if 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC):
            size = int.from_bytes(body[5:7]), int.from_bytes(body[3:5])
        file.seek(length - len(body), os.SEEK_CUR)

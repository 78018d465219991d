"""Whether the pixels of a TIFF lie in its file, told from its directory without decoding one."""

from __future__ import annotations

from collections.abc import Iterator

import rasterio


def lacks_pixels(dataset: rasterio.DatasetReader, length: int, *, last_only: bool = False) -> bool:
    """Compare where strips or tiles end with the length of the file; blocks that a sparse file leaves out are not told.

    Args:
        dataset: An open raster; what is no TIFF lacks nothing.
        length: Of its file in bytes.
        last_only: Look at the last block alone, which files that were cut short lack, in no time for any size.
    """
    by_band = dataset.tags(ns='IMAGE_STRUCTURE').get('INTERLEAVE') == 'BAND'
    for band in dataset.indexes if by_band else (1,):
        for x, y in _blocks(dataset, band, last_only):
            offset, size = (
                dataset.get_tag_item(f'BLOCK_{key}_{x}_{y}', 'TIFF', bidx=band) for key in ('OFFSET', 'SIZE')
            )
            if offset and size and int(offset) + int(size) > length:
                return True
    return False


def _blocks(dataset: rasterio.DatasetReader, band: int, last_only: bool) -> Iterator[tuple[int, int]]:
    rows, columns = dataset.block_shapes[band - 1]
    across, down = -(-dataset.width // columns), -(-dataset.height // rows)
    if last_only:
        yield across - 1, down - 1
        return
    for y in range(down):
        for x in range(across):
            yield x, y

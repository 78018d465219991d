"""Whether images can be read and are as large as the annotation files say."""

import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from fallen_trees.checks.data.tiles import Tile, load_pixels, loader_of, picked_tiles, tiles
from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.subject import Subject
from fallen_trees.loading.packed_images import is_packed

ORIENTATION = 0x0112  # EXIF's number for it; from 5 on sides are swapped


def check_images(subject: Subject) -> Iterator[Finding]:
    """Check the headers of all image files, and decode as many as there are samples: `images`."""
    seen, unreadable, other_size = 0, [], []
    for split in subject.splits:
        single = not is_packed(subject.image_folder(split))  # of a pack as many are decoded as of the others
        if single and loader_of(subject, split)['type'] in ('LoadImageFromFile', 'LoadImageFromTiff'):
            for tile in tiles(subject, split):
                seen += 1
                _look(tile, _header_size(tile), unreadable, other_size)
    broken = {tile.path for tile, _ in unreadable + other_size}
    decoded = picked_tiles(subject, 2 * subject.num_samples, with_objects=False)
    for tile in decoded:
        if tile.path not in broken:
            _look(tile, _decoded_size(subject, tile), unreadable, other_size)
    figures = dict(headers=seen, decoded=len(decoded), unreadable=len(unreadable), other_size=len(other_size))
    if unreadable:
        tile, why = unreadable[0]
        message = (
            f'{len(unreadable)} images cannot be read, the first {tile.path} ({why}); a run ends when it meets one.'
        )
        yield Finding('images', Verdict.ERROR, message, figures)
    if other_size:
        tile, size = other_size[0]
        message = (
            f'{len(other_size)} images have another size than their entry: {tile.path.name} is {size[0]} x '
            f'{size[1]} px, '
            f'the file says {tile.entry["width"]} x {tile.entry["height"]}; their masks lie beside their objects. '
            'Scale the annotations too, or cut the tiles again.'
        )
        yield Finding('images', Verdict.ERROR, message, figures)
    if not unreadable and not other_size:
        message = f'{seen} headers read and {len(decoded)} images decoded; sizes are as the files say.'
        yield Finding('images', Verdict.OK, message, figures)


def _look(tile: Tile, size: tuple[int, int] | str | None, unreadable: list, other_size: list) -> None:
    if isinstance(size, str):
        unreadable.append((tile, size))
    elif size is not None and size != (tile.entry['width'], tile.entry['height']):
        other_size.append((tile, size))


def _header_size(tile: Tile) -> tuple[int, int] | str | None:
    """Width and height; why there are none; or None for a kind of file that only the loader may know."""
    try:
        if not tile.path.stat().st_size:
            return 'the file is empty'
        with Image.open(tile.path) as image:
            if image.format == 'PNG' and not _ends_well(tile.path):
                return 'the file is cut off'
            # OpenCV turns photos as their EXIF says. Asking a PNG for it would decode it.
            turned = image.format in ('JPEG', 'MPO') and image.getexif().get(ORIENTATION, 1) >= 5
            return image.size[::-1] if turned else image.size
    except UnidentifiedImageError:
        return None if tile.path.suffix.lower() in ('.tif', '.tiff') else 'no image'
    except OSError as error:
        return str(error)


def _ends_well(path: Path) -> bool:
    """Whether the last chunk of a PNG is there: a copy that was broken off lacks it."""
    with path.open('rb') as file:
        file.seek(-min(12, path.stat().st_size), os.SEEK_END)
        return b'IEND' in file.read()


def _decoded_size(subject: Subject, tile: Tile) -> tuple[int, int] | str:
    try:
        return load_pixels(subject, tile).shape[1::-1]
    except Exception as error:  # whatever a loader raises is what a run would end with
        return f'{type(error).__name__}: {" ".join(str(error).split())[:120]}'

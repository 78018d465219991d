"""Which tiles are shown, and one tile's panels from its COCO entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from data_prep.coco import Record
from data_prep.errors import DataError
from data_prep.show.coco_input import CocoSplit
from data_prep.show.panels import box_panel, instance_colours, mask_boxes, mask_panel, side_by_side
from data_prep.show.segmentation import draw_mask
from data_prep.show.tile_images import load_image, view_size
from data_prep.tile.splits import rank

BOXLESS = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Sample:
    """A tile to show."""

    split: CocoSplit
    entry: Record

    @property
    def annotations(self) -> list[Record]:
        """Its annotations in the order of the file."""
        return self.split.parts(self.entry)

    @property
    def classes(self) -> list[str]:
        """Names of the classes it shows, sorted."""
        return sorted({self.split.class_name(part) for part in self.annotations})


def choose(
    splits: Sequence[CocoSplit], count: int, seed: int, *, tiles: Sequence[str] = (), classes: Sequence[str] = ()
) -> list[Sample]:
    """Take tiles by name or by chance.

    Args:
        splits: The COCO files.
        count: Most tiles to take.
        seed: Another seed takes others; the order of the files' entries does not matter.
        tiles: File names, with or without folder and suffix; if given, all these and no others.
        classes: Only tiles that show one of these; empty takes all.

    Returns:
        Samples in the order of splits and file names.

    Raises:
        DataError: If a name fits no tile, or a class is in no file.
    """
    everything = [Sample(split, entry) for split in splits for entry in split.entries]
    known = {name for split in splits for name in split.classes.values()}
    if unknown := [name for name in classes if name not in known]:
        raise DataError(f'--classes {unknown[0]} is no class here; classes are {", ".join(sorted(known))}')
    if tiles:
        return _named(everything, tiles)
    fitting = [sample for sample in everything if not classes or set(classes) & set(sample.classes)]
    shuffled = sorted(fitting, key=lambda item: rank(seed, f'{item.split.name}/{item.entry["file_name"]}'))
    order = {split.name: number for number, split in enumerate(splits)}
    return sorted(shuffled[:count], key=lambda item: (order[item.split.name], item.entry['file_name']))


def _named(everything: Sequence[Sample], tiles: Sequence[str]) -> list[Sample]:
    chosen = []
    for name in tiles:
        found = [item for item in everything if name in _spellings(item.entry['file_name'])]
        if not found:
            raise DataError(f'--tiles {name} is no file_name here; one is {everything[0].entry["file_name"]}'
                            if everything else f'--tiles {name} is not there: no image is')  # fmt: skip
        chosen += [item for item in found if item not in chosen]
    return chosen


def _spellings(file_name: str) -> set[str]:
    path = PurePosixPath(file_name)
    return {file_name, path.name, path.stem, str(path.with_suffix(''))}


def draw_sample(sample: Sample, images: Path | None, max_side: int, *, captions: bool = True) -> np.ndarray:
    """Draw image, masks and boxes of one tile side by side.

    Args:
        sample: The tile.
        images: Folder of images; None looks in the places data sets use.
        max_side: Longer side of a panel at most; small tiles are magnified up to 4 times within it.
        captions: Whether boxes get class and visible share.

    Returns:
        (H, 3 W + gaps, 3) uint8.

    Raises:
        DataError: If the image or an annotation cannot be drawn.
        MissingPackage: If captions are asked for and matplotlib is not installed.
    """
    out_wh = view_size(sample.entry, max_side)
    image = load_image(sample.split, sample.entry, images, out_wh)
    parts = sample.annotations
    crowds = np.array([part.get('iscrowd') == 1 for part in parts], bool)
    boxes = np.array([_box(sample, part, out_wh) for part in parts]).reshape(-1, 4)
    colours = instance_colours(boxes, crowds)
    texts = [caption(sample, part) if captions else '' for part in parts]
    masks = mask_panel(image, _masks(sample, parts, out_wh), colours, crowds)
    return side_by_side([image, masks, box_panel(image, boxes, colours, texts)])


def caption(sample: Sample, part: Record) -> str:
    """Class, visible share where it is written, and whether it is a crowd."""
    visible, words = part.get('visible_fraction'), [sample.split.class_name(part)]
    if isinstance(visible, int | float):
        words.append(f'{visible:.0%}')
    return ' '.join(words + ['crowd'] * (part.get('iscrowd') == 1))


def _masks(sample: Sample, parts: Sequence[Record], out_wh: tuple[int, int]) -> Iterator[np.ndarray | None]:
    """Masks one by one, so that a scene with a thousand objects needs no thousand pictures at once."""
    size_wh = (sample.entry['width'], sample.entry['height'])
    for part in parts:
        try:
            yield draw_mask(part.get('segmentation'), size_wh, out_wh)
        except DataError as error:
            raise DataError(f'{sample.split.where(sample.entry, part)}: {error}; see check') from None


def _box(sample: Sample, part: Record, out_wh: tuple[int, int]) -> np.ndarray:
    """The annotation's box in drawn pixels, or that around its mask."""
    factor = np.divide(out_wh * 2, (sample.entry['width'], sample.entry['height']) * 2)
    if part.get('bbox'):
        x, y, width, height = part['bbox']
        return np.array((x, y, x + width, y + height)) * factor
    mask = next(_masks(sample, [part], out_wh))
    return np.array(BOXLESS) if mask is None else mask_boxes(mask[None])[0]

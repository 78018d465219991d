"""Where IDD keeps images and labels.

leftImg8bit/{train,val,test}/SEQUENCE/FRAME_leftImg8bit.png (or .jpg)      IDD, IDD 20k
gtFine/{train,val}/SEQUENCE/FRAME_gtFine_labellevel3Ids.png                its label maps, or to make them from
                            FRAME_gtFine_polygons.json

leftImg8bit/{train,val,test}/SEQUENCE/FRAME_image.jpg                      IDD-Lite
gtFine/{train,val}/SEQUENCE/FRAME_label.png                                its label maps, of level 1

Frames of one drive lie in one SEQUENCE; two sequences may have frames of one name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import DataError

SPLITS = ('train', 'val', 'test')
ENDINGS = ('.png', '.jpg', '.jpeg')
SHOWN = 8  # entries of a folder that an error names


@dataclass(frozen=True)
class Layout:
    """How a release of IDD names its files.

    Attributes:
        name: As it is said to users.
        image: How the name of an image ends, without its ending.
        maps: How the name of its label map may end; the first is written where there is none.
        polygons: How the name of its polygons ends; None where there are none.
        level: Of the ids in the maps.
    """

    name: str
    image: str
    maps: tuple[str, ...]
    polygons: str | None
    level: int


LAYOUTS = (
    Layout('IDD', '_leftImg8bit', ('_gtFine_labellevel3Ids.png', '_gtFine_labelLevel3Ids.png'),
           '_gtFine_polygons.json', 3),
    Layout('IDD-Lite', '_image', ('_label.png',), None, 1),
)  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """An image and its label, by their paths from the data set's folder.

    Attributes:
        image: File of the image.
        label_map: File of its map, which may have to be made.
        polygons: File to make it from; None where the map is there.
    """

    image: str
    label_map: str
    polygons: str | None


def recognise(root: Path) -> Layout:
    """Tell which release lies in a folder, by the names of its images.

    Raises:
        DataError: If it is none that is known.
    """
    for layout in LAYOUTS:
        if any(_images(root, split, layout) for split in SPLITS):
            return layout
    there = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    found = f'{", ".join(there[:SHOWN])}{", ..." if len(there) > SHOWN else ""}' if root.is_dir() else 'no such folder'
    looked = ' or '.join(f'leftImg8bit/SPLIT/SEQUENCE/FRAME{layout.image}.png' for layout in LAYOUTS)
    raise DataError(f'{root} must be laid out as IDD is; looked for {looked}; there is {found or "nothing"}; '
                    'name the folder that holds leftImg8bit and gtFine')  # fmt: skip


def find_frames(root: Path, split: str, layout: Layout) -> list[Frame]:
    """List the images of a split with their labels, by name.

    Returns:
        Empty where the split has no images, or no labels at all, as IDD's test split.

    Raises:
        DataError: If some images have a label and others none.
    """
    images = _images(root, split, layout)
    labels = [_label(root, image, layout) for image in images]
    missing = [image for image, label in zip(images, labels, strict=True) if label is None]
    if missing and len(missing) == len(images) and split == 'test':
        return []
    if missing:
        looked = f'{Path(_stem(root, missing[0], layout)).name}{layout.maps[0]}'
        raise DataError(f'every image of {split} must have a label; {len(missing)} of {len(images)} have none, the '
                        f'first {missing[0].relative_to(root)}: no {looked}'
                        f'{" and no polygons" if layout.polygons else ""} in gtFine; copy them again, or take the '
                        'images away')  # fmt: skip
    return [Frame(image.relative_to(root).as_posix(), *label) for image, label in zip(images, labels, strict=True)]


def _images(root: Path, split: str, layout: Layout) -> Sequence[Path]:
    found = [path for ending in ENDINGS for path in root.glob(f'leftImg8bit/{split}/*/*{layout.image}{ending}')]
    return sorted(found)


def _stem(root: Path, image: Path, layout: Layout) -> str:
    inside = image.relative_to(root / 'leftImg8bit')
    return f'gtFine/{inside.parent.as_posix()}/{image.stem.removesuffix(layout.image)}'


def _label(root: Path, image: Path, layout: Layout) -> tuple[str, str | None] | None:
    stem = _stem(root, image, layout)
    for ending in layout.maps:
        if (root / (stem + ending)).is_file():
            return stem + ending, None
    if layout.polygons and (root / (stem + layout.polygons)).is_file():
        return stem + layout.maps[0], stem + layout.polygons
    return None

"""Where Cityscapes keeps what belongs to an image, and whether all of it is there.

leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png
gtFine/SPLIT/CITY/NAME_gtFine_{instanceIds,labelIds}.png       train, val
gtCoarse/SPLIT/CITY/NAME_gtCoarse_labelIds.png                 train, train_extra, val
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import DataError

IMAGES, IMAGE_END = 'leftImg8bit', '_leftImg8bit.png'
FINE, COARSE = 'gtFine', 'gtCoarse'
PACKAGES = {
    'leftImg8bit/train': 'leftImg8bit_trainvaltest.zip',
    'leftImg8bit/val': 'leftImg8bit_trainvaltest.zip',
    'leftImg8bit/train_extra': 'leftImg8bit_trainextra.zip',
    FINE: 'gtFine_trainvaltest.zip',
    COARSE: 'gtCoarse.zip',
}


@dataclass(frozen=True)
class Frame:
    """An image with its labels.

    Attributes:
        name: CITY_SEQUENCE_FRAME.
        split: train, train_extra or val.
        city: Its folder.
        root: Folder of the data set.
        labels: `gtFine` or `gtCoarse`.
    """

    name: str
    split: str
    city: str
    root: Path
    labels: str

    @property
    def image(self) -> str:
        """The image, from the root."""
        return f'{IMAGES}/{self.split}/{self.city}/{self.name}{IMAGE_END}'

    def label(self, kind: str) -> str:
        """A map of the image, `instanceIds` or `labelIds`, from the root."""
        return f'{self.labels}/{self.split}/{self.city}/{self.name}_{self.labels}_{kind}.png'


def find_frames(root: Path, labels: str, split: str, kinds: tuple[str, ...]) -> list[Frame]:
    """List a split, all files there.

    Args:
        root: Holds `leftImg8bit` and the labels.
        labels: `gtFine` or `gtCoarse`.
        split: Folder of both.
        kinds: Maps that each image must have.

    Returns:
        In the order of their names.

    Raises:
        DataError: If a folder is missing, or an image or a map is without its other half.
    """
    for part in (labels, IMAGES):
        if not (root / part / split).is_dir():
            package = PACKAGES.get(f'{part}/{split}') or PACKAGES[part]
            raise DataError(
                f'{root} must hold {part}/{split}; {_there(root, part)}; unpack {package} of Cityscapes there'
            )
    ends = {kind: f'_{labels}_{kind}.png' for kind in kinds}
    found = {kind: _names(root / labels / split, end) for kind, end in ends.items()}
    found['image'] = _names(root / IMAGES / split, IMAGE_END)
    everything = sorted(set().union(*found.values()))
    if not everything:
        raise DataError(f'{root / IMAGES / split} must hold CITY/NAME{IMAGE_END}; it holds none; unpack it again')
    for kind, names in found.items():
        if lacking := [entry for entry in everything if entry not in names]:
            city, name = lacking[0]
            end, folder = (IMAGE_END, IMAGES) if kind == 'image' else (ends[kind], labels)
            package = PACKAGES.get(f'{folder}/{split}') or PACKAGES[folder]
            raise DataError(
                f'{root / folder / split} lacks {len(lacking)} of {len(everything)} files whose other half is there, '
                f'the first: {city}/{name}{end}; unpack {package} again, whole'
            )
    return [Frame(name, split, city, root, labels) for city, name in everything]


def has_split(root: Path, labels: str, split: str) -> bool:
    """Whether labels and images of a split were brought at all."""
    return (root / labels / split).is_dir() and (root / IMAGES / split).is_dir()


def _names(folder: Path, end: str) -> set[tuple[str, str]]:
    """City and name of each file that ends so."""
    names = set()
    for city in os.scandir(folder):
        if city.is_dir():
            names |= {(city.name, item.removesuffix(end)) for item in os.listdir(city) if item.endswith(end)}
    return names


def _there(root: Path, part: str) -> str:
    folder = root / part if (root / part).is_dir() else root
    names = sorted(item.name for item in folder.iterdir() if item.is_dir()) if folder.is_dir() else []
    return f'{folder} holds {", ".join(names[:8]) or "no folder"}' if folder.is_dir() else f'there is no {folder}'

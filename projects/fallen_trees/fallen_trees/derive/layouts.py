"""Where the splits of a data set lie, recognised from what is in its folder.

    Roboflow     {train,valid,test}/_annotations.coco.json, images beside each file
    COCO         annotations/instances_{train,val}2017.json, images in {train,val}2017/
    data_prep    annotations/instances_{train,val,test}.json, images in images/{train,val,test}/

A loader takes part whose `ann_file` or `data_prefix.img` is None. A data set that has no test split is tested on its
validation split.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config, ConfigDict

from fallen_trees.config_nodes import datasets_in
from fallen_trees.errors import ConfigError

SPLITS = ('train', 'val', 'test')
SHOWN = 8  # entries of a folder that an error names
OTHER = 'or name another folder: --cfg-options data_root=DIR'


@dataclass(frozen=True)
class Layout:
    """A way to lay out a data set.

    Attributes:
        name: As it is said to users.
        ann_file: Pattern of the annotation file, from the data set's folder.
        image_folders: Patterns of the folder of images; the first that exists is taken.
        words: What stands in the patterns for each split; the first that exists is taken.
    """

    name: str
    ann_file: str
    image_folders: tuple[str, ...]
    words: dict[str, tuple[str, ...]]

    def find(self, root: Path, split: str) -> tuple[str, str] | None:
        """Annotation file and folder of images of a split, from `root`; None where it has no such file."""
        for word in self.words.get(split, ()):
            if (root / self.ann_file.format(word)).is_file():
                folders = [pattern.format(word) for pattern in self.image_folders]
                found = next((folder for folder in folders if (root / folder).is_dir()), folders[0])
                return self.ann_file.format(word), f'{found}/'
        return None

    def expected(self, split: str) -> str:
        """The file that a split would have."""
        return self.ann_file.format(self.words.get(split, (split,))[0])


LAYOUTS = (
    Layout(
        'Roboflow', '{}/_annotations.coco.json', ('{}',),
        {'train': ('train',), 'val': ('valid', 'val'), 'test': ('test',)},
    ),
    Layout(
        'COCO', 'annotations/instances_{}.json', ('{}', 'images/{}'),
        {'train': ('train2017',), 'val': ('val2017',), 'test': ('test2017',)},
    ),
    Layout(
        'data_prep', 'annotations/instances_{}.json', ('images/{}', '{}'), {split: (split,) for split in SPLITS}
    ),
)  # fmt: skip


def recognise(root: Path) -> Layout:
    """Recognise how a data set lies in its folder, by any of its splits.

    Raises:
        ConfigError: If no file is where one of the layouts has it.
    """
    if not root.is_dir():
        raise ConfigError(f'the data folder {root} does not exist; bring the data there, {OTHER}')
    for layout in LAYOUTS:
        if any(layout.find(root, split) for split in SPLITS):
            return layout
    known = ', '.join(f'{layout.expected("train")} ({layout.name})' for layout in LAYOUTS)
    there = sorted(path.name for path in root.iterdir())
    more = ', ...' if len(there) > SHOWN else ''
    raise ConfigError(
        f'{root} holds no data set in a layout that is known; looked for {known}; there is '
        f'{", ".join(there[:SHOWN]) or "nothing"}{more}. Export it as COCO, {OTHER}'
    )


def fill_in_layout(cfg: Config, roots: dict[str, Path], required: Sequence[str]) -> list[str]:
    """Fill in, in place, where loaders read that leave it open.

    Args:
        cfg: Its loaders' `ann_file` and `data_prefix.img` are filled in where they are None.
        roots: Folder of each split's data set.
        required: Splits that will run; others that are missing get the names that they would have.

    Returns:
        Lines for the log.

    Raises:
        ConfigError: If a layout is unknown, or lacks the annotations or the images of a split that will run.
    """
    notes: dict[str, None] = {}
    for split in SPLITS if required else ():
        for dataset in _open_datasets(cfg.get(f'{split}_dataloader')):
            root = roots[split]
            layout = recognise(root)
            found = layout.find(root, split)
            if found is None and split == 'test':
                found = layout.find(root, 'val')
                if found is not None:
                    notes[f'{root} has no test split ({layout.expected("test")}): the test is on {found[0]}.'] = None
            if found is None or not (root / found[1]).is_dir():
                if split in required:
                    raise ConfigError(_missing(root, layout, split, found))
                found = found or (layout.expected(split), layout.image_folders[0].format(layout.words[split][0]))
            notes[f'Layout of {root}: {layout.name} ({layout.expected("train")}).'] = None
            _fill(dataset, *found)
    return list(notes)


def _open_datasets(loader: object) -> list[ConfigDict]:
    return [
        node
        for node in datasets_in(loader)
        if node.ann_file is None or (node.get('data_prefix') or {}).get('img', '') is None
    ]


def _fill(dataset: ConfigDict, ann_file: str, folder: str) -> None:
    dataset.ann_file = dataset.ann_file or ann_file
    if dataset.data_prefix.img is None:
        dataset.data_prefix.img = folder


def _missing(root: Path, layout: Layout, split: str, found: tuple[str, str] | None) -> str:
    lacks = f'the file {layout.expected(split)}' if found is None else f'the folder of images {found[1]}'
    hint = 'split the data (`python -m data_prep convert --split`), ' if found is None else 'bring it there, '
    return f'{root} is laid out as {layout.name} has it, but {lacks} is missing; {hint}{OTHER}'

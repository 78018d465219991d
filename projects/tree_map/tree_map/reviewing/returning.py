"""From corrected trees to the label files of scenes and the table of what was changed."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.atomic import atomic_write
from data_prep.convert import labelme
from data_prep.convert.document import Document, Item
from data_prep.errors import DataError
from data_prep.labels.strict_json import write_json
from tree_map.reviewing.comparing import KINDS, Change, compare
from tree_map.reviewing.corrected import Gathered, gather
from tree_map.reviewing.folder import Review
from tree_map.reviewing.trees import Found, FoundScene

TABLE = 'changes.csv'
HEADER = ('scene', 'tree_id', 'kind', 'before', 'after', 'iou', 'file', 'note')


@dataclass(frozen=True)
class Returned:
    """What came back.

    Attributes:
        files: Label files, one a scene.
        changes: Of all scenes.
        left_out: What cannot be a tree, one line each.
    """

    files: list[Path]
    changes: list[Change]
    left_out: list[str]

    def counts(self) -> dict[str, int]:
        """Trees by kind of change."""
        found = Counter(change.kind for change in self.changes)
        return {kind: found[kind] for kind in KINDS}

    def notes(self) -> list[str]:
        """What people should look at again, one line each."""
        return [f'{change.scene}, {_name(change)}: {change.note}' for change in self.changes if change.note]


class Wrong(DataError):
    """Mistakes in corrected files; ``lines`` has one line for each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__(f'{lines[0]} ({len(lines)} in all)' if len(lines) > 1 else lines[0])
        self.lines = list(lines)


def give_back(
    back: Path, review: Review, base: Path, out: Path, *, classes: Sequence[str] = (), tolerance_px: float = 0.01
) -> Returned:
    """Write one LabelMe file a scene for ``data_prep tile --labels``, and ``changes.csv``.

    A tree that nobody edited gets the coordinates that the map had, whatever a tool made of them.

    Args:
        back: Corrected folder or file.
        review: What was written.
        base: Folder from which the paths of its rasters are seen.
        out: Folder of the label files; holds no other labels.
        classes: Allowed besides those of the map.
        tolerance_px: See ``compare``.

    Raises:
        Wrong: If there are mistakes in the files; nothing is written.
        DataError: If ``out`` is the folder of the review, or holds files with these names.
        OSError: If the disk is full or the folder not writable.
    """
    files = {scene.name: out / f'{scene.name}.json' for scene in review.scenes}
    there = [path for path in (*files.values(), out / TABLE) if path.exists()]
    if there:
        raise DataError(f'{there[0]} exists; choose another --out')
    gathered: Gathered = gather(back, review, classes)
    if gathered.wrong:
        raise Wrong(gathered.wrong)
    out.mkdir(parents=True, exist_ok=True)
    changes = []
    for scene in review.scenes:
        own = compare(scene.name, scene.trees, gathered.trees[scene.name], tolerance_px)
        changes += own
        document = Document(scene.name, files[scene.name], _items(scene.trees, own), file_name=_image(scene, base, out))
        write_json(files[scene.name], labelme.write(document, scene.size_wh), indent=2)
    _write_table(changes, out / TABLE)
    return Returned(list(files.values()), changes, gathered.left_out)


def _image(scene: FoundScene, base: Path, out: Path) -> str:
    """The raster as seen from the label file."""
    return scene.file_name if scene.raster is None else Path(os.path.relpath(base / scene.raster, out)).as_posix()


def _items(found: Sequence[Found], changes: Sequence[Change]) -> list[Item]:
    """Trees of a label file, those of the map in its order, then the added ones."""
    as_found = {tree.tree_id: tree.parts for tree in found}
    return [
        Item(
            change.after,
            as_found[change.tree_id] if change.same else change.tree.parts,
            id=change.tree_id,
            extra={'description': change.kind},
        )
        for change in changes
        if change.tree is not None
    ]


def _write_table(changes: Sequence[Change], path: Path) -> None:
    with atomic_write(path) as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow(HEADER)
        for change in changes:
            share = '' if change.iou is None else f'{change.iou:.4f}'
            table.writerow((change.scene, change.tree_id or '', change.kind, change.before, change.after, share,
                            change.file, change.note))  # fmt: skip


def _name(change: Change) -> str:
    return f'tree {change.tree_id}' if change.tree_id else f'a new tree in {change.file}'

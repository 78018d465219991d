"""Corrected files back into trees: LabelMe, COCO as CVAT and others export it, and the map itself out of QGIS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

import pandas as pd

from data_prep.convert import coco_reading, labelme
from data_prep.convert.document import Document, Item, Keys
from data_prep.errors import DataError, one_line
from data_prep.labels.coco_file import base_name
from data_prep.labels.rle import Part
from data_prep.labels.strict_json import read_json
from data_prep.polygons import DECIMALS, unusable
from data_prep.scenes import json_kind
from tree_map.reviewing.folder import COCO, Review
from tree_map.reviewing.map_reading import class_of, read_maps
from tree_map.reviewing.sheets import Sheet
from tree_map.reviewing.trees import Corrected, polygon_of, tree_number
from tree_map.writing.rings import in_pixels, rings


@dataclass
class Gathered:
    """What came back.

    Attributes:
        trees: By scene.
        wrong: Mistakes that stop the way back, one line each.
        left_out: What cannot be a tree and was left out, one line each.
    """

    trees: dict[str, list[Corrected]]
    wrong: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def gather(back: Path, review: Review, classes: Sequence[str] = ()) -> Gathered:
    """Read what was corrected.

    Args:
        back: Folder of the review, a COCO file, or a GeoPackage.
        review: What was written, or the map that the GeoPackage was.
        classes: Allowed besides those of the map.

    Returns:
        Trees in source pixels; every mistake that was found, not the first alone.

    Raises:
        DataError: If there is no such folder or file.
    """
    gathered = Gathered({scene.name: [] for scene in review.scenes})
    if back.is_dir() and review.format == 'labelme':
        _from_labelme(back, review, gathered)
    elif back.is_dir() or back.suffix.lower() == '.json':
        with_told(gathered, lambda: _from_coco(back / COCO if back.is_dir() else back, review, gathered))
    elif back.suffix.lower() == '.gpkg':
        with_told(gathered, lambda: _from_map(back, review, gathered))
    else:
        raise DataError(f'--back must be the folder of a review, a COCO .json or a map .gpkg; got {back}')
    known = {scene.name: {*scene.classes, *classes} for scene in review.scenes}
    for scene, trees in gathered.trees.items():
        for label, files in _unknown(trees, known[scene]).items():
            names = ', '.join(sorted(known[scene]))
            gathered.wrong.append(f"{files[0]}: label '{label}' ({len(files)} times) is none of the map's classes "
                                  f'({names}); correct it, or allow it with --classes')  # fmt: skip
    return gathered


def _unknown(trees: Iterable[Corrected], known: set[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for tree in trees:
        if tree.label not in known:
            found.setdefault(tree.label, []).append(tree.file)
    return found


def with_told(gathered: Gathered, read: Callable[[], None]) -> None:
    """Read one file; its mistake becomes a line, so that those of the other files are told too."""
    try:
        read()
    except DataError as error:
        gathered.wrong.append(one_line(error))


def _from_labelme(folder: Path, review: Review, gathered: Gathered) -> None:
    sheets = {f'{sheet.name}.json': sheet for sheet in review.sheets}
    there = {path.name for path in folder.glob('*.json')}
    for name in sorted(there - set(sheets)):
        gathered.wrong.append(f'{folder / name} is no file of this review; move it away, or give it its old name')
    for name, sheet in sheets.items():
        if name not in there:
            gathered.wrong.append(f'{folder / name} is missing; trees are deleted in the file, not with it; restore it')
        else:
            with_told(gathered, lambda path=folder / name, on=sheet: _labelme_file(path, on, review, gathered))


def _labelme_file(path: Path, sheet: Sheet, review: Review, gathered: Gathered) -> None:
    content = read_json(path)
    if json_kind(path, content) != 'labelme':
        raise DataError(f'{path} must be a LabelMe file; got another kind of labels; restore it')
    (document,) = labelme.read(path, content)
    drawn, wanted = PureWindowsPath(content.get('imagePath') or sheet.image).name, Path(sheet.image).name
    if drawn != wanted:
        raise DataError(f'{path} must hold the trees of {wanted}; it was drawn on {drawn}; give it its old name')
    _add(document, sheet, review, gathered, lambda item: item.id)


def _from_coco(path: Path, review: Review, gathered: Gathered) -> None:
    if not path.is_file():
        raise DataError(f'{path} is missing; name the corrected file with --back FILE --against FOLDER')
    content = read_json(path)
    if json_kind(path, content) != 'coco':
        raise DataError(f'{path} must be a COCO file; got another kind of labels; export it as COCO 1.0')
    documents = {base_name(document.file_name): document for document in coco_reading.read(path, content)}
    sheets = {Path(sheet.image).name: sheet for sheet in review.sheets}
    for name in sorted(set(documents) - set(sheets)):
        gathered.wrong.append(f'{path}: {name} is no picture of this review; leave it out of the export')
    for name, sheet in sheets.items():
        if name not in documents:
            gathered.wrong.append(f'{path}: the picture {name} is missing; export all pictures of the review')
        else:
            scene = sheet.scene
            with_told(gathered, lambda of=documents[name], on=sheet, scene=scene: _add(
                of, on, review, gathered, lambda item: tree_number(_object_id(item.extra), scene)))  # fmt: skip


def _object_id(extra: Keys) -> Any:
    attributes = extra.get('attributes')
    inside = attributes.get('object_id') if isinstance(attributes, dict) else None
    return extra.get('object_id') or inside


def _add(
    document: Document, sheet: Sheet, review: Review, gathered: Gathered, claim: Callable[[Item], int | None]
) -> None:
    """Add the trees of one picture, moved to their place in the scene."""
    size = (sheet.window.width, sheet.window.height)
    if document.size_wh not in (None, size):
        width, height = document.size_wh
        raise DataError(f'{document.source}: {Path(sheet.image).name} has {size[0]} x {size[1]} px; it was drawn on '
                        f'{width} x {height} px; correct the picture that the review wrote')  # fmt: skip
    known = {tree.tree_id for scene in review.scenes if scene.name == sheet.scene for tree in scene.trees}
    gathered.left_out += [f'{lost.file}, shape {lost.feature}: {lost.reason}' for lost in document.lost]
    for label, parts, claims in _grouped(document.items, claim):
        tree = Corrected(label.strip(), _moved(parts, sheet), claims & known, document.source.name, sheet.name)
        gathered.trees[sheet.scene].append(tree)


def _grouped(
    items: Sequence[Item], claim: Callable[[Item], int | None]
) -> list[tuple[str, list[Part], frozenset[int]]]:
    """Objects with their claims; what people gave one label and one group is one tree, whatever it was before."""
    found: dict[object, tuple[str, list[Part], set[int]]] = {}
    for number, item in enumerate(items):
        group = item.extra.get('group_id')
        key = (item.label, group) if isinstance(group, int) else number
        _, parts, claims = found.setdefault(key, (item.label, [], set()))
        parts += item.parts
        claims |= {claim(item)} - {None}
    return [(label, parts, frozenset(claims)) for label, parts, claims in found.values()]


def _moved(parts: list[Part], sheet: Sheet) -> list[Part]:
    """From pixels of a crop to those of the scene; those of a whole scene stay as they are, to the last digit."""
    if sheet.whole:
        return parts
    x, y = sheet.window[:2]
    return [[[[round(u + x, DECIMALS), round(v + y, DECIMALS)] for u, v in ring] for ring in part] for part in parts]


def _from_map(path: Path, review: Review, gathered: Gathered) -> None:
    scenes = {scene.name: scene for scene in review.scenes}
    for scene_map in read_maps(path):
        name = scene_map.provenance['scene']
        scene = scenes.get(name)
        if scene is None:
            raise DataError(f'{path} holds scene {name}; it is compared with {", ".join(scenes)}; pass its own map')
        known = {tree.tree_id for tree in scene.trees}
        outlines = in_pixels(scene_map)
        for number, (outline, row) in enumerate(zip(outlines, scene_map.trees.to_dict('records'), strict=True), 1):
            problem = unusable(outline)
            if problem:
                gathered.left_out.append(f'{path}, tree {number}: {problem}')
                continue
            label = class_of(row['class'], scene.classes, f'{path}, tree {number}')
            claims = frozenset([] if pd.isna(row['tree_id']) else [int(row['tree_id'])])
            parts = [[ring.tolist()] for ring in rings(_cuttable(outline))]
            gathered.trees[name].append(Corrected(label, parts, claims & known, path.name, name))


def _cuttable(outline: Any) -> Any:
    """An outline with holes must be valid to be cut; one without may cross itself, which is told later."""
    has_holes = any(len(part.interiors) for part in getattr(outline, 'geoms', [outline]))
    return outline if outline.is_valid or not has_holes else polygon_of(
        [[list(ring.coords)[:-1] for ring in (part.exterior, *part.interiors)]
         for part in getattr(outline, 'geoms', [outline])])  # fmt: skip

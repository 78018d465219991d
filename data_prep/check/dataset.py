"""The whole check of a data set: each COCO file by itself, its images, then its splits against each other."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from data_prep.check.columns import read_columns
from data_prep.check.duplicates import check_duplicates
from data_prep.check.files import check_files, check_unlisted
from data_prep.check.geometry import check_areas, check_boxes, check_crowds
from data_prep.check.layout import CocoFile, find_coco
from data_prep.check.report import Findings, Report
from data_prep.check.segmentations import measure_segmentations
from data_prep.check.splits import Split, check_splits
from data_prep.check.structure import Content, read_content

Name = str | os.PathLike[str]
Progress = Callable[[str], object]


def check_coco(
    path: Name | Sequence[Name],
    images: Name | None = None,
    *,
    limit: int = 1,
    progress: Progress = lambda step: None,
) -> Report:
    """Find what is wrong with a COCO data set.

    Args:
        path: Data set folder, COCO file, or several COCO files that are splits of each other.
        images: Folder of the images; None guesses it from the layout.
        limit: Most examples of one kind of finding.
        progress: Called with a word after each image or file.

    Returns:
        The report. An unreadable COCO file is a finding in it.

    Raises:
        DataError: If there is nothing at a path, or no COCO file in a folder.
    """
    paths = [Path(path)] if isinstance(path, str | os.PathLike) else [Path(item) for item in path]
    folder = None if images is None else Path(images)
    cocos = [coco for item in paths for coco in find_coco(item, folder)]
    findings = Findings(limit)
    contents = [_check_content(coco, name, findings) for coco, name in zip(cocos, _names(cocos), strict=True)]
    found = [
        check_files(coco, content, findings, lambda: progress('headers'))
        for coco, content in zip(cocos, contents, strict=True)
    ]
    _check_unlisted(cocos, contents, [at for at, _ in found], findings)
    proof = None
    if len(cocos) > 1:
        splits = [
            Split(coco.split, content, files)
            for coco, content, (_, files) in zip(cocos, contents, found, strict=True)
        ]  # fmt: skip
        proof = check_splits(splits, findings, lambda: progress('hashes'))
    counts = {content.file: content.counts() for content in contents}
    return Report(' '.join(map(str, paths)), counts, findings.sorted(), proof)


def _names(cocos: Sequence[CocoFile]) -> list[str]:
    """The shortest ends of the paths that tell the files apart."""
    parts = [Path(os.path.abspath(coco.path)).parts for coco in cocos]
    for length in range(1, max(map(len, parts)) + 1):
        names = ['/'.join(item[-length:]) for item in parts]
        if len(set(names)) == len(names):
            break
    return names


def _check_content(coco: CocoFile, name: str, findings: Findings) -> Content:
    content = read_content(coco.path, name, findings)
    if content.annotations:
        columns = read_columns(content, findings)
        measured = measure_segmentations(columns, findings)
        check_boxes(columns, measured, findings)
        check_areas(columns, measured, findings)
        check_crowds(columns, measured, findings)
        check_duplicates(columns, measured, findings)
    return content


def _check_unlisted(
    cocos: Sequence[CocoFile], contents: Sequence[Content], folders: Sequence[Path | None], findings: Findings
) -> None:
    by_folder: dict[Path, list[int]] = defaultdict(list)
    for number, folder in enumerate(folders):
        if folder is not None:
            by_folder[folder].append(number)
    for folder, numbers in by_folder.items():
        own = all(folder == cocos[number].own_folder for number in numbers)
        check_unlisted(folder, [contents[number] for number in numbers], own=own, findings=findings)

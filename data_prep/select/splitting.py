"""A COCO file shared out to train, val and test, image by image."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

from data_prep.labels.strict_json import write_json
from data_prep.select.scores import Record
from data_prep.tile.share_out import rank

SPLITS = ('train', 'val', 'test')


def split_files(out: Path) -> list[Path]:
    """Files of the three splits: ``best.json`` becomes ``best_train.json``, ``best_val.json``, ``best_test.json``."""
    return [out.with_name(f'{out.stem}_{split}{out.suffix}') for split in SPLITS]


def sizes(total: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers of images that sum to all and are nearest to the shares; equal remainders go to the first.

    A share above 0 gets an image as long as there are as many images as such shares.
    """
    exact = [total * share for share in shares]
    counts = [int(value + 1e-9) for value in exact]
    order = sorted(range(len(shares)), key=lambda split: (round(counts[split] - exact[split], 9), split))
    for split in order[: total - sum(counts)]:
        counts[split] += 1
    wanted = [split for split, share in enumerate(shares) if share > 0]
    for split in wanted if total >= len(wanted) else ():
        if counts[split] == 0:
            counts[counts.index(max(counts))] -= 1
            counts[split] = 1
    return counts


def write_splits(out: Path, content: Record, shares: Sequence[float], seed: int) -> tuple[list[int], int]:
    """Write the images of a COCO file into three, with all categories; ids stay.

    Args:
        out: Names the files, see ``split_files``.
        content: The COCO file.
        shares: Of train, val and test, summing to 1.
        seed: Another seed shares out differently; the order in the file does not matter.

    Returns:
        Number of images of each split, and of sub-folders whose images are in more than one of them.
    """
    counts = sizes(len(content['images']), shares)
    order = sorted(content['images'], key=lambda image: rank(seed, image['file_name']))
    of_split: dict = {}
    for split, count in enumerate(counts):
        of_split |= {image['id']: split for image in order[sum(counts[:split]) :][:count]}
    for split, path in enumerate(split_files(out)):
        images = [image for image in content['images'] if of_split[image['id']] == split]
        parts = [part for part in content['annotations'] if of_split[part['image_id']] == split]
        write_json(path, {**content, 'images': images, 'annotations': parts})
    folders: dict[str, set[int]] = {}
    for image in content['images']:
        folders.setdefault(posixpath.dirname(image['file_name']), set()).add(of_split[image['id']])
    return counts, sum(len(found) > 1 for found in folders.values())

"""Images that nobody has split yet: each given to train, val or test, by a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from data_prep.convert.document import Document
from data_prep.errors import DataError
from data_prep.tile.splits import SPLITS, Ratios, split_scenes


def split_documents(documents: Sequence[Document], ratios: Ratios, seed: int) -> tuple[list[Document], list[str]]:
    """Give each image to one split.

    Args:
        documents: One for each image, none of which has a split.
        ratios: Shares of train, val and test; they sum to 1. Each split with a share above 0 gets an image at least.
        seed: Another seed shuffles differently. Order and place of the files do not matter.

    Returns:
        The documents with their splits, and a line for each class that a split shows no object of.

    Raises:
        DataError: If an image has a split already, or there are fewer images than splits to fill.
    """
    known = next((document for document in documents if document.split is not None), None)
    if known is not None:
        raise DataError(f'{known.source} is split already ({known.split}); leave --split away, or name single files')
    asked = [split for split, ratio in zip(SPLITS, ratios, strict=True) if ratio > 0]
    if len(documents) < len(asked):
        raise DataError(
            f'--split asks for {", ".join(asked)}; got {len(documents)} images; label more, or give 0 as share'
        )
    found = split_scenes({document.name: len(document.items) for document in documents}, ratios, seed)
    placed = [replace(document, split=found[document.name]) for document in documents]
    return placed, _lacking(placed, asked)


def _lacking(documents: Sequence[Document], asked: Sequence[str]) -> list[str]:
    seen = {split: {item.label for d in documents if d.split == split for item in d.items} for split in asked}
    labels = sorted(set().union(*seen.values()))
    lines = [(split, [label for label in labels if label not in seen[split]]) for split in asked]
    return [f'{split} shows no {", ".join(names)}; choose another --split or --seed' for split, names in lines if names]

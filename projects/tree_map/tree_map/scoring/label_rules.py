"""From the labels of a file to the classes that are scored, and what is said of features that are no trees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.errors import DataError
from data_prep.labels.label_map import LabelMap

Tell = Callable[[str], object]
NAMED = 3  # features that are named of those left out for one reason


@dataclass(frozen=True)
class LabelRules:
    """How labels become classes.

    Attributes:
        layer: Of a GeoPackage with several; None takes the first of ``truth_layers.LAYERS`` that is there.
        column: Field of vector files that holds the class.
        names: Renames labels; None drops one.
        classes: That are scored.
        skip_others: Whether other labels are passed over rather than refused.
    """

    layer: str | None = None
    column: str = 'label'
    names: LabelMap = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    skip_others: bool = False

    def keep(self, label: str) -> bool:
        """Whether a label is scored.

        Raises:
            ValueError: If it is none of the classes, and others are not passed over.
        """
        if label in self.classes or self.skip_others:
            return label in self.classes
        other = f"rename it with --label-map '{label}={self.classes[0]}', or " if self.classes else ''
        raise ValueError(f"label '{label}' is none of the classes scored ({','.join(self.classes) or 'none'}); {other}"
                         f'pass --skip-other-labels')  # fmt: skip

    def class_of(self, label: str | None, where: str) -> str | None:
        """The class of a label, None for one that is passed over.

        Raises:
            DataError: If there is no label, or it is refused.
        """
        if label is None:
            raise DataError(f'{where} has no label; give it one')
        name = self.names.get(label, label)
        try:
            return name if name is not None and self.keep(name) else None
        except ValueError as error:
            raise DataError(f'{where}: {error}') from None


def tell_unusable(path: Path, features: list[tuple[int, str]], note: Tell) -> None:
    """Say in one line which features of a file are no trees, and why the first is none."""
    if features:
        some = ', '.join(str(number) for number, _ in features[:NAMED]) + ', ...' * (len(features) > NAMED)
        note(f'{path}: {len(features)} features cannot be scored ({some}): {features[0][1]}')

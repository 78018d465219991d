"""Findings and the report they add up to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from data_prep.check.codes import CODES, Severity
from data_prep.errors import ExitCode


@dataclass(frozen=True)
class Example:
    """One place where something was found."""

    file: str  # the COCO file
    place: str  # such as ``annotation 12 in a.png``
    problem: str  # what came, with numbers


@dataclass
class Finding:
    """All places of one kind."""

    code: str
    severity: Severity
    count: int = 0
    examples: list[Example] = field(default_factory=list)

    @property
    def advice(self) -> str:
        """What to do about it."""
        return CODES[self.code].advice


@dataclass(frozen=True)
class SplitProof:
    """What was compared between the splits of a data set; with no ``split-*`` finding nothing is shared."""

    splits: tuple[str, ...]
    object_ids: int  # different whole objects that were compared
    regions: int  # images compared by their place in a source raster
    by_bytes: int  # images without such a place, compared as files
    unproved: int  # images that could not be compared: no place and no file


@dataclass
class Report:
    """What ``check_coco`` found.

    Attributes:
        path: What was checked, as given.
        files: Counts by COCO file: images, annotations, categories.
        findings: Worst first, then in the order of ``codes.CODES``.
        proof: What was compared between splits; None where there is one file only.
    """

    path: str
    files: dict[str, dict[str, int]]
    findings: list[Finding]
    proof: SplitProof | None = None

    def count(self, severity: Severity) -> int:
        """Number of places of one severity."""
        return sum(item.count for item in self.findings if item.severity == severity)

    @property
    def codes(self) -> dict[str, int]:
        """Count by code."""
        return {item.code: item.count for item in self.findings}

    @property
    def exit_code(self) -> ExitCode:
        """DONE where clean, LOOK with warnings, BAD_INPUT with errors."""
        worst = max((item.severity for item in self.findings), default=Severity.INFO)
        return {0: ExitCode.DONE, 1: ExitCode.LOOK, 2: ExitCode.BAD_INPUT}[worst]

    def to_json(self) -> dict[str, Any]:
        """The report as plain types."""
        findings = [
            {
                'code': item.code,
                'severity': item.severity.name.lower(),
                'count': item.count,
                'advice': item.advice,
                'examples': [asdict(example) for example in item.examples],
            }
            for item in self.findings
        ]
        return {
            'path': self.path,
            'exit_code': int(self.exit_code),
            'errors': self.count(Severity.ERROR),
            'warnings': self.count(Severity.WARNING),
            'files': self.files,
            'findings': findings,
            'proof': None if self.proof is None else asdict(self.proof),
        }


class Findings:
    """Collects findings; keeps a few examples of each kind.

    Args:
        limit: Most examples of one kind.
    """

    def __init__(self, limit: int = 1):
        self.limit = limit
        self._found: dict[str, Finding] = {}

    def add(self, code: str, file: str, place: str, problem: str, *, severity: Severity | None = None) -> None:
        """Add one place.

        Args:
            code: A key of ``codes.CODES``.
            file: The COCO file.
            place: The entry in it.
            problem: What is wrong there.
            severity: Another one than the code's own.
        """
        self.rows(code, file, (0,), lambda _: (place, problem), severity=severity)

    def rows(
        self,
        code: str,
        file: str,
        rows: Iterable[int],
        describe: Callable[[int], tuple[str, str]],
        *,
        severity: Severity | None = None,
    ) -> None:
        """Add many places at once; only those kept as examples are described.

        Args:
            code: A key of ``codes.CODES``.
            file: The COCO file.
            rows: Numbers of the entries.
            describe: Place and problem of one of them.
            severity: Another one than the code's own.
        """
        rows = list(rows)
        if not rows:
            return
        severity = CODES[code].severity if severity is None else severity
        finding = self._found.setdefault(code, Finding(code, severity))
        finding.severity = max(finding.severity, severity)
        finding.count += len(rows)
        for row in islice(rows, max(self.limit - len(finding.examples), 0)):
            finding.examples.append(Example(file, *describe(int(row))))

    def sorted(self) -> list[Finding]:
        """Worst first, then in the order of ``codes.CODES``."""
        order = {code: number for number, code in enumerate(CODES)}
        return sorted(self._found.values(), key=lambda item: (-item.severity, order[item.code]))

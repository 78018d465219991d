"""What a check says."""

from dataclasses import dataclass, field
from enum import IntEnum


class Verdict(IntEnum):
    """How bad a finding is; the value is the exit code of a command whose worst finding it is."""

    OK = 0
    WARNING = 1  # the run will work, but worse or slower than it could
    ERROR = 2  # the run cannot come to anything


@dataclass(frozen=True)
class Finding:
    """One line of a check.

    Attributes:
        check: Name of the check, the same whatever it finds, such as `label-shift`.
        verdict: How bad it is.
        message: What was looked at, what was found and, unless all is well, what to do; one line.
        figures: The numbers behind the message, by name with their unit (`shift_px`).
    """

    check: str
    verdict: Verdict
    message: str
    figures: dict[str, float | int | str] = field(default_factory=dict)


def worst(findings: list[Finding]) -> Verdict:
    """The worst verdict; OK without findings."""
    return max((finding.verdict for finding in findings), default=Verdict.OK)

"""What this room asks of whoever trains: it knows no framework, `tools/sweep.py` hands one over."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

# How a training process ended.
DONE, NO_MEMORY, DEAD, STOPPED, FAILED = 'done', 'out of memory', 'dead', 'stopped', 'failed'


class Process(Protocol):
    """A process that ends with whoever started it, and saves when it is told to end."""

    @property
    def seconds(self) -> float:
        """Since it was started."""

    @property
    def memory_mb(self) -> float | None:
        """Most memory that it held, None where that says nothing; MB."""

    def code(self) -> int | None:
        """Its exit code, None while it runs."""

    def tell(self, signum: int) -> None:
        """Pass a signal on."""

    def last_words(self) -> str:
        """The line that says why it ended."""

    def verdict(self) -> str:
        """DONE, NO_MEMORY, DEAD (it could come to nothing), STOPPED (goes on where it was) or FAILED."""


class Training(Protocol):
    """A training config that can be changed by dotted keys, and run."""

    def value(self, key: str) -> object:
        """What the config says, fixed options included; None where it says nothing."""

    def check(self, settings: Mapping[str, object]) -> None:
        """Refuse settings that the config cannot take (`ValueError` of one line)."""

    def check_data(self) -> None:
        """Refuse a config whose data is not there."""

    def length(self) -> tuple[int, int, int]:
        """Iterations of a run, iteration of its first validation, images of one validation step."""

    def definition(self) -> dict[str, str]:
        """What makes the config the config it is, for comparison."""

    def config_text(self, settings: Mapping[str, object]) -> str:
        """A config with these settings that stands for itself."""

    def command(self, config: Path, folder: Path) -> list[str]:
        """Train it, going on from what lies in the folder."""

    def start(self, command: Sequence[str], log: Path, lock_fd: int, slot: int) -> Process:
        """Start a process that holds the lock as long as it lives, on the device of the slot."""

    def lock(self, path: Path) -> int | None:
        """Lock a file; None while somebody else holds it."""

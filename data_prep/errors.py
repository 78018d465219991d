"""What goes wrong and how it is told: one line that says what must hold, what came, where, and what to do."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    LOOK = 1  # finished, and something is listed to look at
    BAD_INPUT = 2  # wrong input or usage
    ENVIRONMENT = 3  # disk, memory or a missing package
    SIGINT = 130
    SIGTERM = 143


class DataError(ValueError):
    """The user's input is wrong.

    The message is all the user sees, so it says what must hold, what came instead, where (file, feature number), and
    what to do.
    """


class MissingPackage(ImportError):
    """An optional package is needed for this input; the message says how to install it."""


class Terminated(BaseException):
    """SIGTERM arrived; unwinds the stack so that half-made output is removed."""


def one_line(error: BaseException) -> str:
    """Text of an error without line breaks; the type's name where the text is empty."""
    return ' '.join(str(error).split()) or type(error).__name__

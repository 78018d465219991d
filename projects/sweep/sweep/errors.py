"""What a user can cause. The message is one line: what must hold, what came, where, what to do."""

import difflib
from collections.abc import Iterable


class SweepError(ValueError):
    """A sweep file, an option or a study that cannot work."""


class StorageFailure(RuntimeError):
    """The storage of the study cannot be reached any more, or does not answer."""


def require_known(said: Iterable[str], known: Iterable[str], place: str) -> None:
    """Refuse a key that nothing reads.

    Raises:
        SweepError: That names the nearest key there is.
    """
    known = list(known)
    for key in said:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"is '{near[0]}' meant?" if near else f'there are {", ".join(known)}.'
            raise SweepError(f"{place}: nothing reads the key '{key}'; {hint}")

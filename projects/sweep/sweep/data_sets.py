"""Data sets that trials ask for, each made once: named by what makes it, locked while it is made."""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from data_prep.atomic import atomic_write
from sweep.training import Process, Training

COMMAND = (sys.executable, '-m', 'data_prep')
ENDS_WELL = (0, 1)  # 1: done, with something to look at


class DataSets:
    """Data sets in one folder, each in a folder named by a hash of its arguments and of the files they name.

    Args:
        folder: Of all of them.
        training: Starts processes and locks files.
        command: That makes one, called as `COMMAND ARGUMENTS --out FOLDER`.
    """

    def __init__(self, folder: Path, training: Training, command: Sequence[str] = COMMAND) -> None:
        self.folder, self.training, self.command = folder, training, tuple(command)
        self._hashes: dict[tuple[str, int, int], str] = {}

    def place(self, arguments: Sequence[str]) -> Path:
        """Where the data set of these arguments lies, or will lie."""
        sources = [self._source(word) for word in arguments]
        text = json.dumps([list(arguments), sources])
        return self.folder / hashlib.sha256(text.encode()).hexdigest()[:12]

    def ready(self, place: Path) -> bool:
        """Whether it has been made to its end."""
        return place.with_suffix('.json').is_file()

    def make(self, arguments: Sequence[str], place: Path, slot: int) -> 'Making | None':
        """Begin to make it; None while another worker does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        fd = self.training.lock(place.with_suffix('.lock'))
        if fd is None:
            return None
        if self.ready(place):
            os.close(fd)
            return None
        again = ['--overwrite'] if place.exists() else []
        command = [*self.command, *arguments, '--out', str(place), *again]
        process = self.training.start(command, place.with_suffix('.log'), fd, slot)
        return Making(process, fd, list(arguments), place)

    def _source(self, word: str) -> object:
        path = Path(word)
        if not path.exists():
            return None
        files = sorted(item for item in path.rglob('*') if item.is_file()) if path.is_dir() else [path]
        return [[str(file.relative_to(path)), self._sha256(file)] for file in files]

    def _sha256(self, file: Path) -> str:
        """Of a file's bytes; read once as long as its size and time stay."""
        state = file.stat()
        key = (str(file), state.st_size, state.st_mtime_ns)
        if key not in self._hashes:
            with open(file, 'rb') as opened:
                self._hashes[key] = hashlib.file_digest(opened, 'sha256').hexdigest()
        return self._hashes[key]


class Making:
    """A data set that is being made."""

    def __init__(self, process: Process, lock_fd: int, arguments: list[str], place: Path) -> None:
        self.process, self.lock_fd, self.arguments, self.place = process, lock_fd, arguments, place

    def end(self, code: int) -> bool:
        """Note how it ended; True when the data set is there."""
        well = code in ENDS_WELL and self.place.is_dir()
        if well:
            with atomic_write(self.place.with_suffix('.json')) as file:
                json.dump({'arguments': self.arguments}, file)
        os.close(self.lock_fd)
        return well

"""What a run says of itself while it runs: the lines of its `*/vis_data/scalars.json`, read as they appear."""

import json
import math
import statistics
from pathlib import Path

FILES = '*/vis_data/scalars.json'


class Curve:
    """Figures of the validations of one run, over all its attempts.

    Args:
        folder: Work dir of the run; each attempt has its own log in it.
        objectives: Names of the figures that a validation must give.

    Attributes:
        validations: Figures by iteration; of one that was validated twice, the later ones.
        iterations: How far the run went.
        memory_mb: Most memory of the device that was held, None where that is not logged.
    """

    def __init__(self, folder: Path, objective: str) -> None:
        self.folder, self.objective = folder, objective
        self.validations: dict[int, dict[str, float]] = {}
        self.iterations, self.memory_mb = 0, None
        self.names: set[str] = set()
        self._read: dict[Path, int] = {}

    def look(self) -> None:
        """Read what is new."""
        for path in sorted(self.folder.glob(FILES)):
            for line in self._new_lines(path):
                self._take(line)

    def values(self) -> dict[int, float]:
        """The objective by iteration, in order."""
        return {step: self.validations[step][self.objective] for step in sorted(self.validations)}

    def best(self, direction: str) -> int | None:
        """The first iteration with the best value; None without any."""
        values = {step: value for step, value in self.values().items() if not math.isnan(value)}
        choose = max if direction == 'maximize' else min
        return choose(values, key=values.get) if values else None

    def seconds_per_image(self, val_batch: int) -> float | None:
        """Of validation, all of it: reading, network, masks; the median of all validations."""
        times = [item['time'] for item in self.validations.values() if 'time' in item]
        return statistics.median(times) / val_batch if times else None

    def _new_lines(self, path: Path) -> list[bytes]:
        """Whole lines behind what was read; a line that is still being written waits."""
        start = self._read.get(path, 0)
        try:
            if path.stat().st_size <= start:
                return []
            with open(path, 'rb') as file:
                file.seek(start)
                content = file.read()
        except OSError:
            return []
        whole = content[: content.rfind(b'\n') + 1]
        self._read[path] = start + len(whole)
        return whole.splitlines()

    def _take(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:  # cut off by a kill
            return
        if not isinstance(said, dict) or type(said.get('step')) is not int:
            return
        numbers = {key: float(value) for key, value in said.items() if isinstance(value, int | float)}
        self.iterations = max(self.iterations, said['step'])
        self.names |= {key for key in numbers if '/' in key}
        if 'memory' in numbers:
            self.memory_mb = max(self.memory_mb or 0.0, numbers['memory'])
        if self.objective in numbers:
            self.validations[said['step']] = numbers

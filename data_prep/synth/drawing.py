"""Scenes drawn one after another, or several at a time in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from data_prep.pool import run_all, workers
from data_prep.synth.folder import Written
from data_prep.synth.settings import Options
from data_prep.synth.writing import write_scene


def draw(
    out: Path, options: Options, indices: Sequence[int], jobs: int, on_scene: Callable[[], object]
) -> dict[int, Written]:
    """Draw scenes and write them; their bytes do not depend on `jobs`.

    Args:
        out: Folder, see ``folder.opened``.
        options: Of the run.
        indices: Of the scenes.
        jobs: Processes at most.
        on_scene: Called after each scene.

    Returns:
        Counts by index.

    Raises:
        ChildProcessError: If a process died; what else goes wrong in one is raised here as it was there.
    """
    written = {}
    with workers(min(jobs, len(indices))) as executor:
        for index, counts in run_all(partial(write_scene, out, options), indices, executor):
            written[index] = counts
            on_scene()
    return written

"""Scenes drawn one after another, or several at a time in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

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
    if min(jobs, len(indices)) <= 1:
        for index in indices:
            written[index] = write_scene(out, options, index)
            on_scene()
        return written
    with _pool(min(jobs, len(indices))) as pool:
        with _sigint_waits():  # workers start here and keep the mask: Ctrl-C is for this process alone to answer
            futures = {pool.submit(write_scene, out, options, index): index for index in indices}
        for future in as_completed(futures):
            written[futures[future]] = future.result()
            on_scene()
    return written


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with the block; at once, in the middle of a scene, where it ends with an error."""
    before = set(multiprocessing.active_children())
    # Spawned, not forked: GDAL and its threads do not survive a fork.
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context('spawn'), initializer=_end_with_parent)
    try:
        yield pool
    except BaseException as error:
        for worker in set(multiprocessing.active_children()) - before:
            worker.terminate()
        if isinstance(error, BrokenProcessPool):
            raise ChildProcessError('a drawing process was killed; if memory ran out, pass fewer --jobs') from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _sigint_waits() -> Iterator[None]:
    """Put SIGINT off until the block ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """In a worker: die when the parent does, which a pool alone would not notice after SIGKILL."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

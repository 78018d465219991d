"""Work shared out to processes, here or on a cluster, behind one ``concurrent.futures`` executor."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from data_prep.errors import DataError, MissingPackage

Task = TypeVar('Task')
Result = TypeVar('Result')
CONNECT_S = 20  # to a scheduler


@contextmanager
def workers(jobs: int, scheduler: str | None = None) -> Iterator[Executor | None]:
    """Who does the work inside the block.

    Args:
        jobs: Processes at most, started when there is work for them; 1 means this process, which is None here.
        scheduler: Address of a Dask scheduler, whose workers do it instead.

    Raises:
        ChildProcessError: If a process died.
        DataError: If the scheduler does not answer.
        MissingPackage: If ``scheduler`` is given without the package ``distributed``.
    """
    if scheduler is not None:
        with cluster(scheduler) as executor:
            yield executor
    elif jobs > 1:
        with processes(jobs) as executor:
            yield executor
    else:
        yield None


def run_all(
    function: Callable[[Task], Result], tasks: Sequence[Task], executor: Executor | None
) -> Iterator[tuple[Task, Result]]:
    """Call a function for each task.

    Args:
        function: Found by its name in other processes, so not a lambda.
        tasks: Plain data.
        executor: Of ``workers``; None works here, one task after another.

    Yields:
        Tasks with their results as they are finished, in any order. What goes wrong is raised here as it was there.
    """
    if executor is None:
        for task in tasks:
            yield task, function(task)
        return
    with _sigint_waits():  # workers start here and keep the mask: Ctrl-C is for this process alone to answer
        futures = {executor.submit(function, task): task for task in tasks}
    for future in as_completed(list(futures)):
        yield futures.pop(future), future.result()


@contextmanager
def processes(jobs: int) -> Iterator[Executor]:
    """Processes that end with the block; at once, in the middle of a task, where it ends with an error."""
    before = set(multiprocessing.active_children())
    # Spawned, not forked: GDAL and its threads do not survive a fork.
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context('spawn'), initializer=_end_with_parent)
    try:
        yield pool
    except BaseException as error:
        for worker in set(multiprocessing.active_children()) - before:
            worker.terminate()
        if isinstance(error, BrokenProcessPool):
            raise ChildProcessError('a worker process was killed; if memory ran out, pass fewer --jobs') from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def cluster(scheduler: str) -> Iterator[Executor]:
    """Workers of a Dask scheduler, which must see the same files under the same names and have this package."""
    try:
        import distributed
    except ImportError:
        raise MissingPackage('--scheduler needs distributed; pip install fallen-trees[dask]') from None
    try:
        client = distributed.Client(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:  # no answer; no such address
        raise DataError(f'--scheduler {scheduler} does not answer ({type(error).__name__}); pass the address that '
                        f'dask scheduler prints, such as tcp://host:8786') from None  # fmt: skip
    with client, client.get_executor() as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False)  # cancels what has not begun
            raise


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

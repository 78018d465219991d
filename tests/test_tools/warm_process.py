"""Runs scripts of tools/ in processes forked from a server that has imported the libraries and done nothing else.

What a tool sees is a fresh process: its own arguments, streams, folder and singletons. What is saved are the seconds
that importing torch, MMEngine and MMDetection takes, each time.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

LIBRARIES = ['torch', 'mmdet.apis', 'mmdet.engine.hooks.utils', 'mmengine.runner', 'torch.utils.tensorboard']


def main(tool: str, args: list[str], folder: str, output: str, errors: str) -> None:
    """In the forked process: be `python TOOL ARGS` in a folder."""
    for path, stream in ((output, 1), (errors, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, stream)
        os.close(file)
    sys.stdout, sys.stderr = (os.fdopen(stream, 'w', buffering=1, closefd=False) for stream in (1, 2))
    os.chdir(folder)
    sys.argv = [tool, *args]
    sys.path[0] = str(Path(tool).parent)
    runpy.run_path(tool, run_name='__main__')


def server() -> multiprocessing.context.ForkServerContext:
    """Where such processes come from; it starts with the first of them."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(LIBRARIES)
    return context


def run(
    context: multiprocessing.context.ForkServerContext, tool: Path, args: list[str], folder: Path, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run one tool to its end; returns what `subprocess.run` would."""
    with tempfile.TemporaryDirectory() as streams:
        output, errors = Path(streams, 'output'), Path(streams, 'errors')
        process = context.Process(target=main, args=(str(tool), args, str(folder), str(output), str(errors)))
        process.start()
        process.join(timeout_s)
        if process.is_alive():
            process.kill()
            raise subprocess.TimeoutExpired([str(tool), *args], timeout_s, output.read_text(), errors.read_text())
        return subprocess.CompletedProcess(
            [str(tool), *args], process.exitcode, output.read_text(), errors.read_text(errors='replace')
        )

"""Runs the command in a process forked from one that has imported the libraries, and hands it over while it runs."""

import os
from pathlib import Path

import warm_process

TOOL = Path(__file__).resolve().parents[2] / 'tools/predict.py'


def main(environment, inputs):
    os.environ.update(environment)
    warm_process.main(*inputs)


class Started:
    """The command, under way; its streams go to files of the folder."""

    def __init__(self, server, args, folder, environment):
        self.streams = folder / 'output', folder / 'errors'
        inputs = (str(TOOL), [*map(str, args)], str(folder), *map(str, self.streams))
        self.process = server.Process(target=main, args=(environment, inputs))
        self.process.start()
        self.pid = self.process.pid

    def wait(self, timeout_s=120):
        """Exit code, output and errors."""
        self.process.join(timeout_s)
        assert self.process.exitcode is not None, 'the command hangs'
        return (self.process.exitcode, *(stream.read_text() for stream in self.streams))

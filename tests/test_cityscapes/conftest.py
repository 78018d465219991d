"""A folder in which `tools/run_stages.py configs/cityscapes/stages.py` runs at toy size, on streets drawn here."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(Path(__file__).parent))  # what these tests share is imported by name
import drawn_cities as cities  # noqa: E402
import toy_configs  # noqa: E402
import warm_tools  # noqa: E402

STAGES = 'configs/cityscapes/stages.py'
TOOLS = ('run_stages.py', 'train.py', 'test.py', 'sweep.py')
LIMIT_S = 900


@pytest.fixture(scope='session')
def warm(tmp_path_factory):
    tools = warm_tools.WarmTools(tmp_path_factory.mktemp('warm'), TOOLS)
    yield tools
    tools.close()


@pytest.fixture(scope='session')
def street_data(tmp_path_factory):
    """The drawn streets, as `data_prep cityscapes` lists them."""
    from data_prep.__main__ import main

    folder = tmp_path_factory.mktemp('streets')
    cities.cityscapes(folder / 'root')
    args = ['--out', f'{folder}/cityscapes', '--subset', '12', '--coarse', '24']
    assert main(['cityscapes', f'{folder}/root', *args]) == 0
    return folder / 'cityscapes'


class Place:
    """A folder with toy configs, the data, and the real file of stages with warm tools."""

    def __init__(self, folder, warm):
        self.folder, self.warm = folder, warm
        self.results = folder / 'results'
        self.pids = folder / 'pids'
        self.environment = os.environ | {'OMP_NUM_THREADS': '1', 'WARM_PIDS': str(self.pids)}

    def fill(self, data, **sizes):
        """Write configs and the file of stages, and link the data; returns the place."""
        toy_configs.write_configs(self.folder, **sizes)
        tools = {name: str(self.warm.folder / f'{name}.py') for name in ('train', 'test', 'sweep')}
        (self.folder / STAGES).write_text((ROOT / STAGES).read_text() + f'\ntools = {tools!r}\n')
        (self.folder / 'data').mkdir()
        (self.folder / 'data/cityscapes').symlink_to(data)
        return self

    def start(self, *args):
        """Start the chain."""
        command = self.warm.command('run_stages.py', STAGES, '--work-dir', self.results, *args)
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)  # fmt: skip

    def run(self, *args):
        """Run the chain to its end."""
        process = self.start(*args)
        said = process.communicate(timeout=LIMIT_S)[0]
        return SimpleNamespace(code=process.returncode, said=said)

    def tool(self, tool, *args):
        """Run another tool to its end."""
        done = subprocess.run(self.warm.command(tool, *args), cwd=self.folder, env=self.environment, text=True,
                              capture_output=True, timeout=LIMIT_S)  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]

    def kill(self, tool, word=''):
        """Kill the newest process of a tool with a word among its arguments, without warning."""
        lines = [line.split(' ', 2) for line in self.pids.read_text().splitlines()]
        pid = [int(pid) for name, pid, args in lines if name == tool and word in args][-1]
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_for(self, is_so):
        """Wait until something is so."""
        end = time.monotonic() + LIMIT_S
        while not is_so():
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.fixture(scope='session')
def place(warm, street_data, tmp_path_factory):
    """Make a place; arguments are those of `toy_configs.write_configs`."""
    return lambda **sizes: Place(tmp_path_factory.mktemp('place'), warm).fill(street_data, **sizes)


@pytest.fixture(scope='session')
def made_once(tmp_path_factory, warm):
    """Call `make`, which gives a place and facts, once for all processes of the suite; gives the same to each."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if 'PYTEST_XDIST_WORKER' in os.environ else shared

    def once(name, make):
        with open(shared / f'{name}.lock', 'w') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            found = shared / f'{name}.json'
            if not found.exists():
                place, facts = make()
                found.write_text(json.dumps([str(place.folder), facts]))
            folder, facts = json.loads(found.read_text())
        return Place(Path(folder), warm), facts

    return once

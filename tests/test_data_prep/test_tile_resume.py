"""A run that is killed at any moment and started again ends with the bytes of one that was not."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
OPTIONS = ('--tile-size', '128', '--split', '0.6,0.2,0.2')
OPTIONS += ('--overlap', '0', '--stretch', 'p2-p98', '--masks', '--min-visible', '0.2')


def digest(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


@pytest.fixture(scope='module')
def inputs(tmp_path_factory, write_raster, write_labelme):
    """Three scenes, of which two are cut in several blocks."""
    folder, rng = tmp_path_factory.mktemp('resume') / 'in', np.random.default_rng(0)
    for number, width in enumerate((11000, 9000, 500)):
        pixels = np.tile(rng.integers(1, 256, (3, 130, 500), np.uint8), (1, 1, width // 500))
        write_raster(folder / f's{number}.tif', (width, 130), pixels=pixels, compress='deflate')
        trees = [[[x, 20], [x + 50, 20], [x + 50, 90], [x, 90]] for x in range(30, width - 100, 333)]
        write_labelme(folder / f's{number}.json', [('tree', tree) for tree in trees], (width, 130))
    return folder


@pytest.fixture
def start():
    """Start a run in a process group of its own; what is still alive at the end is killed."""
    started = []

    def run(scenes, out, *options):
        command = [sys.executable, '-m', 'data_prep', 'tile', scenes, '--out', out, *OPTIONS, *options]
        pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
        started.append(subprocess.Popen([str(item) for item in command], cwd=ROOT, start_new_session=True, **pipes))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def entries(out):
    return sorted((out.parent / f'.{out.name}.partial/journal').glob('0*.json'))


def stopped(start, scenes, out, *options, number=signal.SIGKILL):
    """Start a run and stop it once a block is finished; returns its exit code."""
    process, deadline = start(scenes, out, *options), time.monotonic() + 60
    while not [path for path in entries(out) if path.stem[-1].isdigit()]:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.005)
    process.send_signal(number)
    process.communicate(timeout=60)
    return process.returncode


def finished(start, *argv):
    process = start(*argv)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    return stderr


@pytest.fixture(scope='module')
def unbroken(inputs):
    """Digest of a run that nothing stopped, in a folder beside the scenes, as others are."""
    out = inputs.parent / 'unbroken'
    command = [sys.executable, '-m', 'data_prep', 'tile', inputs, '--out', out, *OPTIONS]
    began = time.monotonic()
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
    return digest(out), time.monotonic() - began


@pytest.fixture
def out(inputs):
    path = inputs.parent / 'out'
    yield path
    for litter in (path, path.with_name('.out.partial')):
        shutil.rmtree(litter, ignore_errors=True)


def kill_at_random(start, inputs, out, unbroken, kills, seed):
    """Kill runs at random moments, every other time with their workers, and compare each data set that comes about."""
    dice, killed, ended = random.Random(seed), 0, False
    expected, seconds = unbroken
    while killed < kills or not ended:  # a kill may come when all is done but for the tidying
        if out.exists():
            assert digest(out) == expected
            shutil.rmtree(out)
        process = start(inputs, out, '--jobs', str(dice.choice((1, 2))))
        try:
            _, stderr = process.communicate(timeout=dice.uniform(0.3, 1.1) * seconds if killed < kills else 120)
            assert process.returncode == 0, stderr
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
            if dice.random() < 0.5:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.communicate()
            killed += 1
    assert digest(out) == expected
    assert not out.with_name('.out.partial').exists()


def test_three_kills_at_random_moments(start, inputs, out, unbroken):
    kill_at_random(start, inputs, out, unbroken, kills=3, seed=0)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_thirty_kills_at_random_moments(start, inputs, out, unbroken):
    kill_at_random(start, inputs, out, unbroken, kills=30, seed=1)


def test_finished_blocks_are_not_done_again(start, inputs, out, unbroken):
    assert stopped(start, inputs, out) == -signal.SIGKILL
    staging, names = out.with_name('.out.partial'), set()
    for path in entries(out):
        if path.stem[-1].isdigit():
            number, content = int(path.stem[:5]), json.loads(path.read_bytes())
            names |= {f's{number}_{x:06d}_{y:06d}.png' for (x, y, _, _), _, written in content['tiles'] if written}
    before = {path.name: path.stat().st_ino for path in (staging / 'data/images').rglob('*.png') if path.name in names}
    assert set(before) == names and names
    stderr = finished(start, inputs, out)
    assert 'note: going on with a run that was stopped' in stderr and stderr.count('\n') == 1
    after = {path.name: path.stat().st_ino for path in (out / 'images').rglob('*.png')}
    assert {name: after[name] for name in names} == before  # the very files, not new ones of the same content
    assert digest(out) == unbroken[0]


def test_half_written_records_of_a_killed_run_do_not_stay(start, inputs, out, unbroken):
    assert stopped(start, inputs, out) == -signal.SIGKILL
    data = out.with_name('.out.partial') / 'data'
    for half in (data / '.report.0123456789ab.json', data / 'annotations/.instances_val.0123456789ab.json'):
        half.write_text('{')
    finished(start, inputs, out)
    assert digest(out) == unbroken[0]


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_with_processes_ends_them_and_goes_on(start, inputs, out, unbroken, number, code):
    assert stopped(start, inputs, out, '--jobs', '2', number=number) == code
    workers = [path for path in Path('/proc').glob('[0-9]*/cmdline') if str(out).encode() in read(path)]
    assert workers == [] and not out.exists() and entries(out)
    finished(start, inputs, out)
    assert digest(out) == unbroken[0]


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b''


def test_other_settings_and_sources_are_noticed(start, inputs, tmp_path, write_labelme):
    scenes, out = shutil.copytree(inputs, tmp_path / 'in'), tmp_path / 'out'
    stopped(start, scenes, out)
    write_labelme(scenes / 's1.json', [('tree', [[9, 9], [90, 9], [90, 90], [9, 90]])], (9000, 130))
    with open(scenes / 's0.tif', 'ab') as file:
        file.write(b'\0')
    stderr = finished(start, scenes, out, '--partial', 'keep', '--pixels', 'zstd')
    why = '--pixels, --partial, the source of s0, the labels of s1'
    assert sorted(why.split(', ')) == sorted(stderr.split(' differs in ')[1].split(';')[0].split(', '))
    assert stderr.startswith('note: a stopped run of the same --out differs') and stderr.count('\n') == 1
    made = digest(out)
    shutil.rmtree(out)
    assert finished(start, scenes, out, '--partial', 'keep', '--pixels', 'zstd') == ''
    assert digest(out) == made  # nothing of the work before went into it


def test_a_second_run_at_once_is_refused(start, inputs, out, unbroken):
    first, deadline = start(inputs, out), time.monotonic() + 60
    while not out.with_name('.out.partial').exists():
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    first.send_signal(signal.SIGSTOP)
    second = start(inputs, out)
    _, stderr = second.communicate(timeout=60)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 2 and 'another run fills' in stderr and stderr.count('\n') == 1
    first.communicate(timeout=60)
    assert first.returncode == 0 and digest(out) == unbroken[0]


def test_damage_found_half_way_leaves_nothing(data_prep, inputs, tmp_path):
    scenes = shutil.copytree(inputs, tmp_path / 'in')
    os.truncate(scenes / 's1.tif', (scenes / 's1.tif').stat().st_size // 2)
    code, _, stderr = data_prep('tile', scenes, '--out', tmp_path / 'out', *OPTIONS)
    assert code == 2 and 's1.tif' in stderr and os.listdir(tmp_path) == ['in']


def test_files_that_a_power_cut_emptied_are_made_again(start, inputs, out, unbroken):
    stopped(start, inputs, out)
    images = sorted(out.with_name('.out.partial').glob('data/images/*/*.png'))
    os.truncate(images[0], 0)
    finished(start, inputs, out)
    assert digest(out) == unbroken[0]

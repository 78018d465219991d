"""A run that was killed, stopped or shared out gives the map of an unbroken one, and never half a file."""

import contextlib
import os
import random
import signal
import socket
import time

import geopandas as gpd
import pytest

BARS = [(10 + 60 * column, 10 + 40 * row, 45, 9) for column in range(6) for row in range(8)]
WINDOWS = 40  # of the scene
PAUSE = ['--cfg-options', 'model.pause_s=0.04', '--batch-size', 1]
LAYERS = ('trees', 'centrelines', 'cells')


@pytest.fixture(scope='module')
def scene(barred, tmp_path_factory):
    return barred(tmp_path_factory.mktemp('scene') / 's.tif', BARS, (384, 256))


@pytest.fixture(scope='module')
def unbroken(predict, detector, scene, tmp_path_factory):
    out = tmp_path_factory.mktemp('unbroken') / 'map.gpkg'
    assert predict(*detector, scene, '--out', out, *PAUSE) == 0
    return out


def assert_same(out, unbroken):
    for layer in LAYERS:
        made, meant = (gpd.read_file(path, layer=layer) for path in (out, unbroken))
        assert made.drop(columns='geometry').equals(meant.drop(columns='geometry'))
        assert made.geometry.geom_equals_exact(meant.geometry, 0).all() and len(made) == len(meant) > 0
    assert sorted(path.name for path in out.parent.iterdir()) == [out.name]


def begun(out):
    """Whether a run has kept a batch. Its database is its own while it runs, so only its file is looked at."""
    log = out.with_name(f'.{out.name}.parts') / 's/0.sqlite-wal'
    return log.exists() and log.stat().st_size > 20_000


def wait_for(condition, process, timeout_s=60):
    end = time.monotonic() + timeout_s
    while not condition() and process.exitcode is None and time.monotonic() < end:
        time.sleep(0.005)


def killed_and_resumed(start, detector, scene, out, unbroken, delay_s):
    """Kill a run some time after its first batch; start it again until it ends; compare."""
    run = start(*detector, scene, '--out', out, *PAUSE)
    wait_for(lambda: begun(out), run.process)
    time.sleep(delay_s)
    with contextlib.suppress(ProcessLookupError):  # done already
        os.kill(run.pid, signal.SIGKILL)
    run.process.join()
    broken = run.process.exitcode == -signal.SIGKILL
    if broken and out.exists():  # killed after the last rename
        assert len(gpd.read_file(out, layer='trees')) == len(BARS)
    code, output, errors = start(*detector, scene, '--out', out, *PAUSE, '--overwrite').wait()
    assert code == 0, errors
    assert_same(out, unbroken)
    return broken, errors


def test_after_a_kill_the_same_command_goes_on(start, detector, scene, unbroken, tmp_path):
    out = tmp_path / 'map.gpkg'
    broken, errors = killed_and_resumed(start, detector, scene, out, unbroken, delay_s=0.4)
    assert broken
    assert 'going on' in errors and f'of {WINDOWS} windows are finished' in errors


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_after_twenty_kills_at_random_moments_too(start, detector, scene, unbroken, tmp_path):
    moments, broken = random.Random(0), 0
    for number in range(60):
        (tmp_path / str(number)).mkdir()
        out = tmp_path / str(number) / 'map.gpkg'
        broken += killed_and_resumed(start, detector, scene, out, unbroken, delay_s=moments.uniform(0, 1.5))[0]
        if broken == 20:
            break
    assert broken == 20


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_journal(start, detector, scene, unbroken, tmp_path, signum):
    out = tmp_path / 'map.gpkg'
    run = start(*detector, scene, '--out', out, *PAUSE)
    wait_for(lambda: begun(out), run.process)
    os.kill(run.pid, signum)
    code, _, errors = run.wait()
    assert code == 128 + signum
    assert f'stopped by {signum.name}; the same command goes on' in errors and 'Traceback' not in errors
    assert not out.exists()
    code, _, errors = start(*detector, scene, '--out', out, *PAUSE).wait()
    assert code == 0 and 'going on' in errors
    assert_same(out, unbroken)


def test_two_processes_give_the_map_of_one(start, detector, scene, unbroken, tmp_path):
    out, seen = tmp_path / 'map.gpkg', tmp_path / 'seen'
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    shared = dict(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    runs = [
        start(*detector, scene, '--out', out, *PAUSE, '--launcher', 'pytorch', RANK=rank, LOCAL_RANK=rank,
              SEEN_FILE=f'{seen}{rank}', **shared)
        for rank in '01'
    ]  # fmt: skip
    results = [run.wait() for run in runs]
    assert [code for code, _, _ in results] == [0, 0], results
    assert 'trees in 1 scene' in results[0][1] and results[1][1] == ''
    counts = [len((tmp_path / f'seen{rank}').read_text().split()) for rank in '01']
    assert sum(counts) == WINDOWS and min(counts) >= WINDOWS // 4
    for file in tmp_path.glob('seen*'):
        file.unlink()
    assert_same(out, unbroken)


def test_work_of_other_settings_is_not_used(predict, start, detector, scene, unbroken, tmp_path, capsys):
    out = tmp_path / 'map.gpkg'
    run = start(*detector, scene, '--out', out, *PAUSE, '--window', 48)
    wait_for(lambda: begun(out), run.process)
    os.kill(run.pid, signal.SIGKILL)
    run.process.join()
    assert predict(*detector, scene, '--out', out, *PAUSE) == 0
    assert 'starting anew, as the overlap, the window changed' in capsys.readouterr().err
    assert_same(out, unbroken)

"""Full disks, folders that may not be written, kills: at the path lies the old map or the new one, never a part."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import geopandas as gpd
import numpy as np
import pytest

from tree_map.photos import write_picture
from tree_map.writing import WRITERS, write_map
from tree_map.writing.labelme import write_labelme

from .drawn_map import drawn_map

SUFFIXES = sorted(WRITERS)


@pytest.fixture
def small_files():
    """Let no file of this process grow beyond some bytes, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(('suffix', 'size'), [*((suffix, 2000) for suffix in SUFFIXES), ('.gpkg', 50_000),
                                              ('.gpkg', 110_000), ('.gpkg', 200_000)])  # fmt: skip
def test_a_full_disk_leaves_the_older_map(tmp_path, small_files, monkeypatch, suffix, size):
    monkeypatch.setenv('TMPDIR', str(tmp_path / 'tmp'))
    monkeypatch.setattr('tempfile.tempdir', None)
    (tmp_path / 'tmp').mkdir()
    path, made = tmp_path / f'm{suffix}', drawn_map(200)
    write_map(drawn_map(3), path)
    before = path.read_bytes()
    small_files(size)
    with pytest.raises(OSError) as caught:
        write_map(made, path)
    small_files(resource.RLIM_INFINITY)
    assert path.read_bytes() == before and '\n' not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == [path.name, 'tmp'] and os.listdir(tmp_path / 'tmp') == []


def test_a_full_disk_where_only_the_copy_fails(tmp_path, small_files):
    """The last bytes of the GeoPackage do not fit; every size up to the whole fails and leaves nothing."""
    path, made = tmp_path / 'm.gpkg', drawn_map(20)
    write_map(made, path)
    whole = path.stat().st_size
    path.unlink()
    for size in (whole - 4096, whole - 1):
        small_files(size)
        with pytest.raises(OSError):
            write_map(made, path)
        assert os.listdir(tmp_path) == []
    small_files(whole)
    write_map(made, path)
    assert path.stat().st_size == whole


def test_a_full_disk_under_photos(tmp_path, small_files):
    made = drawn_map(5, crs=None)
    small_files(100)
    with pytest.raises(OSError):
        write_picture(np.zeros((200, 200, 3), np.uint8), made, tmp_path / 'm.png')
    with pytest.raises(OSError):
        write_labelme(made, tmp_path / 'm.json', 'p.png')
    assert os.listdir(tmp_path) == []


READ_ONLY = """
import os, sys
from tree_map.writing import check_output
os.setuid(65534)
try:
    check_output(sys.argv[1])
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason='root becomes somebody else here; others meet the plain case below')
def test_a_folder_of_others(tmp_path):
    done = subprocess.run([sys.executable, '-c', READ_ONLY, '/etc/m.gpkg'], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == '/etc is not writable', done.stderr


def test_a_folder_that_nobody_can_write():
    with pytest.raises(OSError):
        write_map(drawn_map(1), '/proc/m.gpkg')


WRITE = """
import sys, time
sys.path.insert(0, sys.argv[2])
from drawn_map import drawn_map
from tree_map.writing import write_map
made = drawn_map(400)
print('ready', flush=True)
while True:
    write_map(made, sys.argv[1])
"""


def count(path):
    if path.suffix == '.gpkg':
        return [len(gpd.read_file(path, layer=layer)) for layer in ('trees', 'centrelines')]
    if path.suffix == '.csv':
        return [path.read_text('utf-8').count('EPSG:32633')] * 2
    content = json.loads(path.read_text('utf-8'))
    return [len(content['features'] if path.suffix == '.geojson' else content['annotations'])] * 2


def kill(path, times, seed):
    dice, sizes, began = random.Random(seed), [], time.monotonic()
    write_map(drawn_map(400), path)
    seconds = time.monotonic() - began
    for _ in range(times):
        write_map(drawn_map(3), path)
        command = [sys.executable, '-c', WRITE, path, os.path.dirname(__file__)]
        env = {**os.environ, 'TMPDIR': str(path.parent)}
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, env=env) as process:
            assert process.stdout.readline() == 'ready\n'
            time.sleep(dice.uniform(0, 3 * seconds))
            process.kill()
        sizes.append(count(path))
    return sizes


def test_a_kill_leaves_the_older_map_or_the_new_one(tmp_path):
    assert kill(tmp_path / 'm.gpkg', 1, 0)[0] in ([3, 3], [400, 400])


@pytest.mark.chaos
@pytest.mark.parametrize('suffix', SUFFIXES)
def test_many_kills_leave_the_older_map_or_the_new_one(tmp_path, suffix):
    sizes = kill(tmp_path / f'm{suffix}', 12, 1)
    assert all(size in ([3, 3], [400, 400]) for size in sizes) and len({size[0] for size in sizes}) == 2, sizes

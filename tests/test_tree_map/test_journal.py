"""What finished windows showed survives whatever ends the process, and serves only the run it belongs to."""

import os
import resource
import signal

import numpy as np
import pytest
import shapely

from data_prep.errors import DataError
from tree_map.predicting.journal import Found, Journal, begin, drop, finished, parts_folder, read_pieces

WINDOWS = np.array([[x, 0, 64, 64] for x in range(0, 480, 48)])


def found(*windows, parts=2, empty=(), unreadable=()):
    result = Found(windows=list(windows), empty=list(empty), unreadable=dict(unreadable))
    for window in windows:
        for number in range(parts):
            result.add(window, shapely.box(window, number, window + 1, number + 1), 0.5 + number / 8, number)
    return result


def test_pieces_come_back_by_window_whoever_found_them(tmp_path):
    begin(tmp_path, {})
    first, second = Journal(tmp_path, 0), Journal(tmp_path, 1)
    first.add(found(4, 2))
    second.add(found(3, empty=[7], unreadable={8: 'damaged'}))
    for journal in (first, second):
        journal.close()
    pieces, unreadable = read_pieces(tmp_path, WINDOWS)
    assert pieces.windows_xywh.tolist() == WINDOWS[[2, 3, 4]].tolist()
    assert pieces.windows.tolist() == [0, 0, 1, 1, 2, 2]
    assert [polygon.bounds[:2] for polygon in pieces.polygons] == [(2, 0), (2, 1), (3, 0), (3, 1), (4, 0), (4, 1)]
    assert pieces.scores.tolist() == [0.5, 0.625] * 3 and pieces.labels.tolist() == [0, 1] * 3
    assert unreadable == {8: 'damaged'}
    assert finished(tmp_path) == {2, 3, 4, 7}
    assert read_pieces(tmp_path, WINDOWS)[1] == {}  # to be tried once more


def test_a_run_that_found_nothing_gives_no_pieces(tmp_path):
    begin(tmp_path, {})
    Journal(tmp_path).close()
    pieces, unreadable = read_pieces(tmp_path, WINDOWS)
    assert len(pieces) == 0 and unreadable == {} and pieces.windows_xywh.shape == (0, 4)


@pytest.mark.parametrize('broken', [False, True])
def test_after_a_kill_batches_are_whole_or_absent(tmp_path, broken):
    begin(tmp_path, {})
    child = os.fork()
    if not child:
        journal = Journal(tmp_path)
        journal.add(found(1, 2))
        journal.add(found(5, parts=500))
        if broken:  # in the middle of a batch
            journal._base.execute('BEGIN')
            journal._base.execute('INSERT INTO pieces VALUES (6, 0.5, 0, NULL)')
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert finished(tmp_path) == {1, 2, 5}
    assert len(read_pieces(tmp_path, WINDOWS)[0]) == 504


def test_another_run_begins_anew_and_says_why(tmp_path):
    with parts_folder(tmp_path / 'map.gpkg') as folder:
        assert folder == tmp_path / '.map.gpkg.parts'
        assert begin(folder, {'the window': [64, 10], 'the checkpoint': 'ab'}) is None
        journal = Journal(folder)
        journal.add(found(1))
        journal.close()
        assert begin(folder, {'the window': (64, 10), 'the checkpoint': 'ab'}) is None
        assert finished(folder) == {1}
        assert begin(folder, {'the window': [64, 10], 'the checkpoint': 'cd'}) == 'the checkpoint'
        assert finished(folder) == set()
        drop(folder)
    assert list(tmp_path.iterdir()) == []


def test_two_runs_of_one_map_are_refused(tmp_path):
    out = tmp_path / 'map.gpkg'
    with parts_folder(out), pytest.raises(DataError, match='another run makes'), parts_folder(out):
        pass
    with parts_folder(tmp_path / 'map.gpkg'):
        pass


def test_a_full_disk_is_the_machines_failure_and_keeps_what_was_there(tmp_path):
    begin(tmp_path, {})
    journal = Journal(tmp_path)
    journal.add(found(1))
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, limits[1]))
    try:
        with pytest.raises(OSError, match='full|I/O'):
            journal.add(found(2, parts=5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    journal.close()
    assert finished(tmp_path) == {1}

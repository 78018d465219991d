"""The output folder appears whole or not at all, and nothing else is ever touched."""

import os

import pytest

from data_prep.errors import DataError
from data_prep.tile.staging import MARKER, check_out, staged_folder


def data_set(path, text='old'):
    path.mkdir(parents=True)
    (path / MARKER).write_text(text)
    return path


def test_appears_at_the_end_with_its_parents(tmp_path):
    out = tmp_path / 'a/b/trees'
    with staged_folder(out) as folder:
        assert folder.parent == out.parent and not out.exists()
        (folder / 'x').write_text('x')
    assert os.listdir(out) == ['x'] and os.listdir(out.parent) == ['trees']


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt])
def test_error_leaves_nothing(tmp_path, error):
    with pytest.raises(error), staged_folder(tmp_path / 'a/b/trees') as folder:
        (folder / 'x').write_text('x')
        raise error
    assert os.listdir(tmp_path) == []


def test_error_leaves_the_old_data_set(tmp_path):
    out = data_set(tmp_path / 'trees')
    with pytest.raises(RuntimeError), staged_folder(out) as folder:
        (folder / MARKER).write_text('new')
        raise RuntimeError
    assert (out / MARKER).read_text() == 'old' and os.listdir(tmp_path) == ['trees']


def test_replaces_the_old_data_set(tmp_path):
    out = data_set(tmp_path / 'trees')
    with staged_folder(out) as folder:
        (folder / 'new').write_text('new')
        assert (out / MARKER).read_text() == 'old'
    assert os.listdir(out) == ['new'] and os.listdir(tmp_path) == ['trees']


def test_dead_litter_is_removed_and_live_work_is_not(tmp_path):
    data_set(tmp_path / '.trees.partial-1')
    with staged_folder(tmp_path / 'trees') as first:
        assert not (tmp_path / '.trees.partial-1').exists()
        live = first.rename(tmp_path / '.trees.partial-2')  # another process's, as its lock is held
        with staged_folder(tmp_path / 'trees'):
            assert live.is_dir()
        live.rename(first)


def test_replacement_that_a_kill_broke_is_undone(tmp_path):
    data_set(tmp_path / '.trees.old-1')
    with pytest.raises(DataError, match='not empty'):
        check_out(tmp_path / 'trees', [], overwrite=False)
    assert (tmp_path / 'trees' / MARKER).read_text() == 'old' and os.listdir(tmp_path) == ['trees']


def test_check_out(tmp_path):
    scene = tmp_path / 'scenes/a.tif'
    assert check_out(tmp_path / 'new', [scene], overwrite=False) == tmp_path / 'new'
    (tmp_path / 'empty').mkdir()
    assert check_out(tmp_path / 'empty', [scene], overwrite=False) == tmp_path / 'empty'
    data_set(tmp_path / 'trees')
    assert check_out(tmp_path / 'trees', [scene], overwrite=True) == tmp_path / 'trees'
    (tmp_path / 'link').symlink_to(tmp_path / 'trees')
    assert check_out(tmp_path / 'link', [scene], overwrite=True) == tmp_path / 'trees'
    with pytest.raises(DataError, match='must not hold the sources'):
        check_out(tmp_path, [scene], overwrite=True)
    (tmp_path / 'home').mkdir()
    (tmp_path / 'home/letter').write_text('dear')
    with pytest.raises(DataError, match='not a data set made here'):
        check_out(tmp_path / 'home', [scene], overwrite=True)
    with pytest.raises(DataError, match='a file is there'):
        check_out(tmp_path / 'home/letter', [scene], overwrite=True)

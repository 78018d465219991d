"""The output folder appears whole or not at all, and nothing else is ever touched."""

import os
from contextlib import contextmanager

import pytest

from data_prep.errors import DataError
from data_prep.tile.staging import DATA, JOURNAL, MARKER, RUN, check_out, staged_folder


def data_set(path, text='old'):
    path.mkdir(parents=True)
    (path / MARKER).write_text(text)
    return path


@contextmanager
def filled(out):
    """A run that has made its folders."""
    with staged_folder(out) as staging:
        for name in (DATA, JOURNAL):
            (staging / name).mkdir(exist_ok=True)
        yield staging


def test_appears_at_the_end_with_its_parents(tmp_path):
    out = tmp_path / 'a/b/trees'
    with filled(out) as staging:
        assert staging.parent == out.parent and not out.exists()
        (staging / DATA / 'x').write_text('x')
        (staging / JOURNAL / RUN).write_text('{}')
    assert os.listdir(out) == ['x'] and os.listdir(out.parent) == ['trees']


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt])
def test_error_before_anything_is_finished_leaves_nothing(tmp_path, error):
    with pytest.raises(error), filled(tmp_path / 'a/b/trees') as staging:
        (staging / DATA / 'x').write_text('x')
        (staging / JOURNAL / RUN).write_text('{}')
        raise error
    assert os.listdir(tmp_path) == []


def test_finished_work_stays_for_the_next_run_unless_the_input_was_wrong(tmp_path):
    for error, stays in ((KeyboardInterrupt, True), (OSError, True), (DataError, False)):
        with pytest.raises(error), filled(tmp_path / 'a/trees') as staging:
            (staging / JOURNAL / '00000-000000.json').write_text('{}')
            raise error('wrong')
        assert (tmp_path / 'a/.trees.partial').exists() == stays
        assert not stays or os.listdir(tmp_path / 'a/.trees.partial/journal') == ['00000-000000.json']


def test_error_leaves_the_old_data_set(tmp_path):
    out = data_set(tmp_path / 'trees')
    with pytest.raises(RuntimeError), filled(out) as staging:
        (staging / DATA / MARKER).write_text('new')
        raise RuntimeError
    assert (out / MARKER).read_text() == 'old' and os.listdir(tmp_path) == ['trees']


def test_replaces_the_old_data_set(tmp_path):
    out = data_set(tmp_path / 'trees')
    with filled(out) as staging:
        (staging / DATA / 'new').write_text('new')
        assert (out / MARKER).read_text() == 'old'
    assert os.listdir(out) == ['new'] and os.listdir(tmp_path) == ['trees']


def test_two_runs_at_once_are_refused_and_the_first_goes_on(tmp_path):
    with filled(tmp_path / 'trees') as staging:
        with pytest.raises(DataError, match='another run fills'), staged_folder(tmp_path / 'trees'):
            raise AssertionError('must not begin')
        (staging / DATA / 'x').write_text('x')
    assert os.listdir(tmp_path / 'trees') == ['x']


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

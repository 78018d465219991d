"""Files appear whole or not at all."""

import os
import stat

import pytest

from data_prep.atomic import atomic_path, atomic_write


def test_writes_text_and_bytes(tmp_path):
    with atomic_write(tmp_path / 'a.txt') as file:
        file.write('Bäume\n')
    with atomic_write(tmp_path / 'b.bin', 'wb') as file:
        file.write(b'\r\n')
    assert (tmp_path / 'a.txt').read_bytes() == 'Bäume\n'.encode()
    assert (tmp_path / 'b.bin').read_bytes() == b'\r\n'
    assert sorted(os.listdir(tmp_path)) == ['a.txt', 'b.bin']


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt, SystemExit])
def test_error_leaves_the_old_file_and_no_litter(tmp_path, error):
    path = tmp_path / 'a.json'
    path.write_text('old')
    with pytest.raises(error), atomic_write(path) as file:
        file.write('half of the new')
        file.flush()
        assert path.read_text() == 'old'
        raise error
    assert path.read_text() == 'old' and os.listdir(tmp_path) == ['a.json']


def test_old_content_stays_until_the_end(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('old')
    with atomic_write(path) as file:
        file.write('new')
        file.flush()
        assert path.read_text() == 'old'
    assert path.read_text() == 'new'


def test_permissions_come_from_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_write(tmp_path / 'a') as file:
            file.write('x')
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / 'a').stat().st_mode) == 0o640


def test_path_for_libraries_that_write_by_name(tmp_path):
    with atomic_path(tmp_path / 'a.gpkg') as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == '.gpkg'
        temporary.write_text('x')
    assert os.listdir(tmp_path) == ['a.gpkg']
    with pytest.raises(RuntimeError), atomic_path(tmp_path / 'b.gpkg') as temporary:
        temporary.unlink()
        raise RuntimeError
    assert os.listdir(tmp_path) == ['a.gpkg']


def test_other_modes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="got 'a'"), atomic_write(tmp_path / 'a', 'a'):
        pass
    assert os.listdir(tmp_path) == []

import os
import signal

import pytest

from fallen_trees.errors import ConfigError
from fallen_trees.resume.work_dir_lock import LOCK, locked


def test_a_second_run_is_refused_and_told_of_the_first(tmp_path):
    with locked(tmp_path / 'run') as note:
        assert note is None
        with pytest.raises(ConfigError, match=f'process {os.getpid()} on .*--work-dir'), locked(tmp_path / 'run'):
            pass
        with locked(tmp_path / 'other'):
            pass
    with locked(tmp_path / 'run'):
        pass


def test_an_error_lets_go_of_the_folder(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    with locked(tmp_path):
        pass


def test_a_killed_process_lets_go_of_the_folder(tmp_path):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        with locked(tmp_path):
            os.write(writer, b'x')
            signal.pause()
    os.read(reader, 1)
    with pytest.raises(ConfigError, match=f'process {pid} '), locked(tmp_path):
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with locked(tmp_path):
        pass


def test_what_a_dead_run_left_in_the_file_is_replaced(tmp_path):
    (tmp_path / LOCK).write_text('process 1 on a machine with a very long name\n' * 3)
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text().startswith(f'process {os.getpid()} on ')
        assert (tmp_path / LOCK).read_text().count('\n') == 1


def test_only_the_first_process_of_a_job_takes_the_lock(tmp_path, monkeypatch):
    with locked(tmp_path):
        monkeypatch.setenv('RANK', '1')
        with locked(tmp_path) as note:
            assert note is None

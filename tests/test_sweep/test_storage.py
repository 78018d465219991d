"""Where studies may lie, and two machines' workers on one PostgreSQL server."""

import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from toy_study import diary

from sweep.errors import StorageFailure, SweepError
from sweep.storage import network_mount, open_storage

BIN = next(iter(sorted(Path('/usr/lib/postgresql').glob('*/bin'), reverse=True)), None)
MOUNTS = """22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 27 0:44 / /home rw,relatime shared:2 - nfs4 server:/home rw,vers=4.2
31 30 8:2 / /home/local\\040disk rw - xfs /dev/sdb rw
32 27 0:45 / /scratch rw - lustre mds:/scratch rw
33 27 0:46 / /content/drive rw - fuse.drive drive rw
34 27 0:47 / /win rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ('path', 'kind'),
    [('/home/me/study', 'nfs4'), ('/home/local disk/study', None), ('/homes', None), ('/scratch/x', 'lustre'),
     ('/content/drive/MyDrive/x', 'fuse.drive'), ('/win/x', 'cifs'), ('/tmp/x', None)],
)  # fmt: skip
def test_network_file_systems_are_told_from_local_ones(tmp_path, path, kind):
    mounts = tmp_path / 'mountinfo'
    mounts.write_text(MOUNTS)
    assert network_mount(Path(path), mounts) == kind


def test_sqlite_on_a_network_file_system_is_refused_with_the_cure(tmp_path):
    mounts = tmp_path / 'mountinfo'
    mounts.write_text(MOUNTS.replace(' /home ', f' {tmp_path} '))
    for url in (None, f'sqlite:///{tmp_path}/other.db'):
        with pytest.raises(SweepError, match=r'lies on nfs4, where SQLite loses trials: use --storage postgresql://'):
            open_storage(url, tmp_path / 'study', 60, mounts)
    assert not (tmp_path / 'study').exists()


@pytest.mark.parametrize(
    ('url', 'said'),
    [('journal.log', "such as postgresql://USER@HOST/DATABASE or sqlite:///FILE; got 'journal.log'"),
     ('redis://localhost', 'must be sqlite, postgresql or mysql; got redis')],
)  # fmt: skip
def test_other_storages_are_refused(tmp_path, url, said):
    with pytest.raises(SweepError) as error:
        open_storage(url, tmp_path, 60)
    assert said in str(error.value)


def test_a_server_that_is_not_there(sweep, write):
    pytest.importorskip('psycopg')
    with socket.socket() as free:
        free.bind(('localhost', 0))
        port = free.getsockname()[1]
    code, _, err = sweep(write(), '--storage', f'postgresql://me:secret@localhost:{port}/x')
    assert code == 3
    assert err.startswith('error: the storage postgresql+psycopg://me:***@localhost:')
    assert 'refused' in err
    assert err.count('\n') == 1


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / 'study.db').write_text('something else, and long enough to be looked at ' * 30)
    with pytest.raises(StorageFailure, match=r'study\.db cannot be opened: file is not a database'):
        open_storage(None, tmp_path, 60)


@pytest.fixture(scope='module')
def postgres(tmp_path_factory):
    """A PostgreSQL server of Debian's package, on a port of its own; its address."""
    pytest.importorskip('psycopg')
    if BIN is None:
        pytest.skip('no PostgreSQL under /usr/lib/postgresql: apt-get install postgresql')
    folder = Path(os.environ.get('TMPDIR', '/tmp'), f'pg_{os.getpid()}')
    folder.mkdir(mode=0o700)
    as_user, user = [], pwd.getpwuid(os.getuid()).pw_name
    if os.getuid() == 0:  # PostgreSQL refuses to be root
        user = 'nobody'
        shutil.chown(folder, user)
        as_user = ['setpriv', '--reuid', user, '--regid', str(pwd.getpwnam(user).pw_gid), '--clear-groups']
    with socket.socket() as free:
        free.bind(('localhost', 0))
        port = free.getsockname()[1]
    data = folder / 'data'
    run = dict(check=True, capture_output=True, cwd='/', env={'PATH': os.environ['PATH'], 'LC_ALL': 'C'})
    subprocess.run([*as_user, BIN / 'initdb', '-D', data, '-U', 'me', '-A', 'trust', '-E', 'UTF8', '--no-sync'], **run)
    options = f'-p {port} -k {folder} -c listen_addresses=localhost -c fsync=off -c max_connections=20'
    subprocess.run([*as_user, BIN / 'pg_ctl', '-D', data, '-o', options, '-l', folder / 'log', '-w', 'start'], **run)
    yield f'postgresql://me@localhost:{port}/postgres'
    subprocess.run([*as_user, BIN / 'pg_ctl', '-D', data, '-m', 'immediate', '-w', 'stop'], **run)
    shutil.rmtree(folder)


def began(tmp_path, start, write, url, workers, study, total):
    """Run a study by so many workers; its trials, and the seconds from the first one's begin to the last one's end."""
    file = write(f'sweep["max_trials"] = {total}')
    started = [start(file, '--storage', url, '--study', study, out=f'{study}_{i}') for i in range(workers)]
    for worker in started:
        worker.join(120)
        assert worker.exitcode == 0, worker.said()
    trials = optuna.load_study(study_name=study, storage=url.replace('://', '+psycopg://')).trials
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    seconds = max(trial.datetime_complete for trial in done) - min(trial.datetime_start for trial in done)
    return trials, seconds.total_seconds()


def test_two_workers_share_a_study_on_postgresql(postgres, start, write, tmp_path, monkeypatch):
    monkeypatch.setenv('TOY_STEP_S', os.environ.get('TOY_STEP_S', '0.35'))
    total = 8
    _, alone_s = began(tmp_path, start, write, postgres, 1, 'alone', total)
    trials, shared_s = began(tmp_path, start, write, postgres, 2, 'shared', total)
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert len(done) == total
    assert [trial for trial in trials if trial not in done and trial.params] == []
    assert len({tuple(trial.params.values()) for trial in done}) == total
    folders = [Path(trial.user_attrs['folder']) for trial in done]
    assert {folder.parent.name for folder in folders} == {'shared_0', 'shared_1'}
    assert all(diary(folder) == [1, 2, 3, 4, 5, 6] for folder in folders)
    ran = list(tmp_path.glob('shared_*/trial_*/diary'))
    assert len(ran) == total
    print(f'throughput of two workers: {alone_s / shared_s:.2f} times that of one ({alone_s:.1f} s, {shared_s:.1f} s)')

"""Where the study lies: SQLite on a local disk for one machine, a database server for many."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from sweep.errors import StorageFailure, SweepError

# SQLite's locks do not hold on these, and Optuna rules them out.
NETWORK = re.compile(r'(nfs\d?|cifs|smb\w*|lustre|beegfs\w*|ceph|gpfs|glusterfs|afs|ncpfs|fuse\.(?!fuse-overlayfs).+)')
MOUNTS = Path('/proc/self/mountinfo')
SERVERS = {'postgresql': 'postgresql+psycopg', 'mysql': 'mysql+pymysql'}
CURE = 'use --storage postgresql://USER:PASSWORD@HOST/DATABASE, or put the study on a local disk with --work-dir'
WAIT_S = 60  # for a lock of SQLite that another worker holds


def open_storage(url: str | None, folder: Path, heartbeat_s: int, mounts: Path = MOUNTS) -> RDBStorage:
    """Open the storage.

    Args:
        url: As SQLAlchemy takes it; None for `study.db` in the folder.
        folder: Of the study.
        heartbeat_s: Between two signs of life of a trial; three missed ones mean that it is dead.
        mounts: The system's table of file systems.

    Raises:
        SweepError: If the URL is none, or SQLite would lie on a network file system.
        StorageFailure: If the server cannot be reached.
    """
    address = _address(url or f'sqlite:///{folder / "study.db"}')
    options: dict = {'pool_pre_ping': True}
    if address.drivername == 'sqlite':
        _require_local(Path(address.database or ''), mounts)
        options = {'connect_args': {'timeout': WAIT_S}}
    elif address.drivername.startswith('postgresql'):
        options['connect_args'] = {'connect_timeout': 10}
    shown = address.render_as_string(hide_password=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', optuna.exceptions.ExperimentalWarning)
            return RDBStorage(
                address.render_as_string(hide_password=False), options,
                heartbeat_interval=heartbeat_s, grace_period=3 * heartbeat_s,
            )  # fmt: skip
    except ImportError as error:
        raise SweepError(
            f'--storage {shown} needs a driver: pip install -r requirements/sweep.txt ({error}).'
        ) from error
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError) as error:
        raise StorageFailure(f'the storage {shown} cannot be opened: {said(error)}') from error


@contextmanager
def answering(storage: RDBStorage) -> Iterator[None]:
    """Call it the storage's failure when it does not answer in the block.

    Raises:
        StorageFailure: In place of what the database's driver raises.
    """
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        shown = make_url(storage.url).render_as_string(hide_password=True)
        raise StorageFailure(f'the storage {shown} does not answer: {said(error)}') from error


def said(error: Exception) -> str:
    """What a database's driver says, in one line."""
    cause = getattr(error, 'orig', None) or (error.__cause__ and getattr(error.__cause__, 'orig', None)) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f'{lines[0] if lines else type(cause).__name__}'[:300]


def network_mount(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The kind of network file system that a path lies on; None for a local one.

    Args:
        path: Which need not exist yet.
        mounts: The system's table of file systems, see proc(5), mountinfo.
    """
    path = path.resolve()
    best, kind = -1, ''
    for line in mounts.read_text(encoding='utf-8', errors='replace').splitlines() if mounts.is_file() else ():
        before, _, after = line.partition(' - ')
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = Path(re.sub(r'\\(\d{3})', lambda found: chr(int(found[1], 8)), fields[4]))
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split()[0]
    return kind if NETWORK.fullmatch(kind) else None


def _address(url: str):
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise SweepError(
            f"--storage must be an address such as postgresql://USER@HOST/DATABASE or sqlite:///FILE; got '{url}'."
        ) from error
    if address.drivername.split('+')[0] not in ('sqlite', *SERVERS):
        raise SweepError(f'--storage must be sqlite, postgresql or mysql; got {address.drivername}.')
    return address.set(drivername=SERVERS.get(address.drivername, address.drivername))


def _require_local(file: Path, mounts: Path) -> None:
    kind = network_mount(file, mounts)
    if kind:
        raise SweepError(f'{file} lies on {kind}, where SQLite loses trials: {CURE}.')
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFailure(f'the folder {file.parent} of the study cannot be made: {error}.') from error

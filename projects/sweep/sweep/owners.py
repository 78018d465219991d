"""Who works on a trial: a process of a machine, named so that another one can tell whether it still lives."""

import os
import secrets
import socket
from pathlib import Path

BOOT_ID = Path('/proc/sys/kernel/random/boot_id')


def this_host() -> str:
    """This machine since its last start."""
    boot = BOOT_ID.read_text().strip() if BOOT_ID.is_file() else ''
    return f'{socket.gethostname()}/{boot[:8]}'


def new_owner() -> str:
    """A name for this process: machine, process id, when the process began, and a word that is its own."""
    return f'{this_host()}:{os.getpid()}:{_began(os.getpid())}:{secrets.token_hex(4)}'


def on_this_host(owner: str) -> bool:
    """Whether an owner is, or was, a process of this machine."""
    return owner.rsplit(':', 3)[0] == this_host()


def alive(owner: str) -> bool:
    """Whether an owner of this machine still lives; a process id is not enough, they are given anew."""
    _, pid, began, _ = owner.rsplit(':', 3)
    return _began(int(pid)) == began != '0'


def _began(pid: int) -> str:
    """When a process began, in clock ticks since the machine did; '0' where there is none, or a dead one's rest."""
    try:
        fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    except OSError:
        return '0'
    return '0' if fields[0] in 'ZX' else fields[19]

"""The processes of one command: which share is whose, and waiting for each other. They talk on the CPU, seldom."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch

from data_prep.errors import DataError

PATIENCE = timedelta(days=30)  # one process may have much more to do than another
Item = TypeVar('Item')


@dataclass(frozen=True)
class Group:
    """One process among `world`."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process joins, writes and speaks."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.world > 1:
            torch.distributed.barrier()

    def hear(self, item: Item | None) -> Item:
        """Give every process what the leading one has."""
        if self.world == 1:
            return item
        heard = [item]
        torch.distributed.broadcast_object_list(heard)
        return heard[0]


def join_group(launcher: str) -> Group:
    """Join the other processes that the launcher started.

    Args:
        launcher: 'none' or 'pytorch' (torchrun).

    Raises:
        DataError: If this process was not started by torchrun.
    """
    if launcher == 'none':
        return Group()
    if 'RANK' not in os.environ:
        raise DataError('--launcher pytorch needs torchrun: torchrun --nproc-per-node N tools/predict.py ... '
                        '--launcher pytorch')  # fmt: skip
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo', timeout=PATIENCE)
    return Group(torch.distributed.get_rank(), torch.distributed.get_world_size())


def own_device(device: str | None, group: Group) -> str | None:
    """The GPU of a process, one each where there are several; None leaves the choice open."""
    if group.world > 1 and device in (None, 'cuda') and torch.cuda.is_available():
        return f'cuda:{int(os.environ.get("LOCAL_RANK", group.rank)) % torch.cuda.device_count()}'
    return device

"""What a run on the CPU needs that MMEngine does not do: memory that is kept, and a process group without CUDA.

The third thing has to be done before torch is imported, so the tools do it first of all: OMP_WAIT_POLICY=PASSIVE.
By default OpenMP's threads wait for each other by spinning. With one core fewer than threads, because something else
runs too, each of the thousands of barriers in a training step then costs a time slice: two processes on two cores were
five to ten times slower, not two. Waiting passively cost nothing measurable on an idle machine.
"""

import ctypes
import os
import platform
from datetime import timedelta

import torch
from mmengine.config import Config

# mallopt's parameter numbers, from glibc's malloc.h. It takes C ints, so "never" is the largest of them.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
NEVER = 2**31 - 1


def keep_freed_memory() -> str | None:
    """Tell glibc to keep freed memory for the next step instead of giving it back to the kernel.

    A training step allocates and frees the same gigabytes every time. By default each large block is mapped from the
    kernel, zeroed page by page at the first touch, and unmapped again; where page faults are slow most of a step is
    spent there. The process keeps its peak memory until it ends. Nothing is done on a CUDA run or outside glibc.

    Returns:
        A line for the log, or None when nothing was changed.
    """
    if torch.cuda.is_available() or platform.libc_ver()[0] != 'glibc':
        return None
    if 'MALLOC_TRIM_THRESHOLD_' in os.environ:
        return 'CPU run: freed memory is handled as the MALLOC_* variables of the environment say.'
    libc = ctypes.CDLL(None)
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, NEVER), (M_TOP_PAD, 256 * 2**20))
    if not all(libc.mallopt(parameter, value) for parameter, value in settings):
        return None
    return 'CPU run: freed memory is kept for the next step (mallopt), which saves page faults.'


def join_gloo_group(cfg: Config) -> str | None:
    """Start the process group of a distributed run without CUDA, and tell MMEngine to wrap the model for it.

    MMEngine's own launcher selects a CUDA device before it starts the group, and wraps the model with a CUDA device
    number. It leaves alone a group that is there already, and follows `model_wrapper_cfg`.

    Returns:
        A line for the log, or None when this is not a distributed run on the CPU.
    """
    if cfg.get('launcher', 'none') != 'pytorch' or torch.cuda.is_available():
        return None
    timeout = timedelta(seconds=cfg.env_cfg.get('dist_cfg', {}).get('timeout', 1800))
    torch.distributed.init_process_group(backend='gloo', timeout=timeout)
    cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None)
    return f'CPU run: {torch.distributed.get_world_size()} processes talk through gloo.'

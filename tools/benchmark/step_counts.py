"""Counts for train_step.py: kernels, transfers to the host and live memory of the phases of a training step."""

import warnings
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fallen_trees.checks.recipe.live_bytes import LiveBytes

PHASES = ('forward', 'criterion', 'backward', 'optimizer')
# They need a value or a size on the host, and so does indexing with booleans.
TO_HOST = ('_local_scalar_dense', 'nonzero', 'masked_select')


class _Counter(TorchDispatchMode):
    """Counts operations that compute, and those whose result the host waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = self.syncs = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: D102, ANN
        name = func.overloadpacket.__name__
        self.kernels += not (func.is_view or name in ('detach', '_unsafe_view', 'empty', 'empty_like', 'new_empty'))
        by_mask = name == 'index' and any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
        self.syncs += name in TO_HOST or by_mask
        return func(*args, **(kwargs or {}))


def counts_of(phases: tuple[Callable, ...], device: str) -> dict[str, int]:
    """Run one step for the counts and one for the memory.

    Returns:
        `kernels`, `syncs`, and `mib_` of each phase.
    """
    counter, value = _Counter(), None
    with counter, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        if device == 'cuda':
            torch.cuda.set_sync_debug_mode('warn')
        for phase in phases:
            value = phase(value)
        if device == 'cuda':
            torch.cuda.set_sync_debug_mode('default')
    waits = sum('synchroniz' in str(warning.message) for warning in said)
    return dict(kernels=counter.kernels, syncs=waits if device == 'cuda' else counter.syncs) | _memory(phases, device)


def _memory(phases: tuple[Callable, ...], device: str) -> dict[str, int]:
    found, value = {}, None
    live = LiveBytes()
    with live:
        for name, phase in zip(PHASES, phases, strict=True):
            if device == 'cuda':
                torch.cuda.reset_peak_memory_stats()
            value = phase(value)
            peak = torch.cuda.max_memory_allocated() if device == 'cuda' else live.mark()
            found[f'mib_{name}'] = round(peak / 2**20)
    return found

"""How many bytes of tensors live at once: the peak of a piece of code, counted at every operation."""

import weakref
from collections.abc import Iterable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveBytes(TorchDispatchMode):
    """Counts the storages that operations make, from their birth to their end, autograd's saved ones included.

    Memory that an operation takes and returns inside itself (a convolution's workspace) is not seen, nor what an
    allocator holds back or rounds up.

    Args:
        held: Tensors that live already, such as a model's weights.

    Attributes:
        live: Bytes alive now.
        peak: Most bytes alive at once since the beginning or the last `mark`.
    """

    def __init__(self, held: Iterable[torch.Tensor] = ()):
        super().__init__()
        self.live = self.peak = 0
        self._known: dict[int, weakref.ref] = {}
        for tensor in held:
            self._see(tensor)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: D102, ANN
        out = func(*args, **(kwargs or {}))
        for item in tree_iter(out):
            if isinstance(item, torch.Tensor):
                self._see(item)
        return out

    def mark(self) -> int:
        """End a phase: its peak; the next one begins at what lives now."""
        peak, self.peak = self.peak, self.live
        return peak

    def _see(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        # Views and in-place results share a storage, which is one Python object as long as it lives.
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known[key] = weakref.ref(storage, lambda _: self._forget(key, size))
        self.live += size
        self.peak = max(self.peak, self.live)

    def _forget(self, key: int, size: int) -> None:
        if self._known.pop(key, None) is not None:
            self.live -= size

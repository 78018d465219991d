"""Checkpoints of plain types only, so that reading one can run nobody's code.

MMEngine keeps its logs as objects of its own, which `torch.load(..., weights_only=True)` refuses. Here they become
dicts of tensors on the way out and objects again on the way in.
"""

from collections.abc import Mapping

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

HISTORY = '__history_buffer__'


def to_plain(value: object, where: str = 'checkpoint') -> object:
    """Turn a nested state into dicts, lists, tuples, tensors, numbers, strings and None.

    Raises:
        TypeError: If something has no plain form; the message says where it lies.
    """
    if value is None or isinstance(value, bool | str | bytes | torch.Tensor) or type(value) in (int, float):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, HistoryBuffer):
        logs, counts = (torch.as_tensor(np.asarray(part, dtype=np.float64)) for part in value.data)
        return {HISTORY: True, 'logs': logs, 'counts': counts, 'max_length': value.max_length}
    if isinstance(value, Mapping):
        return {to_plain(key, where): to_plain(item, f'{where}.{key}') for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = [to_plain(item, f'{where}[{n}]') for n, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, int | float):  # of a subclass
        return int(value) if isinstance(value, int) else float(value)
    raise TypeError(f'{where} holds a {type(value).__name__}, which has no plain form and would not be loaded again.')


def from_plain(value: object) -> object:
    """Undo `to_plain`; lists stay lists."""
    if isinstance(value, Mapping):
        if value.get(HISTORY):
            return HistoryBuffer(value['logs'].tolist(), value['counts'].tolist(), value['max_length'])
        return {key: from_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(from_plain(item) for item in value)
    return value

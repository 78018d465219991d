"""From the tensor names of another framework to ours, by a table of rules."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

# A rule fits a whole name. Its target may end in [q], [k] or [v]: three such tensors become one, stacked in this order.
Rule = tuple[str, str | Callable[[re.Match], str]]


@dataclass
class Renamed:
    """What a table of rules made of a checkpoint.

    Attributes:
        state_dict: Tensors by our names.
        needless: Source names that no model of ours has a place for: buffers that are computed, weights of losses.
        unknown: Source names that no rule knows.
    """

    state_dict: dict[str, Tensor] = field(default_factory=dict)
    needless: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def rename(tensors: Mapping[str, Tensor], rules: Sequence[Rule], needless: str) -> Renamed:
    """Give every tensor our name; the first rule that fits counts.

    Args:
        tensors: By source names.
        rules: Patterns and targets.
        needless: Pattern of the names that have no use here.

    Returns:
        The tensors by our names, q, k and v stacked, and the names that were left.
    """
    result, parts = Renamed(), {}
    for name, tensor in tensors.items():
        if re.fullmatch(needless, name):
            result.needless.append(name)
            continue
        target = _target(name, rules)
        if target is None:
            result.unknown.append(name)
        elif target[-3:] in ('[q]', '[k]', '[v]'):
            parts.setdefault(target[:-3], {})[target[-2]] = (name, tensor)
        else:
            result.state_dict[target] = tensor
    for target, found in parts.items():
        if set(found) == set('qkv'):
            result.state_dict[target] = torch.cat([found[part][1] for part in 'qkv'])
        else:
            result.unknown += [name for name, _ in found.values()]
    return result


def _target(name: str, rules: Sequence[Rule]) -> str | None:
    for pattern, target in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return target(match) if callable(target) else match.expand(target)
    return None


def unfold_order(state_dict: dict[str, Tensor]) -> None:
    """Turn Swin's patch merging, in place, to the order in which MMDetection gathers the four pixels of a patch.

    Swin stacks them as (0, 0), (1, 0), (0, 1), (1, 1) (row, column), each with all its channels; MMDetection unfolds:
    for each channel (0, 0), (0, 1), (1, 0), (1, 1). The last dimension of the norm and of the reduction follows.
    """
    for name, tensor in state_dict.items():
        if re.fullmatch(r'backbone\.stages\.\d+\.downsample\.(norm|reduction)\.\w+', name):
            pixels = tensor.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
            state_dict[name] = pixels.transpose(-1, -2).flatten(-2).contiguous()

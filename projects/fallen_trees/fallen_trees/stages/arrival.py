"""Weights handed from one stage to the next: written, seen to arrive, and what is frozen seen to stay."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from data_prep.atomic import atomic_path
from fallen_trees.errors import ConfigError
from fallen_trees.resume.checkpoint_file import sha256
from fallen_trees.start_weights import read_checkpoint
from fallen_trees.weights.backbones import BACKBONE, read_backbone

SHOWN = 3  # names in a line


@HOOKS.register_module()
class ArrivalHook(Hook):
    """Hold the model that begins a run against the weights it was handed, tensor for tensor.

    A tensor that was made to fit (another number of queries or classes) is named; one of the same shape that differs
    ends the run, as does a part that is not there whole.

    Args:
        file: Of `hand_over`.
        whole: Parts of the model (`backbone`) that must come from the file to the last tensor.

    Raises:
        ConfigError: Before the first step, if weights did not arrive.
    """

    # After weights are loaded, and before any hook of training may change them.
    priority = 'VERY_HIGH'

    def __init__(self, file: str, whole: Sequence[str] = ()) -> None:
        self.file, self.whole = file, tuple(whole)

    def before_train(self, runner: Runner) -> None:
        """Compare, in a run that begins; one that is resumed has its own weights."""
        if runner._resume or runner.iter > 0:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
        runner.logger.info(arrived(state, read_checkpoint(self.file)['state_dict'], self.whole, self.file))


def arrived(model: Mapping[str, Tensor], handed: Mapping[str, Tensor], whole: Sequence[str], file: str) -> str:
    """Compare what a model has with what it was handed.

    Args:
        model: All its tensors.
        handed: Those of the file.
        whole: Parts that must be in the file to the last tensor.
        file: Name of the file.

    Returns:
        A line for the log.

    Raises:
        ConfigError: If a tensor differs, or a part is not whole.
    """
    equal = [name for name, tensor in handed.items() if name in model and torch.equal(model[name], tensor)]
    fitted = [name for name, tensor in handed.items() if name in model and model[name].shape != tensor.shape]
    lost = [name for name in handed if name not in model]
    wrong = sorted(set(handed) - {*equal, *fitted, *lost})
    for part in whole:
        wrong += [name for name in model if name.startswith(f'{part}.') and name not in equal]
    if wrong or not equal:
        raise ConfigError(
            f'{file}: {len(wrong) or len(handed)} tensors did not arrive as they were handed over: '
            f'{_some(wrong or list(handed))}. Is the model that of the stage before?'
        )
    made = f'; made to fit: {_some(fitted)}' if fitted else ''
    unused = f'; without a place here: {_some(lost)}' if lost else ''
    return f'Handed over: {len(equal)} of {len(handed)} tensors of {file} arrived to the bit{made}{unused}.'


def hand_over(source: Path, parts: Sequence[str], out: Path) -> str:
    """Write the weights that a stage starts from.

    Args:
        source: A checkpoint of ours, or of another framework, of which the backbone alone is taken.
        parts: Of the model; none means all of it.
        out: File to write.

    Returns:
        SHA-256 of the source.

    Raises:
        ConfigError: If the source cannot be read, or holds nothing of a part.
    """
    found = _tensors(source, parts)
    for part in parts:
        if not any(name.startswith(f'{part}.') for name in found):
            raise ConfigError(f'{source} must hold the weights of {part}; it holds {_some(list(found))}.')
    kept = {
        name: tensor.clone()
        for name, tensor in found.items()
        if not parts or name.startswith(tuple(f'{p}.' for p in parts))
    }
    digest = sha256(source)
    meta = dict(handed_over=dict(file=str(source), sha256=digest, parts=list(parts)))
    if not parts:  # whose classifier is whose row: other classes are made to fit by their names
        meta['dataset_meta'] = read_checkpoint(source)['meta'].get('dataset_meta', {})
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as temporary:
        torch.save(dict(meta=meta, state_dict=kept), temporary)
    return digest


def _tensors(source: Path, parts: Sequence[str]) -> dict[str, Tensor]:
    if tuple(parts) == (BACKBONE,):
        return read_backbone(source)
    return dict(read_checkpoint(source)['state_dict'])


def moved(before: Path, after: Path, parts: Sequence[str]) -> tuple[int, list[str]]:
    """Compare frozen parts in the weights of a stage's start and in one of its checkpoints.

    Returns:
        Number of tensors of the parts, and names of those that differ.
    """
    if not parts:
        return 0, []
    start, end = (read_checkpoint(path)['state_dict'] for path in (before, after))
    names = [name for name in end if name.startswith(tuple(f'{part}.' for part in parts))]
    return len(names), [name for name in names if name not in start or not torch.equal(start[name], end[name])]


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:SHOWN]) + (f' and {len(names) - SHOWN} more' if len(names) > SHOWN else '')

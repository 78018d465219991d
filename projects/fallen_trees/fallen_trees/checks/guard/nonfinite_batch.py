"""The batch whose loss was not a number, written out for a look."""

from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.runner import Runner

from data_prep.atomic import atomic_path

KEPT = 3  # files of one run
META = ('img_path', 'img_id', 'img_shape', 'ori_shape', 'scale_factor', 'flip')


def write_batch(runner: Runner, data_batch: object, outputs: Mapping | None) -> str:
    """Write a batch as `nonfinite_iter_N.pth` into the work dir, in plain types.

    `torch.load` reads it: `iter`, `losses` (name -> value), `inputs` (list of C x H x W tensors) and `samples`, for
    each tile where it comes from and its `bboxes` (N x 4, xyxy), `labels` (N) and `masks` (N x H x W).

    Returns:
        What was done, for the log. A disk that is full is no reason to end the run.
    """
    rank = f'_rank_{get_rank()}' if get_rank() else ''
    path = Path(runner.work_dir, f'nonfinite_iter_{runner.iter + 1}{rank}.pth')
    if len(list(path.parent.glob('nonfinite_iter_*.pth'))) >= KEPT:
        return f'{path.parent} holds {KEPT} such batches already'
    content = dict(iter=runner.iter + 1, losses=_numbers(outputs), inputs=[], samples=[])
    if isinstance(data_batch, Mapping):
        inputs = data_batch.get('inputs')
        content['inputs'] = [item.cpu() for item in inputs] if isinstance(inputs, list | torch.Tensor) else []
        content['samples'] = [_plain(sample) for sample in data_batch.get('data_samples') or ()]
    try:
        with atomic_path(path) as temporary:
            torch.save(content, temporary)
    except (OSError, RuntimeError) as error:  # torch raises both on a full disk
        return f'its batch could not be written to {path} ({" ".join(str(error).split())[:120]})'
    return f'its batch is in {path}'


def _numbers(outputs: Mapping | None) -> dict[str, list[float]]:
    return {
        str(name): torch.as_tensor(value).detach().flatten().double().cpu().tolist()
        for name, value in (outputs or {}).items()
        if isinstance(value, torch.Tensor | int | float)
    }


def _plain(sample: object) -> dict:
    found = {name: _leaf(sample.metainfo[name]) for name in META if name in sample.metainfo}
    truth = sample.get('gt_instances')
    for name in ('bboxes', 'labels', 'masks') if truth is not None else ():
        if name in truth:
            value = getattr(truth[name], 'tensor', truth[name])  # boxes
            value = torch.from_numpy(value.masks) if hasattr(value, 'masks') else value
            found[name] = value.cpu() if isinstance(value, torch.Tensor) else None
    return found


def _leaf(value: object) -> object:
    return (
        tuple(map(_leaf, value)) if isinstance(value, tuple | list) else value if isinstance(value, int) else str(value)
    )

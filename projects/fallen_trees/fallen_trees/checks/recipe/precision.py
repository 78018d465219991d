"""Whether half precision can carry the losses of the model."""

from collections.abc import Iterator

import torch

from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.subject import Subject

LARGEST_HALF = 65504
STOCK_HEADS = ('Mask2FormerHead', 'MaskFormerHead')


def amp(subject: Subject) -> Iterator[Finding]:
    """Check mixed precision: `amp`.

    MMDetection's mask cost adds up the errors of `num_points` points before it divides by them. In float16 the sum
    overflows at a mean error of 65504 / points, 5.2 for 12,544, and the matcher then ends the run. bfloat16 has
    float32's range, and our own head matches in float32.
    """
    name, wrapper, model = 'amp', subject.cfg.optim_wrapper, subject.cfg.model
    if wrapper.get('type') == 'BFloat16OptimWrapper':
        yield Finding(name, Verdict.OK, 'mixed precision in bfloat16.')
        return
    if wrapper.get('type') != 'AmpOptimWrapper':
        yield Finding(name, Verdict.OK, 'float32 throughout.')
        return
    half = wrapper.get('dtype') in (None, 'float16', torch.float16)
    points = (model.get('train_cfg') or {}).get('num_points')
    where = '' if torch.cuda.is_available() else ' It needs a GPU, and this machine has none.'
    stock = (model.get('panoptic_head') or {}).get('type') in STOCK_HEADS
    if half and points and stock:
        limit = LARGEST_HALF / points
        message = (
            f'in float16 the mask cost overflows at a mean error of {limit:.1f} over {points} points, and the matcher '
            f"ends the run; use Float32Mask2FormerHead, or set optim_wrapper.dtype='bfloat16'.{where}"
        )
        yield Finding(name, Verdict.WARNING, message, dict(overflow_at=round(limit, 2)))
    else:
        yield Finding(name, Verdict.OK, f'mixed precision in {"float16" if half else wrapper.dtype}.{where}')

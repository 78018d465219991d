"""Multi-scale deformable attention as a function: fused on the CPU, mmcv's operator on CUDA, else mmcv's plain one."""

from functools import cache

import torch
from mmcv.ops import multi_scale_deform_attn as mmcv_attention
from torch import Tensor

from fallen_trees.ops.build import operators_available


def ms_deform_attn(
    value: Tensor, spatial_shapes: Tensor, level_start_index: Tensor, locations: Tensor, weights: Tensor
) -> Tensor:
    """Sum, for every query and head, the values at its sampling points, bilinear, times their attention weights.

    Outside of a level, values are 0. Half precision is computed in float32: a location rounded to bfloat16 is off by a
    quarter of a pixel on a level of 128 px. Where a location lies exactly on the line between two pixel centres, its
    gradient is that towards the right and below; mmcv's plain path may take either side there. There is no second
    derivative.

    Args:
        value: (batch, keys, heads, channels), the pixels of all levels, row by row.
        spatial_shapes: (levels, 2) int64, height and width of each; on the device of `value`.
        level_start_index: (levels,) int64, keys before each level.
        locations: (batch, queries, heads, levels, points, 2), x and y, 0 to 1 over a level's outer edges.
        weights: (batch, queries, heads, levels, points).

    Returns:
        (batch, queries, heads * channels), the type of `value`.
    """
    dtype = torch.float64 if value.dtype == torch.float64 else torch.float32
    inputs = value.to(dtype), locations.to(dtype), weights.to(dtype)
    if value.is_cuda and mmcv_attention.IS_CUDA_AVAILABLE:
        output = _on_cuda(*inputs, spatial_shapes, level_start_index)
    elif value.device.type == 'cpu' and fused_available():
        output = torch.ops.fallen_trees.ms_deform_attn(inputs[0], spatial_shapes, *inputs[1:])
    else:
        output = mmcv_attention.multi_scale_deformable_attn_pytorch(inputs[0], spatial_shapes, *inputs[1:])
    return output.to(value.dtype)


@torch.compiler.assume_constant_result
def fused_available() -> bool:
    """Whether the CPU has its fused operator; the first call loads it, or compiles it."""
    return _registered()


@cache
def _registered() -> bool:
    if not operators_available():
        return False
    torch.library.register_fake('fallen_trees::ms_deform_attn', _fake)
    torch.library.register_fake('fallen_trees::ms_deform_attn_backward', _fake_backward)
    torch.library.register_autograd('fallen_trees::ms_deform_attn', _backward, setup_context=_save)
    return True


def _on_cuda(value: Tensor, locations: Tensor, weights: Tensor, shapes: Tensor, starts: Tensor) -> Tensor:
    step = max(step for step in range(1, 65) if len(value) % step == 0)  # images at once; it must divide the batch
    return mmcv_attention.MultiScaleDeformableAttnFunction.apply(value, shapes, starts, locations, weights, step)


def _fake(value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    return value.new_empty(value.shape[0], locations.shape[1], value.shape[2] * value.shape[3])


def _fake_backward(grad: Tensor, value: Tensor, shapes: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in (value, *others))


def _save(ctx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    grad_value, *others = torch.ops.fallen_trees.ms_deform_attn_backward(grad, *ctx.saved_tensors)
    return grad_value, None, *others

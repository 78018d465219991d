"""What does multi-scale deformable attention cost on the CPU? mmcv's operator, its grid_sample path, and ours.

    python tools/benchmark/msda.py            # images of 256, 512 and 1024 px in three types, 1 thread and 2
    python tools/benchmark/msda.py --quick    # 512 px, float32, 1 thread: under a minute

One image, 8 heads of 32 channels, levels of 1/32, 1/16 and 1/8 of its side, 4 points on each; as many queries as there
are pixels in all levels, sampling around their own place with a spread of two pixels. `mmcv` is its operator as
installed, fed tensors on the CPU; up to mmcv 2.3 it is for CUDA only. The arms take turns in one process, which keeps
freed memory, and run once before they are timed. Medians of CPU milliseconds and of elapsed ones, for the forward pass
and for forward and backward; and the largest error of the output and of the worst gradient against float64, relative to
the largest number there. bfloat16 is the type of the values; locations and weights stay float32.

The last line is one line of JSON: `cpu_fwd` and `cpu_fwd_bwd` are how often the time of ours fits into that of
grid_sample, at 512 px in float32 with 1 thread.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable

import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction, multi_scale_deformable_attn_pytorch

from fallen_trees.cpu import keep_freed_memory
from fallen_trees.ops.deform_attn import fused_available, ms_deform_attn

HEADS, CHANNELS, POINTS, STRIDES, SPREAD_PX = 8, 32, 4, (32, 16, 8), 2
DTYPES = {'float32': torch.float32, 'float64': torch.float64, 'bfloat16': torch.bfloat16}
Inputs = tuple[torch.Tensor, ...]


def mmcv(value: torch.Tensor, shapes: torch.Tensor, starts: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """Call the compiled operator of mmcv."""
    return MultiScaleDeformableAttnFunction.apply(value, shapes, starts, *others, 64)


def grid_sample(value: torch.Tensor, shapes: torch.Tensor, starts: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """Call the plain path of mmcv."""
    return multi_scale_deformable_attn_pytorch(value, shapes, *(other.to(value.dtype) for other in others))


ARMS = dict(mmcv=mmcv, grid_sample=grid_sample, ours=ms_deform_attn)


def main() -> None:
    """Measure all arms and print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='512 px, float32, 1 thread')
    parser.add_argument('--repeats', type=int, default=15, help='of each measurement')
    args = parser.parse_args()
    keep_freed_memory()
    if not fused_available():
        raise SystemExit('msda: nothing to compare, our operator is not there; see the line above.')
    sizes, dtypes, threads = ([512], ['float32'], [1]) if args.quick else ([256, 512, 1024], list(DTYPES), [1, 2])
    rows = {}
    for size in sizes:
        errors = {name: errors_of(size, name) for name in dtypes}
        for name in dtypes:
            for count in threads:
                torch.set_num_threads(count)
                row = measure(make_inputs(size, DTYPES[name]), args.repeats)
                for arm, found in row.items():
                    found.update(errors[name][arm]) if found else None
                    print_row(f'{size:5} px {name:9} {count} thr {arm:12}', found)
                rows[f'{size}_{name}_{count}'] = row
    print(json.dumps(ratios(rows['512_float32_1']) | dict(rows=rows)))


def print_row(head: str, found: dict[str, float] | None) -> None:
    """One line of the table; an arm that cannot run says so."""
    cells = [
        f'  {key} ' + ('  not finite' if value is None else f'{value:9.3g}') for key, value in (found or {}).items()
    ]
    print(head + (''.join(cells) or '  cannot run'))


def ratios(row: dict[str, dict[str, float] | None]) -> dict[str, float]:
    """What grid_sample takes by what ours takes."""
    return {
        key: round(row['grid_sample'][measured] / row['ours'][measured], 2)
        for key, measured in (('cpu_fwd', 'fwd_cpu_ms'), ('cpu_fwd_bwd', 'both_cpu_ms'))
    }


def make_inputs(size: int, dtype: torch.dtype) -> Inputs:
    """Value, shapes, starts, locations and weights, the same each time; half precision is that of the values alone."""
    draw = torch.Generator().manual_seed(0)
    shapes = torch.tensor([(size // stride, size // stride) for stride in STRIDES])
    keys = shapes.prod(1)
    value = torch.randn(1, int(keys.sum()), HEADS, CHANNELS, generator=draw)
    centres = [
        torch.stack(torch.meshgrid(*((torch.arange(n) + 0.5) / n for n in (h, w)), indexing='ij')[::-1], -1).view(-1, 2)
        for h, w in shapes.tolist()
    ]
    offsets = SPREAD_PX * torch.randn(1, int(keys.sum()), HEADS, len(STRIDES), POINTS, 2, generator=draw)
    locations = torch.cat(centres)[None, :, None, None, None] + offsets / shapes.flip(1)[:, None]
    weights = torch.randn(locations.shape[:-1], generator=draw).flatten(3).softmax(-1).view(locations.shape[:-1])
    exact = torch.promote_types(dtype, torch.float32)
    tensors = value.to(dtype), locations.to(exact), weights.to(exact)
    value, locations, weights = (tensor.requires_grad_() for tensor in tensors)
    return value, shapes, keys.cumsum(0) - keys, locations, weights


def run(arm: Callable, inputs: Inputs, backward: bool) -> Inputs:
    """Output and, if wanted, the gradients of values, locations and weights."""
    if not backward:
        with torch.no_grad():
            return (arm(*inputs),)
    output = arm(*inputs)
    grad = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output)
    return output.detach(), *torch.autograd.grad(output, (inputs[0], *inputs[3:]), grad)


def runs(arm: Callable, inputs: Inputs) -> bool:
    """Whether an arm works here at all; the first run of those that do."""
    try:
        run(arm, inputs, backward=True)
    except (RuntimeError, NotImplementedError):
        return False
    return True


def measure(inputs: Inputs, repeats: int) -> dict[str, dict[str, float] | None]:
    """Medians of all arms."""
    able = [name for name, arm in ARMS.items() if runs(arm, inputs)]
    seconds = {(name, backward): [] for name in able for backward in (False, True)}
    for _ in range(repeats):
        for (name, backward), measured in seconds.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run(ARMS[name], inputs, backward)
            measured.append((time.process_time() - cpu, time.perf_counter() - wall))
    result = dict.fromkeys(ARMS)
    for name in able:
        columns = {what: list(zip(*seconds[name, what == 'both'], strict=True)) for what in ('fwd', 'both')}
        result[name] = {
            f'{what}_{clock}_ms': round(1e3 * statistics.median(column), 3)
            for what, pair in columns.items()
            for clock, column in zip(('cpu', 'wall'), pair, strict=True)
        }
    return result


def errors_of(size: int, dtype: str) -> dict[str, dict[str, float]]:
    """Of each arm against grid_sample in float64, fed the same numbers; that one is the measure and has none itself."""
    inputs = make_inputs(size, DTYPES[dtype])
    exact = tuple(t if t.dtype == torch.long else t.detach().double().requires_grad_() for t in inputs)
    truth = run(grid_sample, exact, backward=True)
    found = {}
    for name, arm in ARMS.items():
        if runs(arm, inputs):
            differences = [
                float((one.double() - other).abs().max() / other.abs().max())
                for one, other in zip(run(arm, inputs, backward=True), truth, strict=True)
            ]
            pair = dict(error=differences[0], grad_error=max(differences[1:]))
            found[name] = {key: value if math.isfinite(value) else None for key, value in pair.items()}
    return found


if __name__ == '__main__':
    main()

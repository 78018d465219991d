"""What `--amp` means: bfloat16, or float16 with a scaled loss where the card has no bfloat16; on the CPU too."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from fallen_trees.errors import ConfigError

REPLACED = ('OptimWrapper', 'AmpOptimWrapper', 'BFloat16OptimWrapper')


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """MMEngine's OptimWrapper, running the model under autocast to bfloat16, on a GPU or the CPU.

    bfloat16 has float32's range, so the loss needs no scaling: accumulation, clipping and the optimizer's state are
    those of a float32 run, and a checkpoint of one continues as the other. MMEngine's AmpOptimWrapper refuses to work
    without an accelerator and keeps a scaler for bfloat16 as well.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass inside: under autocast, and without gradient exchange in accumulating steps."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield


def amp_dtype(device: str | torch.device) -> torch.dtype:
    """Choose the half-precision type of a device.

    Args:
        device: 'cpu' or a CUDA device, with or without its number.

    Returns:
        bfloat16; float16 for a CUDA device that would only emulate bfloat16 (before Ampere).

    Raises:
        ConfigError: If the device is of another kind.
    """
    kind = torch.device(device).type
    if kind not in ('cpu', 'cuda'):
        raise ConfigError(f'--amp must run on a CUDA device or the CPU; this machine offers {kind}. Leave --amp away.')
    if kind == 'cuda' and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


def apply_amp(cfg: Config, device: str | torch.device | None = None) -> str:
    """Write into the config, in place, what runs its training in mixed precision.

    Args:
        cfg: A config with an `optim_wrapper`.
        device: What the run will use; by default what MMEngine will choose.

    Returns:
        A line for the log.

    Raises:
        ConfigError: If the device, the model or the config's own `optim_wrapper` knows no mixed precision.
    """
    dtype = amp_dtype(device or get_device())
    wrapper = cfg.optim_wrapper
    if dtype == torch.bfloat16 and 'rpn_head' in (cfg.get('model') or {}):
        raise ConfigError(
            f"--amp would train in bfloat16 here, which mmcv's NMS and RoIAlign of a {cfg.model.type} do not take. "
            'Leave --amp away.'
        )
    if wrapper.get('type', 'OptimWrapper') not in REPLACED:
        raise ConfigError(
            f'--amp must replace an OptimWrapper; optim_wrapper.type is {wrapper.type}. Leave --amp away, or change it.'
        )
    for key in ('dtype', 'loss_scale'):
        wrapper.pop(key, None)
    if dtype == torch.bfloat16:
        wrapper.type = 'BFloat16OptimWrapper'
        return '--amp: bfloat16; the loss is not scaled.'
    wrapper.update(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic')
    return '--amp: float16, as this card has no bfloat16; the loss is scaled.'

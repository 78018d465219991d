"""The model of a config as a run builds it, without fetching or drawing its start weights."""

import copy

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper


def build_model(cfg: Config) -> torch.nn.Module:
    """Build a model in training mode, which is when backbones freeze their stages; random numbers are not used up."""
    with torch.random.fork_rng(devices=[]):
        return MODELS.build(copy.deepcopy(cfg.model)).train()


def build_optimiser(cfg: Config, model: torch.nn.Module) -> OptimWrapper:
    """Build a config's optimiser with its groups of parameters; mixed precision, which needs a GPU, is left out."""
    node = copy.deepcopy(cfg.optim_wrapper)
    node.type = 'OptimWrapper'
    for key in ('loss_scale', 'dtype', 'use_fsdp'):
        node.pop(key, None)
    return build_optim_wrapper(model, node)

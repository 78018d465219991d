"""Randomness as a function of what it is for, instead of a state that would have to be saved.

    (seed, 'sample', epoch, index)    -> augmentation of one sample, in whichever worker
    (seed, 'iteration', rank, number) -> everything drawn while the model steps: points, dropout

A run that is resumed draws the same numbers as one that never stopped, with any number of workers, and nothing about it
stands in the checkpoint.
"""

import hashlib
import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


def mix(*parts: int | str) -> int:
    """Mix parts into a seed of 32 bits: other parts, another seed, on every machine and in every process."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=4).digest(), 'little')


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seed each training iteration from the run's seed, the rank and the iteration's number."""

    # Before anything of the iteration draws a number; the batch has been loaded by then.
    priority = 'VERY_HIGH'

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Seed this iteration."""
        seed_everything(mix(runner.seed, 'iteration', get_rank(), runner.iter))

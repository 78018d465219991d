"""Samplers that know where they are: a position is a number, and a run goes on from it without replaying the past."""

from collections.abc import Iterator

import torch
from mmdet.registry import DATA_SAMPLERS
from mmengine.dataset import DefaultSampler, InfiniteSampler


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(InfiniteSampler):
    """`InfiniteSampler` whose indices count on through the epochs, as `SeededDataset` wants them.

    Each epoch has a permutation of its own that follows from the seed and the epoch, so `skip` reaches any position
    without drawing what lies before it.
    """

    def _infinite_indices(self) -> Iterator[int]:
        return self._indices_from(0)

    def _indices_from(self, position: int) -> Iterator[int]:
        """Indices of all ranks, from a position in the endless stream on."""
        epoch, done = divmod(position, self.size)
        while True:
            order = shuffled(self.size, self.seed, epoch) if self.shuffle else range(self.size)
            yield from (epoch * self.size + index for index in order[done:])
            epoch, done = epoch + 1, 0

    def skip(self, num_samples: int) -> None:
        """Go on behind so many samples of this rank, counted from the very first."""
        stream = self._indices_from(num_samples * self.world_size)
        self.indices = (index for n, index in enumerate(stream) if n % self.world_size == self.rank)


@DATA_SAMPLERS.register_module()
class SeededEpochSampler(DefaultSampler):
    """`DefaultSampler` whose indices count on through the epochs, and that can begin inside one."""

    _skipped = 0

    def skip_once(self, num_samples: int) -> None:
        """Leave out so many samples of this rank, the next time only."""
        self._skipped = num_samples

    def __iter__(self) -> Iterator[int]:
        skipped, self._skipped = self._skipped, 0
        size = len(self.dataset)
        order = shuffled(size, self.seed, self.epoch) if self.shuffle else list(range(size))
        if self.round_up:
            order = (order * (self.total_size // size + 1))[: self.total_size]
        own = order[self.rank : self.total_size : self.world_size]
        return (self.epoch * size + index for index in own[skipped:])


def shuffled(size: int, seed: int, epoch: int) -> list[int]:
    """The order of one epoch."""
    generator = torch.Generator().manual_seed(seed + epoch)
    return torch.randperm(size, generator=generator).tolist()

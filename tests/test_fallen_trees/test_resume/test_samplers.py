from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallen_trees.resume.randomness import mix, seed_everything
from fallen_trees.resume.samplers import SeededEpochSampler, SeededInfiniteSampler, shuffled

sizes, seeds = st.integers(1, 50), st.integers(0, 2**31 - 1)


class OfRank(SeededInfiniteSampler):
    """Of one rank of several, without a process group."""

    def __init__(self, size, seed, rank, world_size):
        super().__init__(range(size), seed=seed)
        self.rank, self.world_size = rank, world_size
        self.indices = self._indices_of_rank()


@given(sizes, seeds, st.integers(0, 120))
def test_after_a_skip_the_stream_goes_on_as_if_nothing_had_been(size, seed, done):
    whole = list(islice(SeededInfiniteSampler(range(size), seed=seed), done + 30))
    resumed = SeededInfiniteSampler(range(size), seed=seed)
    resumed.skip(done)
    assert list(islice(resumed, 30)) == whole[done:]


@given(sizes, seeds, st.integers(1, 4), st.integers(0, 40))
def test_ranks_share_the_stream_out_and_skip_alike(size, seed, world_size, done):
    stream = list(islice(SeededInfiniteSampler(range(size), seed=seed), world_size * (done + 10)))
    for rank in range(world_size):
        sampler = OfRank(size, seed, rank, world_size)
        assert list(islice(sampler, 10)) == stream[rank : world_size * 10 : world_size]
        again = OfRank(size, seed, rank, world_size)
        again.skip(done)
        assert list(islice(again, 10)) == stream[world_size * done + rank :: world_size]


@given(st.integers(2, 50), seeds)
def test_every_epoch_holds_each_sample_once_in_an_order_of_its_own(size, seed):
    indices = list(islice(SeededInfiniteSampler(range(size), seed=seed), 2 * size))
    first, second = indices[:size], indices[size:]
    assert sorted(first) == list(range(size))
    assert sorted(second) == list(range(size, 2 * size))
    if size > 20:
        assert [index - size for index in second] != first


@given(sizes, seeds, st.integers(0, 5), st.data())
def test_an_epoch_can_be_entered_in_the_middle_once(size, seed, epoch, data):
    sampler = SeededEpochSampler(range(size), shuffle=True, seed=seed)
    sampler.set_epoch(epoch)
    whole = list(sampler)
    assert whole == [epoch * size + index for index in shuffled(size, seed, epoch)]
    done = data.draw(st.integers(0, size))
    sampler.skip_once(done)
    assert list(sampler) == whole[done:]
    assert list(sampler) == whole


def test_seeds_follow_from_their_parts_and_nothing_else():
    assert mix(0, 'sample', 1, 2) == mix(0, 'sample', 1, 2) < 2**32
    others = {mix(0, 'sample', 1, 2), mix(1, 'sample', 1, 2), mix(0, 'iteration', 1, 2), mix(0, 'sample', 12)}
    assert len(others) == 4


def test_all_three_generators_are_seeded():
    import random

    import numpy as np
    import torch

    def draw():
        return random.random(), np.random.rand(), float(torch.rand(()))

    seed_everything(7)
    first = draw()
    assert len(set(first)) == 3
    seed_everything(7)
    assert draw() == first
    seed_everything(8)
    assert not set(draw()) & set(first)


def test_without_shuffling_the_order_is_that_of_the_file():
    assert list(islice(SeededInfiniteSampler(range(3), shuffle=False, seed=0), 7)) == [0, 1, 2, 3, 4, 5, 6]
    assert list(SeededEpochSampler(range(3), shuffle=False)) == [0, 1, 2]


@pytest.mark.parametrize('world_size', [2, 3])
def test_an_epoch_of_several_ranks_is_rounded_up_as_mmengine_does(world_size):
    from mmengine.dataset import DefaultSampler

    ours, theirs = SeededEpochSampler(range(7), shuffle=False), DefaultSampler(range(7), shuffle=False)
    for sampler in (ours, theirs):
        sampler.world_size = world_size
        sampler.num_samples = -(-7 // world_size)
        sampler.total_size = sampler.num_samples * world_size
    for rank in range(world_size):
        ours.rank = theirs.rank = rank
        assert list(ours) == list(theirs)

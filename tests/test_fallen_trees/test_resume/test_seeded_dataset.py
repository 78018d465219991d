import random
from collections import defaultdict

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from fallen_trees.resume.exactness import make_exact
from fallen_trees.resume.samplers import SeededInfiniteSampler
from fallen_trees.resume.seeded_dataset import SeededDataset


class Noise:
    """Draws from all three generators."""

    metainfo = {'classes': ('a',)}

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return index, random.random(), float(np.random.rand()), float(torch.rand(()))

    def get_data_info(self, index):
        return {'index': index}

    def get_cat_ids(self, index):
        return [index]

    def full_init(self):
        self.ready = True


def test_a_sample_follows_from_seed_epoch_and_index_alone():
    one, two = SeededDataset(Noise(), 3), SeededDataset(Noise(), 3)
    first = [one[index] for index in range(20)]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    assert [two[index] for index in reversed(range(20))][::-1] == first
    assert [sample[0] for sample in first] == [0, 1, 2, 3, 4] * 4
    assert len({sample[1:] for sample in first}) == 20  # each epoch another
    assert SeededDataset(Noise(), 4)[0] != first[0]


@pytest.mark.parametrize('workers', [1, 2, 3])
def test_any_number_of_workers_gives_the_same_samples(workers):
    def batches(workers):
        dataset = SeededDataset(Noise(), 0)
        loader = DataLoader(dataset, 2, sampler=SeededInfiniteSampler(dataset, seed=0), num_workers=workers)
        return [[part.tolist() for part in batch] for batch, _ in zip(loader, range(7), strict=False)]

    assert batches(workers) == batches(0)


def test_what_the_runner_asks_is_answered_by_the_inner_data_set():
    dataset = SeededDataset(Noise(), 0)
    dataset.full_init()
    assert dataset.dataset.ready
    assert (len(dataset), dataset.metainfo) == (5, Noise.metainfo)
    assert (dataset.get_data_info(13), dataset.get_cat_ids(13)) == ({'index': 3}, [3])


def test_the_demo_is_made_exact_and_stays_so(demo_config):
    from fallen_trees.derive.config import derive

    init_default_scope('mmdet')
    derive(demo_config, ('train',))
    assert make_exact(demo_config) == []
    loader = demo_config.train_dataloader
    assert (loader.sampler.type, loader.dataset.type) == ('SeededInfiniteSampler', 'SeededDataset')
    again = demo_config.copy()
    assert make_exact(again) == []
    assert again.train_dataloader.dataset.dataset.type == 'CocoDataset'
    dataset = SeededDataset(loader.dataset.dataset, 0)
    found = defaultdict(list)
    for _ in range(2):
        for index in (1, 1 + len(dataset)):
            found[index].append(dataset[index]['inputs'])
    (one, same), (other, _) = found.values()
    assert torch.equal(one, same)
    assert one.shape != other.shape or not torch.equal(one, other)


def test_a_seed_is_drawn_and_said_and_what_cannot_be_exact_too(demo_config):
    demo_config.randomness = None
    notes = make_exact(demo_config)
    assert str(demo_config.randomness.seed) in notes[0]
    assert demo_config.train_dataloader.dataset.seed == demo_config.randomness.seed
    for change in (
        dict(sampler=dict(type='ClassAwareSampler')),
        dict(batch_sampler=dict(type='AspectRatioBatchSampler')),
    ):
        cfg = demo_config.copy()
        cfg.train_dataloader.update(change)
        assert 'will not equal an unbroken one' in make_exact(cfg)[-1]

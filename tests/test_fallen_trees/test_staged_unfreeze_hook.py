"""What is frozen does not change by a bit, what is let go does, and a resumed run is in the stage of its iteration."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.hooks import Hook
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.runner import Runner
from torch import nn

from fallen_trees.checks.guard.guard_hook import GuardHook
from fallen_trees.checks.recipe.trainable import trainable_share
from fallen_trees.checks.subject import Subject
from fallen_trees.derive.config import derive
from fallen_trees.errors import ConfigError
from fallen_trees.staged_unfreeze_hook import StagedUnfreezeHook, begins

STAGES = [
    dict(begin=0, frozen=['backbone', 'head.neck']),
    dict(begin=0.25, frozen=['backbone']),
    dict(begin=8, frozen=[]),
]


class Model(BaseModel):
    """A backbone with a norm that the config freezes and one that it does not, a neck, a head."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4))
        self.backbone[2].requires_grad_(False)
        self.head = nn.Sequential()
        self.head.neck = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.head.last = nn.Linear(4, 1)

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.head(self.backbone(inputs)).square().mean())


class Watch(Hook):
    """Keep the model's state before the first iteration and after each."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.states, self.trainable = [], []

    def before_train(self, runner):
        self.keep(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.keep(runner)
        self.trainable.append({n for n, p in bare(runner).named_parameters() if p.requires_grad})

    def keep(self, runner):
        self.states.append(copy.deepcopy(bare(runner).state_dict()))


def bare(runner):
    return getattr(runner.model, 'module', runner.model)


def make_runner(folder, stages=STAGES, hooks=(), accumulative_counts=1, interval=100, **changes):
    torch.manual_seed(0)
    data = [dict(inputs=torch.randn(4, generator=torch.Generator().manual_seed(n))) for n in range(64)]
    sampler = dict(type='InfiniteSampler', shuffle=False)
    return Runner(
        Model(),
        str(folder),
        train_dataloader=dict(
            dataset=data, batch_size=4, num_workers=0, sampler=sampler, collate_fn=dict(type='default_collate')
        ),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=12, val_interval=100),
        optim_wrapper=dict(
            type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.5, fused=True),
            accumulative_counts=accumulative_counts, paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.5))),
        ),
        default_hooks=dict(
            checkpoint=dict(type='SafeCheckpointHook', by_epoch=False, interval=interval, save_last=False)
        ),
        custom_hooks=[StagedUnfreezeHook(stages), *hooks],
        experiment_name=f'{folder}_{torch.seed()}',
        default_scope='mmdet',
        **changes,
    )  # fmt: skip


def changed(before, after):
    """Parts of the model of which anything changed: weights, or statistics of norms."""
    parts = ('backbone.0', 'backbone.1', 'backbone.2', 'head.neck', 'head.last')
    return {part for part in parts for name in before if name.startswith(part) and not before[name].equal(after[name])}


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A run through all stages: its folder, with a checkpoint of every second iteration, and what was seen of it."""
    watch, folder = Watch(), tmp_path_factory.mktemp('whole')
    make_runner(folder, hooks=[watch], interval=2).train()
    return folder, watch


def test_each_stage_changes_what_it_trains_and_nothing_else(whole):
    _, watch = whole
    states = watch.states
    assert changed(states[0], states[3]) == {'head.last'}
    assert changed(states[3], states[8]) == {'head.last', 'head.neck'}
    assert changed(states[8], states[9]) == changed(states[8], states[12])
    assert changed(states[8], states[12]) == {'head.last', 'head.neck', 'backbone.0', 'backbone.1', 'backbone.2'}
    weights = ('backbone.2.weight', 'backbone.2.bias')  # which the model itself froze; its statistics run on, as before
    assert all(states[0][name].equal(states[12][name]) for name in weights)
    assert not any(name.startswith('backbone.2') for names in watch.trainable for name in names)
    assert [len(names) for names in watch.trainable] == [2] * 3 + [6] * 5 + [10] * 4


@pytest.mark.parametrize('cut', [2, 4, 8])
def test_a_resumed_run_is_in_the_stage_of_its_iteration(whole, tmp_path, cut):
    watch = Watch()
    path = str(whole[0] / f'iter_{cut}.pth')
    make_runner(tmp_path / 'resumed', hooks=[watch], resume=True, load_from=path).train()
    assert all(torch.equal(a, b) for a, b in zip(watch.states[-1].values(), whole[1].states[-1].values(), strict=True))
    assert watch.trainable == whole[1].trainable[cut:]


def test_the_log_says_what_is_trained(whole):
    log = next(whole[0].glob('*/*.log')).read_text()
    assert 'Stage 1 of 3, from iteration 0: 5 of 69 parameters are trained; frozen: backbone, head.neck.' in log
    assert 'Stage 2 of 3, from iteration 3: 33 of 69 parameters are trained; frozen: backbone.' in log
    assert 'Stage 3 of 3, from iteration 8: 61 of 69 parameters are trained; frozen: nothing more.' in log


def test_a_part_that_is_frozen_again_takes_no_further_step(tmp_path):
    watch = Watch()
    make_runner(tmp_path, [dict(begin=0, frozen=[]), dict(begin=6, frozen=['head.neck'])], [watch]).train()
    assert 'head.neck' in changed(watch.states[0], watch.states[6])
    assert 'head.neck' not in changed(watch.states[6], watch.states[12])


def test_stages_begin_with_an_update_of_the_weights(tmp_path):
    watch = Watch()
    make_runner(tmp_path, hooks=[watch], accumulative_counts=4).train()
    assert [len(names) for names in watch.trainable] == [2] * 4 + [6] * 4 + [10] * 4
    assert begins([dict(begin=0), dict(begin=0.3), dict(begin=0.5)], 1000, 4) == [0, 300, 500]
    assert begins([dict(begin=0), dict(begin=0.3001), dict(begin=999)], 1000, 8) == [0, 304, 1000]


def test_the_guard_sees_what_the_first_stage_trains(tmp_path):
    guard = GuardHook(interval=3, val_batches=0)
    make_runner(tmp_path, hooks=[guard]).train()
    assert sum(weight.numel() for weight in guard._weights.parameters) == 5
    assert len(guard.looks) == 5


@pytest.mark.parametrize(
    ('stages', 'words'),
    [
        ([], 'must begin at 0'),
        ([dict(begin=0.1, frozen=[])], 'must begin at 0'),
        ([dict(begin=0, frozen='backbone')], r'frozen=\[...\]'),
        ([dict(begin=0, frozen=[]), dict(begin=3.0, frozen=[])], 'a share below 1'),
        ([dict(begin=0, frozen=[]), dict(begin=0.01, frozen=[])], r'one after the other; got iterations \[0, 0\]'),
        ([dict(begin=0, frozen=['head.nek'])], "no part 'head.nek'; it has head.neck, head.last"),
        ([dict(begin=0, frozen=['spine'])], "no part 'spine'; it has data_preprocessor, backbone, head"),
        ([dict(begin=0, frozen=['backbone', 'head'])], 'stage 1 leaves nothing to train'),
    ],
)
def test_wrong_stages_are_refused(tmp_path, stages, words):
    with pytest.raises(ConfigError, match=words):
        make_runner(tmp_path, stages).train()


def one_of_two(rank, folder):
    """Run in one of two processes; writes what changed up to the end of each stage, and the weights."""
    dist.init_process_group('gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=2)
    watch = Watch()
    runner = make_runner(folder / 'run', hooks=[watch])
    runner.model = MMDistributedDataParallel(runner.model, broadcast_buffers=False, find_unused_parameters=True)
    runner.train()
    found = [sorted(changed(watch.states[0], watch.states[n])) for n in (3, 8, 12)]
    weights = {name: tensor.tolist() for name, tensor in watch.states[-1].items() if 'running' not in name}
    (folder / f'{rank}.json').write_text(json.dumps([found, weights]))
    dist.destroy_process_group()


def in_two_processes(folder):
    """Of a new interpreter: to fork one that has computed gradients stops them for ever."""
    folder.mkdir()
    argv = [sys.executable, __file__, str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f'{rank}.json').read_text()) for rank in (0, 1)]


@pytest.fixture
def alone(tmp_path):
    """A job of one process, in which DistributedDataParallel waits for gradients as in one of many."""
    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/meeting', rank=0, world_size=1)
    yield lambda model, **how: MMDistributedDataParallel(model, broadcast_buffers=False, **how)
    dist.destroy_process_group()


def test_a_distributed_run_goes_through_the_stages(whole, alone, tmp_path):
    watch = Watch()
    runner = make_runner(tmp_path / 'wrapped', hooks=[watch])
    runner.model = alone(runner.model, find_unused_parameters=True)
    runner.train()
    assert watch.trainable == whole[1].trainable
    assert changed(whole[1].states[-1], watch.states[-1]) == set()


@pytest.mark.parametrize(
    ('how', 'words'), [({}, 'find_unused_parameters = True'), (dict(static_graph=True), 'static_graph')]
)
def test_a_distributed_run_that_would_wait_for_ever_is_refused(alone, tmp_path, how, words):
    runner = make_runner(tmp_path)
    runner.model = alone(runner.model, **how)
    with pytest.raises(ConfigError, match=words):
        runner.train()


@pytest.mark.slow  # two interpreters
def test_two_processes_keep_the_same_weights_through_all_stages(tmp_path):
    one, two = in_two_processes(tmp_path / 'one')
    assert one == two
    first, second, last = one[0]
    assert (first, second) == (['head.last'], ['head.last', 'head.neck'])
    assert {'backbone.0', 'backbone.1'} < set(last)


def test_the_doctor_counts_what_the_first_stage_trains(demo_config):
    frozen = ['backbone', 'panoptic_head.pixel_decoder']
    stages = [dict(begin=0, frozen=frozen), dict(begin=0.3, frozen=[])]
    derive(demo_config, ('train',))
    (before,) = trainable_share(Subject(demo_config))
    assert 'find_unused_parameters' not in demo_config
    demo_config.custom_hooks.append(dict(type='StagedUnfreezeHook', stages=stages))
    derive(demo_config, ('train',))
    assert demo_config.find_unused_parameters is True
    (after,) = trainable_share(Subject(demo_config))
    assert before.figures['share'] == 1
    assert 0.05 < after.figures['share'] < 0.5 and 'still: backbone' in after.message


if __name__ == '__main__':
    mp.start_processes(one_of_two, (Path(sys.argv[1]),), nprocs=2, start_method='fork')

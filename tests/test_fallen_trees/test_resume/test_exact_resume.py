"""A run that was killed and resumed equals one that never stopped: weights, moments, schedules, losses, to the bit."""

import os
import signal

import pytest
import torch
from mmengine.runner import ValLoop

from fallen_trees.resume import checkpoint_file
from fallen_trees.resume.randomness import IterationSeedHook
from fallen_trees.resume.safe_checkpoint_hook import SafeCheckpointHook

EPOCHS = """
train_dataloader = dict(sampler=dict(type='DefaultSampler'))
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=2, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=4),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=2, milestones=[1], gamma=0.1),
]
"""
LOOPS = {
    'iterations': '',
    'epochs': EPOCHS,  # of 5 batches of 9 samples: the last one is smaller
    'epochs counted': EPOCHS + 'default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))\n',
}
EMA = "dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.1, update_buffers=True, priority=49)"
STOP = "dict(type='ResumableEarlyStoppingHook', patience=1)"
HOOKS = "custom_hooks = [dict(type='IterationSeedHook'), dict(type='InterruptHook'), dict(type='GuardHook'), {}]\n"
ACCUMULATE = 'optim_wrapper = dict(accumulative_counts=2)\n'
AVERAGE = "dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=None, gamma=None, priority=49)"
STAGES = "dict(type='StagedUnfreezeHook', stages=[dict(begin=0, frozen=['backbone']), dict(begin=0.5, frozen=[])])"
RECIPE = """
train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=False),
    dict(type='LoadOutlineAnnotations', with_bbox=True, with_mask=True),
    dict(type='PasteObjects', donors=None, prob=1.0, parts=True),
    dict(type='RandomRot90'),
    dict(type='Resize', scale=None, keep_ratio=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), min_gt_mask_area=16, by_mask=True, keep_empty=False),
    dict(type='ContiguousPackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=None),
    dict(type='PolyLR', power=0.9, by_epoch=False, begin=None, end=None),
]
"""
KINDS = {
    'plain': ('', ()),
    'ema': (HOOKS.format(EMA), ()),
    'accumulated': (ACCUMULATE, ()),
    'bf16': ('', ('--amp',)),
    'recipe': (HOOKS.format(f'{AVERAGE}, {STAGES}') + ACCUMULATE + RECIPE, ()),
    'early stopping': (HOOKS.format(STOP), ()),
    'all': (HOOKS.format(f'{EMA}, {STOP}') + ACCUMULATE, ('--amp',)),
}
# Of the first run, and of the resumed one. The unbroken run has none.
WORKERS = [(0, 0), (2, 2), (2, 0), (0, 2)]


def die(*_, **__):
    """Be killed: no handler runs, nothing is flushed."""
    os.kill(os.getpid(), signal.SIGKILL)


def when(owner, name, condition, after=False):
    """Die at a call of a method, before or after its work."""
    work = getattr(owner, name)

    def act(self, *args, **kwargs):
        hit = condition(self, *args, **kwargs)
        result = work(self, *args, **kwargs) if after or not hit else None
        return die() if hit else result

    setattr(owner, name, act)


def at_iteration(number):
    return lambda: when(IterationSeedHook, 'before_train_iter', lambda hook, runner, *_, **__: runner.iter == number)


def in_validation():
    when(ValLoop, 'run_iter', lambda loop, idx, batch: idx == 1)


def in_second_validation():
    seen = []
    when(ValLoop, 'run_iter', lambda loop, idx, batch: idx == 1 and (seen.append(1) or len(seen) == 2))


def inside_save(number):
    def prepare():
        verify, seen = checkpoint_file.archive_damage, []

        def act(path):
            seen.append(path)
            if len(seen) == number:
                os.truncate(path, path.stat().st_size // 2)
                die()
            return verify(path)

        checkpoint_file.archive_damage = act

    return prepare


def after_save(number):
    seen = []
    return lambda: when(SafeCheckpointHook, '_save', lambda *_, **__: seen.append(1) or len(seen) == number, after=True)


KILLS = {
    'before the first save': at_iteration(0),
    'between saves': at_iteration(3),
    'late': at_iteration(5),
    'in the first validation': in_validation,
    'in the second validation': in_second_validation,
    'inside the first save': inside_save(1),
    'inside a later save': inside_save(4),
    'right after a save': after_save(2),
    'right after a validation': after_save(3),
}
CI = {
    ('iterations', 'plain', 'between saves'),
    ('iterations', 'ema', 'in the first validation'),
    ('iterations', 'accumulated', 'inside a later save'),
    ('iterations', 'recipe', 'late'),
    ('iterations', 'early stopping', 'right after a validation'),
    ('iterations', 'all', 'in the second validation'),
    ('epochs', 'plain', 'before the first save'),
    ('epochs', 'all', 'late'),
    ('epochs counted', 'ema', 'right after a save'),
}


def cases():
    """Every loop with every kind, killed at every other point; the numbers of workers take turns."""
    number, found = 0, []
    for loop in LOOPS:
        for place, kind in enumerate(KINDS):
            for turn, kill in enumerate(KILLS):
                listed = (loop, kind, kill) in CI
                if listed or (turn + place) % 2 == 0:
                    number += 1
                    marks = [] if listed else [pytest.mark.chaos]
                    workers = WORKERS[number % len(WORKERS)]
                    found.append(pytest.param(loop, kind, kill, workers, marks=marks))
    return found


@pytest.fixture(scope='session')
def start(fork, train_tool, tiny_config, tmp_path_factory):
    """Start training in a child; returns its exit code and log."""
    folder = tmp_path_factory.mktemp('exact')

    def run(work_dir, loop, kind, workers=0, prepare=lambda: None, *args):
        text, flags = KINDS[kind]
        file = folder / f'{loop}-{kind}-{workers}.py'.replace(' ', '_')
        dataloader = f'train_dataloader.num_workers={workers}', f'train_dataloader.persistent_workers={workers > 0}'
        file.write_text(f"_base_ = ['{tiny_config}']\n{LOOPS[loop]}{text}")
        argv = [str(file), '--work-dir', str(work_dir), *flags, *args, '--cfg-options', *dataloader]
        return fork(lambda: (prepare(), train_tool(argv))[1])

    return run


@pytest.fixture(scope='session')
def unbroken(start, tmp_path_factory):
    """The last checkpoint of the run that never stopped, made once for each configuration."""
    known = {}

    def find(loop, kind):
        if (loop, kind) not in known:
            folder = tmp_path_factory.mktemp('unbroken')
            code, log = start(folder, loop, kind)
            assert code == 0, log[-3000:]
            known[loop, kind] = last(folder)
        return known[loop, kind]

    return find


def last(folder):
    """Name and content of the newest checkpoint, without what tells time or place, and the names of the best."""
    path, damaged = checkpoint_file.newest_good(folder)
    assert not damaged
    content = torch.load(path, weights_only=True)
    hub = content['message_hub']
    scalars = {name: item for name, item in hub['log_scalars'].items() if not name.endswith('time')}
    infos = {key: hub['runtime_info'].get(key) for key in ('best_score', 'epoch', 'max_iters', 'max_epochs')}
    infos |= {key: content['meta'][key] for key in ('iter', 'epoch', 'validation_pending', 'seed')}
    parts = {key: item for key, item in content.items() if key not in ('meta', 'message_hub')}
    best = sorted(item.name for item in folder.glob('best*.pth'))
    return dict(name=path.name, best=best, scalars=scalars, infos=infos, **parts)


def differences(one, two, where=''):
    """Where two nested states differ, in any bit."""
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        same = one.dtype == two.dtype and one.shape == two.shape and torch.equal(raw(one), raw(two))
        return [] if same else [where]
    if isinstance(one, dict) and isinstance(two, dict):
        lone = [f'{where}.{key} only once' for key in one.keys() ^ two.keys()]
        return lone + [
            place for key in one.keys() & two.keys() for place in differences(one[key], two[key], f'{where}.{key}')
        ]
    if isinstance(one, list | tuple) and isinstance(two, list | tuple) and len(one) == len(two):
        return [
            place for n, pair in enumerate(zip(one, two, strict=True)) for place in differences(*pair, f'{where}[{n}]')
        ]
    return [] if repr(one) == repr(two) else [f'{where}: {one!r} != {two!r}']


def raw(tensor):
    return torch.frombuffer(bytearray(tensor.contiguous().numpy().tobytes() or b'0'), dtype=torch.uint8)


@pytest.mark.parametrize(('loop', 'kind', 'kill', 'workers'), cases())
def test_a_killed_and_resumed_run_equals_an_unbroken_one(unbroken, start, work_dir, loop, kind, kill, workers):
    whole = unbroken(loop, kind)
    assert {'state_dict', 'optimizer', 'param_schedulers'} <= set(whole)
    assert any(name == 'train/loss' for name in whole['scalars'])
    code, log = start(work_dir, loop, kind, workers[0], KILLS[kill])
    assert code == -signal.SIGKILL, log[-3000:]  # the point was reached
    code, log = start(work_dir, loop, kind, workers[1], lambda: None, '--resume')
    assert code == 0, log[-3000:]
    assert 'Traceback' not in log
    assert differences(whole, last(work_dir)) == []


def test_the_comparison_sees_a_single_bit(unbroken):
    import copy

    whole = unbroken('iterations', 'plain')
    other = copy.deepcopy(whole)
    name, tensor = next((name, item) for name, item in other['state_dict'].items() if item.is_floating_point())
    tensor.view(-1).view(torch.int32)[0] ^= 1
    assert differences(whole, other) == [f'.state_dict.{name}']
    other = copy.deepcopy(whole)
    other['scalars']['train/loss']['logs'][-1] += 1e-12
    assert differences(whole, other) == ['.scalars.train/loss.logs']

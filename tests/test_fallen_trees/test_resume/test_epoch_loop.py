import os
import signal

import pytest
import torch

from fallen_trees.resume.checkpoint_file import newest_good

PER_EPOCH = 11  # of 32 samples in threes, the last batch with two


def make(toy, folder, hooks=(), resume=False, workers=0):
    loader = dict(
        dataset=toy.Numbers(), batch_size=3, num_workers=workers, persistent_workers=workers > 0,
        collate_fn=dict(type='default_collate'), sampler=dict(type='SeededEpochSampler', seed=0),
    )  # fmt: skip
    return toy.make_runner(
        folder, hooks, resume=resume, train_dataloader=loader, checkpoint=dict(interval=4),
        train_cfg=dict(type='ResumableEpochLoop', max_epochs=3, val_interval=2),
    )  # fmt: skip


def end_workers(runner):
    """Where the garbage collector has to do it, it waits for each of them in vain."""
    if runner.train_dataloader.num_workers:
        runner.train_dataloader._iterator._shutdown_workers()


@pytest.fixture(scope='module')
def unbroken(toy, tmp_path_factory):
    runner = make(toy, tmp_path_factory.mktemp('epochs') / 'run')
    runner.train()
    assert (runner.iter, runner.epoch) == (3 * PER_EPOCH, 3)
    assert sorted(index % 32 for index in runner.model.seen) == sorted(list(range(32)) * 3)
    return runner


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('step', [2, 5, 10, 11, 12, 21, 22, 23, 33])
def test_an_epoch_is_entered_where_it_was_left(toy, unbroken, work_dir, step, workers):
    """Stopped by a signal at the end of an epoch too, before and after its validation."""
    from fallen_trees.resume.interrupt_hook import RunInterrupted

    tell = toy.Tell(train=lambda runner: runner.iter + 1 == step and os.kill(os.getpid(), signal.SIGTERM))
    cut = make(toy, work_dir, [tell], workers=workers)
    with pytest.raises(RunInterrupted):
        cut.train()
    cut.call_hook('after_run')
    end_workers(cut)
    assert torch.load(newest_good(work_dir)[0], weights_only=True)['meta']['iter'] == step
    epochs, validated = [], []
    watch = toy.Tell(
        train=lambda runner: epochs.append(runner.epoch), val=lambda runner: validated.append(runner.epoch)
    )
    resumed = make(toy, work_dir, [watch], resume=True, workers=workers)
    resumed.train()
    end_workers(resumed)
    assert cut.model.seen + resumed.model.seen == unbroken.model.seen
    assert epochs == [number // PER_EPOCH for number in range(step, 3 * PER_EPOCH)]
    assert set(validated) == ({2, 3} if step <= 22 else {3})
    assert (resumed.iter, resumed.epoch) == (3 * PER_EPOCH, 3)
    for name, tensor in unbroken.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor)

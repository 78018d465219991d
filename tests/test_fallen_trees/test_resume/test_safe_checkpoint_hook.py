"""When checkpoints are saved, what is kept, and what a failing disk does."""

import os
import signal

import pytest
import torch

from fallen_trees.errors import one_line_errors
from fallen_trees.resume import safe_checkpoint_hook
from fallen_trees.resume.checkpoint_file import damage, newest_good, read_manifest
from fallen_trees.resume.safe_checkpoint_hook import SafeCheckpointHook


def names(folder, pattern='*.pth'):
    return sorted(path.name for path in folder.glob(pattern))


def hook_of(runner):
    return next(hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook))


def saved_by(runner):
    """Train; the saves of single steps, in order, with what they say of their validation."""
    found, hook = [], hook_of(runner)
    work = hook._save
    hook._save = lambda r, name, meta, *args, **kwargs: (
        found.append((name, meta['validation_pending'])), work(r, name, meta, *args, **kwargs)
    )  # fmt: skip
    runner.train()
    return found


def content(path):
    return torch.load(path, weights_only=True)


def test_a_validated_step_is_saved_before_and_after_its_validation(toy, work_dir):
    saves = saved_by(toy.make_runner(work_dir))
    assert saves == [
        ('iter_3.pth', False), ('iter_6.pth', True), ('iter_6.pth', False), ('iter_9.pth', False),
        ('iter_12.pth', True), ('iter_12.pth', False),
    ]  # fmt: skip


def test_without_a_validation_each_step_is_saved_once_and_the_last_one_too(toy, work_dir):
    runner = toy.make_runner(work_dir, validate=False, checkpoint=dict(interval=5, max_keep_ckpts=-1))
    assert saved_by(runner) == [('iter_5.pth', False), ('iter_10.pth', False), ('iter_12.pth', False)]


def test_pruning_keeps_the_newest_and_the_best(toy, work_dir):
    toy.make_runner(work_dir, scores={6: 0.9, 12: 0.1}).train()
    assert names(work_dir) == ['best_score_iter_6.pth', 'iter_12.pth', 'iter_9.pth']
    assert names(work_dir, '*.json') == ['best_score_iter_6.pth.json', 'iter_12.pth.json', 'iter_9.pth.json']
    info = content(work_dir / 'iter_12.pth')['message_hub']['runtime_info']
    assert (info['best_score'], info['best_ckpt'].rpartition('/')[2]) == (0.9, 'best_score_iter_6.pth')


def test_a_new_best_takes_the_place_of_the_old_one(toy, work_dir):
    toy.make_runner(work_dir, scores={6: 0.1, 12: 0.2}).train()
    assert names(work_dir, 'best*') == ['best_score_iter_12.pth', 'best_score_iter_12.pth.json']
    assert read_manifest(work_dir / 'best_score_iter_12.pth')['score'] == 0.2


def test_the_clock_saves_after_the_next_step_that_updates_the_weights(toy, work_dir, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(safe_checkpoint_hook.time, 'monotonic', lambda: now[0])

    def a_minute_passes(runner):
        now[0] += 60

    runner = toy.make_runner(
        work_dir, [toy.Tell(train=a_minute_passes)], validate=False, accumulative_counts=2,
        checkpoint=dict(interval=100, every_minutes=5, max_keep_ckpts=-1),
    )  # fmt: skip
    assert [name for name, _ in saved_by(runner)] == ['iter_6.pth', 'iter_12.pth']


def test_gradients_that_are_being_accumulated_wait(toy, work_dir):
    runner = toy.make_runner(work_dir, accumulative_counts=4, validate=False, checkpoint=dict(max_keep_ckpts=-1))
    assert [name for name, _ in saved_by(runner)] == ['iter_4.pth', 'iter_8.pth', 'iter_12.pth']


def test_a_validation_that_was_cut_off_is_run_first(fork, toy, work_dir):
    die = toy.Tell(val=lambda runner: runner.iter == 6 and os.kill(os.getpid(), signal.SIGKILL))
    code, log = fork(lambda: toy.make_runner(work_dir, [die]).train())
    assert code == -signal.SIGKILL, log
    assert content(work_dir / 'iter_6.pth')['meta']['validation_pending'] is True
    validated = []
    resumed = toy.make_runner(work_dir, [toy.Tell(val=lambda runner: validated.append(runner.iter))], resume=True)
    assert saved_by(resumed)[0] == ('iter_6.pth', False)
    assert validated == [6, 6, 12, 12]
    again = []
    toy.make_runner(work_dir, [toy.Tell(val=lambda runner: again.append(runner.iter))], resume=True).train()
    assert again == []  # done is done


def full_disk_from(toy, monkeypatch, first, until=99):
    """Every write of a checkpoint ends at a full disk, between two iterations."""
    from mmengine.fileio import LocalBackend

    put, now = LocalBackend.put, [0]

    def full(backend, data, path):
        if first <= now[0] <= until:
            raise OSError(28, 'No space left on device')
        return put(backend, data, path)

    monkeypatch.setattr(LocalBackend, 'put', full)
    return toy.Tell(train=lambda runner: now.__setitem__(0, runner.iter + 1))


def test_a_periodic_save_that_fails_does_not_end_the_run(toy, work_dir, monkeypatch):
    clock = full_disk_from(toy, monkeypatch, 6, 9)
    runner = toy.make_runner(work_dir, [clock], scores={6: 0.9, 12: 0.1})
    runner.train()
    assert runner.iter == 12
    assert names(work_dir) == ['best_score_iter_12.pth', 'iter_12.pth', 'iter_3.pth']
    assert all(damage(work_dir / name) is None for name in names(work_dir))
    assert not names(work_dir, '.*.pth')
    # The best of iteration 6 is on no disk: it is not named, and the next one takes its place.
    info = content(work_dir / 'iter_12.pth')['message_hub']['runtime_info']
    assert info['best_score'] == 0.1


def test_a_failing_disk_is_not_tried_at_every_step(toy, work_dir, monkeypatch):
    runner = toy.make_runner(work_dir, [full_disk_from(toy, monkeypatch, 3, 8)], validate=False)
    assert [name for name, _ in saved_by(runner)] == ['iter_3.pth', 'iter_12.pth']
    monkeypatch.setattr(safe_checkpoint_hook, 'RETRY_S', 0)
    runner = toy.make_runner(work_dir / 'b', [full_disk_from(toy, monkeypatch, 3, 4)], validate=False)
    assert [name for name, _ in saved_by(runner)][:4] == ['iter_3.pth', 'iter_4.pth', 'iter_5.pth', 'iter_6.pth']


@pytest.mark.parametrize('validate', [True, False])
def test_the_last_save_must_succeed(toy, work_dir, monkeypatch, capsys, validate):
    runner = toy.make_runner(work_dir, [full_disk_from(toy, monkeypatch, 12)], validate=validate)
    with pytest.raises(SystemExit) as stop, one_line_errors():
        runner.train()
    assert stop.value.code == 3
    assert 'iter_12.pth could not be saved' in capsys.readouterr().err
    assert newest_good(work_dir)[0].name == 'iter_9.pth'


def test_the_outcome_of_the_last_validation_must_be_saved_too(toy, work_dir, monkeypatch):
    from mmengine.fileio import LocalBackend

    put, full = LocalBackend.put, []
    monkeypatch.setattr(
        LocalBackend, 'put', lambda *args: put(*args) if not full else (_ for _ in ()).throw(OSError(28, 'full'))
    )
    runner = toy.make_runner(work_dir, [toy.Tell(val=lambda runner: runner.iter == 12 and full.append(1))])
    with pytest.raises(SystemExit) as stop, one_line_errors():
        runner.train()
    assert stop.value.code == 3
    assert content(work_dir / 'iter_12.pth')['meta']['validation_pending'] is True  # to be done when resumed


def test_a_fresh_start_moves_what_an_earlier_run_left(toy, work_dir):
    """Pruning would take the earlier run's checkpoints for the newest and remove this run's own."""
    toy.make_runner(work_dir, train_cfg=dict(type='IterBasedTrainLoop', max_iters=24, val_interval=6)).train()
    assert names(work_dir) == ['best_score_iter_24.pth', 'iter_21.pth', 'iter_24.pth']
    toy.make_runner(work_dir, scores={6: 0.2, 12: 0.1}).train()
    assert names(work_dir) == ['best_score_iter_6.pth', 'iter_12.pth', 'iter_9.pth']
    assert names(work_dir / 'earlier') == ['best_score_iter_24.pth', 'iter_21.pth', 'iter_24.pth']
    assert all(damage(work_dir / 'earlier' / name) is None for name in names(work_dir / 'earlier'))
    assert newest_good(work_dir)[0].name == 'iter_12.pth'


def test_a_resumed_run_keeps_what_it_has(toy, work_dir):
    toy.make_runner(work_dir, train_cfg=dict(type='IterBasedTrainLoop', max_iters=6, val_interval=6)).train()
    toy.make_runner(work_dir, resume=True).train()
    assert not (work_dir / 'earlier').exists()
    assert names(work_dir) == ['best_score_iter_12.pth', 'iter_12.pth', 'iter_9.pth']


def test_what_killed_saves_left_behind_is_removed_and_nothing_else(toy, work_dir):
    work_dir.mkdir()
    left = ['.iter_3.0123456789ab.pth', '.iter_3.pth.0123456789ab.json', '.last_checkpoint.0123456789ab']
    left += ['.best_score_iter_3.0123456789ab.pth', '.epoch_1.0123456789ab.pth']
    others = ['.lock', '.iter_3.pth', 'notes.json', '.notes.0123456789ab.json', 'iter_2.pth.corrupt', 'x.pth.json']
    for name in left + others:
        (work_dir / name).write_text('{}')
    (work_dir / 'iter_2.pth.json').write_text('{"sha256": "0"}')  # its file was pruned
    toy.make_runner(work_dir, validate=False).train()
    found = {path.name for path in work_dir.iterdir()}
    assert not found & {*left, 'iter_2.pth.json'}
    assert set(others) <= found


def test_checkpoints_hold_plain_types_and_load_into_the_objects_of_mmengine(toy, work_dir):
    from mmengine.logging import HistoryBuffer

    first = toy.make_runner(work_dir, train_cfg=dict(type='IterBasedTrainLoop', max_iters=6, val_interval=6))
    first.train()
    plain = content(work_dir / 'iter_6.pth')  # weights_only
    assert 'config' not in plain['meta']
    resumed = toy.make_runner(work_dir, resume=True)
    resumed.train()
    history = resumed.message_hub.log_scalars['train/loss']
    assert isinstance(history, HistoryBuffer)
    assert len(history.data[0]) == 12
    assert list(history.data[0][:6]) == list(first.message_hub.log_scalars['train/loss'].data[0])


def test_save_best_of_a_figure_that_is_not_there_says_which_there_are(toy, work_dir):
    runner = toy.make_runner(work_dir, checkpoint=dict(save_best='other'))
    with pytest.raises(ValueError, match="save_best='other' is no figure of the validation; it has score"):
        runner.train()

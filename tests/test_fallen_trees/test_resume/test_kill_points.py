"""A SIGKILL at every point of a save: nothing is lost but the steps since the one before, and nothing is mistaken."""

import os
import random
import re
import signal
from pathlib import Path

import pytest
import torch

from fallen_trees.resume import checkpoint_file
from fallen_trees.resume.checkpoint_file import LEFTOVER, checkpoints_in, damage, manifest_path, newest_good

LAST, PARTS = 12, (0, 1, 50, 99)
FILE_POINTS = (
    'before open', 'after open', *(f'{part} %' for part in PARTS), 'after write', 'after fsync', 'after verify',
    'before rename', 'after rename',
)  # fmt: skip
OTHER_POINTS = (
    'before rename of the manifest', 'after rename of the manifest', 'after open of the manifest',
    'before rename of the pointer', 'after rename of the pointer',
    'before an unlink', 'after an unlink',
)  # fmt: skip
# What is being saved: its name, and the how-manieth save of that name; the steps that a kill in it may cost.
SAVES = {
    'first': ('iter_3.pth', 1),
    'later': ('iter_9.pth', 1),
    'before validation': ('iter_6.pth', 1),
    'again after validation': ('iter_6.pth', 2),
    'best': ('best_score_iter_12.pth', 1),
}
STEP_BEFORE = {'first': 0, 'later': 6, 'before validation': 3, 'again after validation': 6, 'best': 12}


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Fault:
    """Count what a save does to the file system, and die at one point of it."""

    def __init__(self, name, number, point):
        self.name, self.number, self.point = name, number, point
        self.saves = 0  # of the name, begun
        self.inside = False

    def reached(self, point):
        if self.inside and point == self.point:
            die()

    def install(self):
        """Put itself in the place of the functions that reach the disk."""
        real = {name: getattr(os, name) for name in ('open', 'replace', 'fsync', 'unlink')}
        save, verify, read = torch.save, checkpoint_file.archive_damage, Path.unlink

        def target(path):
            """The name that a temporary file will have."""
            return re.sub(r'^\.(.+?)\.[0-9a-f]{12}(\.\w+)?$', r'\1\2', Path(os.fspath(path)).name)

        def open_(path, flags, *args, **kwargs):
            name = target(path) if isinstance(path, str | Path) and flags & os.O_EXCL else None
            if name == self.name:
                self.saves += 1
                self.inside = self.saves == self.number
                self.reached('before open')
            fd = real['open'](path, flags, *args, **kwargs)
            if name == self.name:
                self.reached('after open')
            elif name == f'{self.name}.json':
                self.reached('after open of the manifest')
            elif name is not None and name.endswith('.pth'):
                self.inside = False  # the next save
            return fd

        def replace(path, to):
            point = {self.name: 'rename', f'{self.name}.json': 'rename of the manifest'}.get(Path(to).name)
            point = 'rename of the pointer' if Path(to).name == 'last_checkpoint' else point
            self.reached(f'before {point}')
            real['replace'](path, to)
            self.reached(f'after {point}')

        def fsync(fd):
            real['fsync'](fd)
            if target(os.readlink(f'/proc/self/fd/{fd}')) == self.name:
                self.reached('after fsync')

        def unlink(path, *args, **kwargs):
            if path.exists():  # what is pruned: file, then manifest
                self.reached('before an unlink')
                read(path, *args, **kwargs)
                self.reached('after an unlink')

        def write(content, file, *args, **kwargs):
            save(content, file, *args, **kwargs)

        def put(backend, content, path):
            if target(path) == self.name and self.inside and self.point.endswith('%'):
                data = content.getvalue() if hasattr(content, 'getvalue') else bytes(content)
                Path(path).write_bytes(data[: int(len(data) * int(self.point.split()[0]) / 100)])
                die()
            result = real_put(backend, content, path)
            if target(path) == self.name:
                self.reached('after write')
            return result

        def archive_damage(path):
            reason = verify(path)
            if target(path) == self.name:
                self.reached('after verify')
            return reason

        from mmengine.fileio import LocalBackend

        real_put = LocalBackend.put
        LocalBackend.put = put
        os.open, os.replace, os.fsync = open_, replace, fsync
        Path.unlink = unlink
        checkpoint_file.archive_damage = archive_damage


# The first save of a run prunes nothing; a re-save and the best replace nothing that is older.
NEVER = {
    ('first', 'before an unlink'), ('first', 'after an unlink'),
    ('again after validation', 'before an unlink'), ('again after validation', 'after an unlink'),
    ('best', 'before rename of the pointer'), ('best', 'after rename of the pointer'),
}  # fmt: skip
CI = {
    ('first', '50 %', 1, True), ('later', '99 %', 1, False), ('later', 'after rename', 2, True),
    ('later', 'after an unlink', 1, True), ('again after validation', 'before rename', 1, True),
    ('again after validation', 'after rename of the manifest', 2, True), ('best', 'after rename', 1, True),
    ('later', 'before rename of the pointer', 1, True), ('before validation', 'after verify', 1, True),
}  # fmt: skip


def cases():
    found = []
    for save in SAVES:
        for place, point in enumerate(FILE_POINTS + OTHER_POINTS):
            for keep in (1, 2):
                for best in (True, False):
                    if (save, point) in NEVER or (save == 'best' and not best):
                        continue
                    # With 2 kept, the first that is pruned is iter_3, when iter_9 is written.
                    if 'unlink' in point and save == 'before validation' and keep == 2:
                        continue
                    listed = (save, point, keep, best) in CI
                    if listed or (place + keep + best) % 2 == 0 or save == 'best':
                        found.append(pytest.param(save, point, keep, best, marks=[] if listed else [pytest.mark.chaos]))
    return found


@pytest.fixture(scope='session')
def weights_of_an_unbroken_run(fork, toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp('toy') / 'run'
    code, log = fork(lambda: toy.make_runner(folder).train() and 0)
    assert code == 0, log
    return state(folder)


def state(folder):
    content = torch.load(newest_good(folder)[0], weights_only=True)
    assert content['meta']['iter'] == LAST
    return {**content['state_dict'], **{f'optimizer {n}': item for n, item in content['optimizer']['state'][0].items()}}


def files(folder):
    return {path.name for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(('save', 'point', 'keep', 'best'), cases())
def test_a_kill_inside_a_save(fork, toy, work_dir, weights_of_an_unbroken_run, save, point, keep, best):
    name, number = SAVES[save]
    settings = dict(max_keep_ckpts=keep, **({} if best else dict(save_best=None, rule=None)))

    def cut():
        Fault(name, number, point).install()
        toy.make_runner(work_dir, checkpoint=settings).train()

    code, log = fork(cut)
    assert code == -signal.SIGKILL, log[-3000:]  # the point was reached

    path, damaged = newest_good(work_dir)
    assert damaged == []
    assert all(damage(item) is None for item in checkpoints_in(work_dir))  # nothing else is called a checkpoint
    step = int(path.stem.removeprefix('iter_')) if path else 0
    assert step >= STEP_BEFORE[save]

    code, log = fork(lambda: toy.make_runner(work_dir, resume=True, checkpoint=settings).train() and 0)
    assert code == 0, log[-3000:]
    assert f'resumed epoch: 0, iter: {step}' in log or step == 0
    for key, tensor in state(work_dir).items():
        assert torch.equal(tensor, weights_of_an_unbroken_run[key]), key
    left = files(work_dir)
    assert not [item for item in left if LEFTOVER.fullmatch(item) or item.startswith('.') and item != '.lock']
    assert {item for item in left if item.endswith('.pth')} == (
        {f'iter_{step}.pth' for step in (9, 12)[-keep:]} | ({'best_score_iter_12.pth'} if best else set())
    )
    for item in left:
        if item.endswith('.pth'):
            assert damage(work_dir / item) is None
            assert manifest_path(work_dir / item).name in left
        if item.endswith('.pth.json'):
            assert item.removesuffix('.json') in left
    assert (work_dir / 'last_checkpoint').read_text() == 'iter_12.pth'


@pytest.mark.chaos
@pytest.mark.parametrize('seed', range(12))
def test_random_kills_until_done(fork, toy, work_dir, weights_of_an_unbroken_run, seed):
    chance, kills, done = random.Random(seed), 0, False
    slow = toy.Tell(
        train=lambda runner: __import__('time').sleep(0.06), val=lambda runner: __import__('time').sleep(0.06)
    )
    while not done:
        run = lambda: toy.make_runner(work_dir, [slow], resume=True).train() and 0  # noqa: E731
        code, log = fork(run, kill_after=chance.uniform(0.05, 0.9) if kills < 40 else None)
        assert code in (0, -signal.SIGKILL), log[-3000:]
        kills, done = kills + (code != 0), code == 0
        assert newest_good(work_dir)[1] == [] if work_dir.exists() else True
    assert kills > 0
    for key, tensor in state(work_dir).items():
        assert torch.equal(tensor, weights_of_an_unbroken_run[key]), key

import json
import os

import pytest
import torch

from fallen_trees.errors import EnvironmentFailure
from fallen_trees.resume.checkpoint_file import (
    checkpoints_in,
    commit,
    damage,
    manifest_path,
    newest_good,
    point_to,
    prune,
    read_manifest,
    set_aside,
)  # fmt: skip


def save(folder, name, value=1.0, **facts):
    path = folder / name
    commit(path, lambda target: torch.save({'state_dict': {'w': torch.full((64,), value)}}, target), facts)
    return path


def weight(path):
    return float(torch.load(path, weights_only=True)['state_dict']['w'][0])


def test_a_commit_leaves_the_file_and_its_manifest_and_nothing_else(tmp_path):
    path = save(tmp_path, 'iter_4.pth', iter=4)
    assert sorted(os.listdir(tmp_path)) == ['iter_4.pth', 'iter_4.pth.json']
    manifest = read_manifest(path)
    assert (manifest['file'], manifest['iter'], manifest['bytes']) == ('iter_4.pth', 4, path.stat().st_size)
    assert damage(path) is None


@pytest.mark.parametrize('fails', ['in the middle', 'at the manifest'])
def test_a_commit_that_fails_leaves_the_old_checkpoint_good(tmp_path, monkeypatch, fails):
    path = save(tmp_path, 'iter_4.pth', 1.0)

    def cut_off(target):
        target.write_bytes(b'half')
        raise OSError(28, 'No space left on device')

    if fails == 'in the middle':
        with pytest.raises(OSError):
            commit(path, cut_off, {})
    else:
        # A folder in the manifest's place: the rename of the manifest fails, before the file is touched.
        manifest_path(path).unlink()
        (tmp_path / 'iter_4.pth.json' / 'x').mkdir(parents=True)
        with pytest.raises(OSError):
            save(tmp_path, 'iter_4.pth', 2.0)
    assert damage(path) is None
    assert not [name for name in os.listdir(tmp_path) if name.startswith('.')]


def test_what_does_not_read_back_is_not_committed(tmp_path):
    path = save(tmp_path, 'iter_4.pth', 1.0)
    with pytest.raises(EnvironmentFailure, match='does not read back'):
        commit(path, lambda target: target.write_bytes(b'PK no archive'), {})
    assert weight(path) == 1.0
    assert damage(path) is None


def test_between_the_two_renames_of_a_replacement_the_file_is_good(tmp_path):
    path = save(tmp_path, 'iter_4.pth', 1.0)
    old, before = path.read_bytes(), read_manifest(path)['sha256']
    save(tmp_path, 'iter_4.pth', 2.0)
    between = {**read_manifest(path), 'or_sha256': before}
    for content in (old, path.read_bytes()):
        path.write_bytes(content)
        manifest_path(path).write_text(json.dumps(between))
        assert damage(path) is None


@pytest.mark.parametrize('place', [0.0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize('manifest', [True, False])
def test_a_flipped_byte_is_found_with_and_without_a_manifest(tmp_path, place, manifest):
    path = save(tmp_path, 'iter_4.pth')
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 0x55
    path.write_bytes(content)
    if not manifest:
        manifest_path(path).unlink()
        data = torch.full((64,), 1.0).numpy().tobytes()
        if data in content:  # the flip hit padding or a header that says nothing about the content
            assert damage(path) is None or damage(path).reason
            return
    assert damage(path) is not None


@pytest.mark.parametrize('share', [0, 0.01, 0.3, 0.7, 0.99])
def test_a_cut_file_is_found_with_and_without_a_manifest(tmp_path, share):
    path = save(tmp_path, 'iter_4.pth')
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert damage(path) is not None
    manifest_path(path).unlink()
    assert damage(path) is not None


def test_the_newest_good_one_is_taken_whatever_the_pointer_says(tmp_path):
    for step in (4, 8, 12, 100):
        save(tmp_path, f'iter_{step}.pth', float(step), iter=step)
    (tmp_path / 'last_checkpoint').write_text('iter_4.pth')
    assert newest_good(tmp_path)[0].name == 'iter_100.pth'
    (tmp_path / 'iter_100.pth').write_bytes(b'')
    (tmp_path / 'iter_12.pth').write_bytes(b'PK')
    path, damaged = newest_good(tmp_path)
    assert path.name == 'iter_8.pth'
    assert [item.path.name for item in damaged] == ['iter_100.pth', 'iter_12.pth']
    assert all(item.reason for item in damaged)


def test_epochs_and_iterations_are_ordered_by_what_was_done(tmp_path):
    for name, iteration in (('epoch_1.pth', 10), ('iter_14.pth', 14), ('epoch_2.pth', 20), ('iter_7.pth', 7)):
        save(tmp_path, name, iter=iteration)
    save(tmp_path, 'best_x_iter_90.pth', iter=90)
    assert [path.name for path in checkpoints_in(tmp_path)] == [
        'epoch_2.pth',
        'iter_14.pth',
        'epoch_1.pth',
        'iter_7.pth',
    ]


def test_pruning_keeps_the_newest_and_the_best(tmp_path):
    for step in (1, 2, 3, 10):
        save(tmp_path, f'iter_{step}.pth', iter=step)
    save(tmp_path, 'best_iter_1.pth', iter=1)
    prune(tmp_path, 2)
    assert {name for name in os.listdir(tmp_path) if name.endswith('.pth')} == {
        'iter_3.pth', 'iter_10.pth', 'best_iter_1.pth',
    }  # fmt: skip
    assert not (tmp_path / 'iter_1.pth.json').exists()


def test_a_damaged_one_is_renamed_not_deleted(tmp_path):
    path = save(tmp_path, 'iter_4.pth')
    path.write_bytes(b'rubbish')
    aside = set_aside(path)
    assert (aside.name, aside.read_bytes()) == ('iter_4.pth.corrupt', b'rubbish')
    assert newest_good(tmp_path) == (None, [])


def test_the_pointer_survives_a_move_of_the_folder(tmp_path):
    path = save(tmp_path, 'iter_4.pth')
    point_to(path)
    assert (tmp_path / 'last_checkpoint').read_text() == 'iter_4.pth'

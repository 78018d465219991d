"""Packing a data set: the bytes that come out, going on after a kill, damage, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from data_prep.pack import pack_dataset, verify

ROOT = Path(__file__).resolve().parents[2]
COUNT = 11


def write_coco(folder, kind, names):
    images = [dict(id=n, file_name=name, width=8, height=8) for n, name in enumerate(names, 1)]
    (folder / 'annotations').mkdir(parents=True, exist_ok=True)
    content = dict(images=images, annotations=[], categories=[dict(id=1, name='a')])
    (folder / f'annotations/instances_{kind}.json').write_text(json.dumps(content))


@pytest.fixture
def data(tmp_path):
    """Files of 0 to 5000 bytes in COCO's layout, in a sub-folder too; what is packed need not be an image."""
    rng = np.random.default_rng(0)
    folder = tmp_path / 'coco'
    for kind, count in (('train2017', COUNT), ('val2017', 3)):
        names = [f'{n:012d}.jpg' for n in range(count - 1)] + ['sub/' + 'long' * 40 + '.jpg']
        write_coco(folder, kind, names)
        for number, name in enumerate(names):
            path = folder / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(rng.bytes(int(rng.integers(5000)) if number else 0))
        (folder / kind / 'unlisted.jpg').write_bytes(b'not packed')
    return folder


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_an_index_leads_to_the_bytes_of_every_image(data, tmp_path):
    made = pack_dataset(data, tmp_path / 'packed', shards=4)
    assert (made.images, made.shards, made.kept) == (COUNT + 3, 4 + 3, 0)
    for kind, shards in (('train2017', 4), ('val2017', 3)):  # no more shards than images
        folder = tmp_path / 'packed' / kind
        index = json.loads((folder / 'index.json').read_text())
        originals = {k: v for k, v in tree(data / kind).items() if k != 'unlisted.jpg'}
        assert len(index['shards']) == shards and index['images'].keys() == originals.keys()
        for name, (shard, offset, size) in index['images'].items():
            content = (folder / index['shards'][shard]['file']).read_bytes()
            assert content[offset : offset + size] == originals[name]
        unpacked = {}
        for shard in index['shards']:
            with tarfile.open(folder / shard['file']) as tar:
                unpacked |= {member.name: tar.extractfile(member).read() for member in tar}
        assert unpacked == originals  # as any tar program has them
    annotations = 'annotations/instances_train2017.json'
    assert (tmp_path / 'packed' / annotations).read_bytes() == (data / annotations).read_bytes()
    assert verify(tmp_path / 'packed') == []


def test_the_same_images_give_the_same_bytes_whoever_writes_them(data, tmp_path):
    for name, jobs in (('one', 1), ('other', 2)):
        pack_dataset(data, tmp_path / name, shards=3, jobs=jobs)
    assert tree(tmp_path / 'one') == tree(tmp_path / 'other')


KILLED = """
import os, signal, sys
from pathlib import Path
from data_prep.pack import pack_dataset

left = [2]
def progress(images):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.{signal})

pack_dataset(Path({data!r}), Path({out!r}), shards=4, progress=progress)
"""


def test_a_killed_run_goes_on_and_gives_the_same_bytes(data, tmp_path):
    out = tmp_path / 'packed'
    code = KILLED.format(signal='SIGKILL', data=str(data), out=str(out))
    done = subprocess.run([sys.executable, '-c', code], env=os.environ | {'PYTHONPATH': str(ROOT)})
    assert done.returncode == -signal.SIGKILL and not out.exists()
    made = pack_dataset(data, out, shards=4)
    assert made.kept == 2
    pack_dataset(data, tmp_path / 'at once', shards=4)
    assert tree(out) == tree(tmp_path / 'at once')
    assert not list(tmp_path.glob('.*'))


def test_shards_of_files_that_changed_are_not_gone_on_with(data, tmp_path):
    def stop(images):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_dataset(data, tmp_path / 'packed', shards=4, progress=stop)
    first = data / 'train2017/000000000001.jpg'
    first.write_bytes(first.read_bytes()[::-1])
    os.utime(first, ns=(1, 1))
    assert pack_dataset(data, tmp_path / 'packed', shards=4).kept == 0
    with tarfile.open(tmp_path / 'packed/train2017/shard-00000-of-00004.tar') as tar:
        assert tar.extractfile(first.name).read() == first.read_bytes()


def test_the_command_packs_and_says_so(data, tmp_path, data_prep):
    out = tmp_path / 'packed'
    code, said, _ = data_prep('pack', data, '--out', out)
    assert code == 0 and f'{COUNT + 3} images in 2 shards' in said  # one of each folder: far below 512 MB
    code, said, _ = data_prep('pack', out, '--verify')
    assert code == 0 and 'every file is as it was packed' in said
    code, said, error = data_prep('pack', data, '--out', out)
    assert code == 2 and '--overwrite' in error
    code, said, _ = data_prep('pack', data, '--out', out, '--overwrite', '--shards', '2', '--json')
    assert code == 0 and json.loads(said)['shards'] == 4


def test_a_pack_can_be_checked(data, tmp_path, data_prep):
    out = pack_dataset(data, tmp_path / 'packed').out
    code, said, _ = data_prep('check', out)
    assert code == 0 and 'images-not-found' not in said and 'file-missing' not in said
    write_coco(out, 'val2017', ['000000000000.jpg', 'other.jpg'])
    code, said, _ = data_prep('check', out)
    assert code != 0 and 'file-missing' in said and 'not in the pack' in said


def cut(packed):
    path = next(packed.glob('train2017/*.tar'))
    path.write_bytes(path.read_bytes()[:-600])


def flip(packed):
    path = next(packed.glob('train2017/*.tar'))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def foreign(packed):
    shutil.copy(packed / 'val2017/shard-00000-of-00002.tar', packed / 'train2017/shard-00000-of-00002.tar')


DAMAGE = [
    pytest.param(
        lambda p: (p / 'train2017/shard-00001-of-00002.tar').unlink(), '00001-of-00002.tar is missing', id='no'
    ),
    pytest.param(cut, 'another sha256', id='cut'),
    pytest.param(flip, 'another sha256', id='flipped'),
    pytest.param(foreign, 'is of another data set', id='foreign'),
    pytest.param(lambda p: (p / 'val2017/index.json').unlink(), 'index.json is missing', id='no index'),
    pytest.param(
        lambda p: (p / 'annotations/instances_val2017.json').write_text('{}'), 'instances_val2017.json is not', id='ann'
    ),
]


@pytest.mark.parametrize(('spoil', 'said'), DAMAGE)
def test_verify_finds_damage(data, tmp_path, data_prep, spoil, said):
    pack_dataset(data, tmp_path / 'packed', shards=2)
    spoil(tmp_path / 'packed')
    code, _, error = data_prep('pack', tmp_path / 'packed', '--verify')
    assert code == 1 and len(error.splitlines()) == 1 and said in error


BAD = [
    pytest.param(lambda d: shutil.rmtree(d / 'train2017'), 'folder of images of', id='no folder of images'),
    pytest.param(lambda d: (d / 'val2017/000000000001.jpg').unlink(), "the first '000000000001.jpg'", id='no image'),
    pytest.param(lambda d: shutil.rmtree(d / 'annotations'), 'must hold annotations', id='no annotations'),
    pytest.param(lambda d: shutil.rmtree(d), 'nothing is there', id='no data set'),
    pytest.param(lambda d: write_coco(d, 'train2017', ['../x.jpg']), 'plain relative path', id='path leads out'),
    pytest.param(lambda d: write_coco(d, 'train2017', []), 'must list images', id='nothing listed'),
]


@pytest.mark.parametrize(('spoil', 'said'), BAD)
def test_what_cannot_be_packed_is_one_line(data, tmp_path, data_prep, spoil, said):
    spoil(data)
    code, _, error = data_prep('pack', data, '--out', tmp_path / 'packed')
    assert code == 2 and len(error.splitlines()) == 1 and said in error, error
    assert not (tmp_path / 'packed').exists() and not list(tmp_path.glob('.*'))


def test_a_folder_that_is_no_pack_is_not_verified(data, data_prep):
    code, _, error = data_prep('pack', data, '--verify')
    assert code == 2 and 'TRACKING.json' in error
    code, _, error = data_prep('pack', data)
    assert code == 2 and '--out OUT' in error

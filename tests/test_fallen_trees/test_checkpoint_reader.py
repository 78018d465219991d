import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader, load_checkpoint

from fallen_trees.checkpoint_reader import UntrustedError, read_plain, trusting
from fallen_trees.errors import ConfigError


class Poison:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f'touch {self.target}',)


@pytest.mark.parametrize('is_zip', [True, False])
def test_mmengines_and_numpys_objects_are_read_as_values_and_what_else_they_saved_as_none(tmp_path, is_zip):
    content = dict(
        scalar=np.float64(0.5), integer=np.int64(-3), array=np.arange(6.0, dtype='>f4').reshape(2, 3).T,
        history=HistoryBuffer([1.0, 2.0], [1, 3], 10), settings=Config(dict(a=1))._cfg_dict, kind=HistoryBuffer,
        meta=dict(config='1 / 0', epoch=2), shape=torch.Size([2, 3]),
    )  # fmt: skip
    torch.save(content, tmp_path / 'x.pth', _use_new_zipfile_serialization=is_zip)
    back = read_plain(tmp_path / 'x.pth')
    assert (back['scalar'], back['integer'], back['shape']) == (0.5, -3, (2, 3))
    assert np.array_equal(back['array'], content['array'])
    assert isinstance(back['history'], HistoryBuffer) and back['history'].mean() == content['history'].mean()
    assert back['settings'] is None and back['kind'] is None
    assert back['meta'] == dict(epoch=2)


def test_arrays_of_objects_are_refused(tmp_path):
    torch.save(dict(a=np.array([None, 1], dtype=object)), tmp_path / 'x.pth')
    with pytest.raises(ConfigError, match='Python objects'):
        read_plain(tmp_path / 'x.pth')


def test_mmengine_reads_through_this_reader_by_whatever_way(tmp_path):
    path = tmp_path / 'x.pth'
    torch.save(dict(state_dict=dict(weight=torch.ones(1, 1)), extra=Poison(tmp_path / 'ran')), path)
    model = torch.nn.Linear(1, 1, bias=False)
    for read in (CheckpointLoader.load_checkpoint, lambda name: load_checkpoint(model, name)):
        with pytest.raises(UntrustedError, match='posix.system'):
            read(str(path))
    assert not (tmp_path / 'ran').exists()
    with trusting():
        load_checkpoint(model, str(path))
    assert (tmp_path / 'ran').exists() and float(model.weight) == 1
    with pytest.raises(UntrustedError):
        read_plain(path)


@pytest.mark.parametrize('scheme', ['torchvision://', 'open-mmlab://', 'mmcls://', 'pavi://', 's3://', 'petrel://'])
def test_schemes_whose_readers_would_run_what_they_read_are_refused(scheme):
    with pytest.raises(ConfigError, match='must be a file'):
        CheckpointLoader.load_checkpoint(f'{scheme}resnet50')


def test_an_address_is_read_through_it_too(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    cached = tmp_path / 'hub/checkpoints/r18-0123abcd.pth'
    cached.parent.mkdir(parents=True)
    cached.write_bytes(pickle.dumps(Poison(tmp_path / 'ran')))
    with pytest.raises(UntrustedError):
        CheckpointLoader.load_checkpoint('https://example.org/r18-0123abcd.pth')
    assert not (tmp_path / 'ran').exists()


def test_a_list_that_is_held_a_billion_times_is_settled_once(tmp_path):
    nested = [np.float64(1)]
    for _ in range(60):
        nested = [nested, nested]
    torch.save(nested, tmp_path / 'x.pth')
    back = read_plain(tmp_path / 'x.pth')
    while isinstance(back, list):
        back = back[0]
    assert back == 1.0


@pytest.mark.parametrize('kind', ['missing', 'folder'])
def test_what_is_no_file_is_one_line(tmp_path, kind):
    with pytest.raises(ConfigError, match='does not exist' if kind == 'missing' else 'is no file'):
        read_plain(tmp_path / 'x.pth' if kind == 'missing' else tmp_path)

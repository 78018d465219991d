from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import HistoryBuffer

from fallen_trees.resume.plain_state import from_plain, to_plain

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
keys = st.text() | st.integers()
states = st.recursive(leaves, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(keys, inner))
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(states)
def test_plain_states_stay_as_they_are(state):
    assert to_plain(state) == state
    assert from_plain(to_plain(state)) == state


@given(st.lists(numbers, min_size=1, max_size=20), st.integers(1, 30), st.integers(1, 30))
def test_log_histories_come_back_as_they_were(values, count, max_length):
    history = HistoryBuffer(max_length=max_length)
    for value in values:
        history.update(value, count)
    back = from_plain(to_plain({'logs': [history]}))['logs'][0]
    assert isinstance(back, HistoryBuffer) and back.max_length == max_length
    for old, new in zip(history.data, back.data, strict=True):
        assert new.tolist() == old.tolist()
    assert back.mean() == history.mean() and back.max() == history.max()
    back.update(1.0)
    assert len(back.data[0]) == min(len(history.data[0]) + 1, max_length)


def test_what_only_a_pickle_could_hold_becomes_plain(tmp_path):
    state = OrderedDict(
        scalar=np.float64(0.5), integer=np.int64(3), flag=np.bool_(True), array=np.arange(6.0).reshape(2, 3).T,
        shape=torch.Size([2, 3]), names={'a'}, history=HistoryBuffer([1.0], [1]), weight=torch.ones(2),
    )  # fmt: skip
    torch.save(to_plain(state), tmp_path / 'x.pth')
    back = from_plain(torch.load(tmp_path / 'x.pth', weights_only=True))
    assert (back['scalar'], back['integer'], back['flag']) == (0.5, 3, True)
    assert type(back['integer']) is int and type(back['flag']) is bool
    assert torch.equal(back['array'], torch.arange(6.0).reshape(2, 3).T) and back['array'].dtype == torch.float64
    assert (back['shape'], back['names']) == ((2, 3), ['a'])
    assert isinstance(back['history'], HistoryBuffer) and torch.equal(back['weight'], torch.ones(2))


def test_tensors_are_handed_through_not_copied():
    weight = torch.nn.Parameter(torch.ones(2))
    assert to_plain({'w': weight})['w'] is weight


@pytest.mark.parametrize('value', [object(), print, np.array([object()]), 1j])
def test_what_has_no_plain_form_is_refused_naming_its_place(value):
    with pytest.raises(TypeError, match=r'checkpoint\.meta\.runs\[1\]|numpy'):
        to_plain({'meta': {'runs': [1, value]}})

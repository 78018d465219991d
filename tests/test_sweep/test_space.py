"""What may be searched, what is refused, and what constraints say."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.constraints import read_constraint
from sweep.errors import SweepError
from sweep.space import read_space

NUMBER = dict(type='float', low=1e-5, high=1e-1, log=True)
SIZES = {'small': {'image_size': (64, 64), 'crop': 1}, 'large': {'image_size': (96, 96), 'crop': 2}}


def suggested(space, params):
    """Settings of fixed parameters."""
    return space.suggest(optuna.trial.FixedTrial(params))


def test_a_choice_moves_all_its_keys_at_once():
    space = read_space({'resolution': dict(type='choice', choices=SIZES), 'lr': NUMBER}, 'x.py')
    assert suggested(space, {'resolution': 'large', 'lr': 1e-3}) == {'image_size': (96, 96), 'crop': 2, 'lr': 1e-3}


def test_values_that_optuna_cannot_hold_are_chosen_by_their_text():
    space = read_space({'image_size': dict(type='choice', choices=[(64, 64), (96, 96)])}, 'x.py')
    assert suggested(space, {'image_size': '(96, 96)'}) == {'image_size': (96, 96)}


@given(st.integers(-50, 50), st.integers(1, 60), st.integers(1, 9))
def test_whole_numbers_stay_on_their_steps_and_within_their_ends(low, span, step):
    space = read_space({'n': dict(type='int', low=low, high=low + span, step=step)}, 'x.py')
    expected = list(range(low, low + span + 1, step))
    assert space.dimensions[0].cells() == expected
    assert space.size == len(expected)


def test_a_continuous_space_has_no_size():
    assert read_space({'n': dict(type='int', low=1, high=3), 'lr': NUMBER}, 'x.py').size is None
    assert read_space({'x': dict(type='float', low=0.1, high=0.5, step=0.1)}, 'x.py').size == 5


def test_the_data_set_of_a_choice_is_no_key():
    choices = {'a': {'image_size': 1}, 'b': {'image_size': 2, 'data': ['tile', 'scenes', '--tile-size', 64]}}
    space = read_space({'resolution': dict(type='choice', choices=choices)}, 'x.py')
    assert space.data_of({'resolution': 'b'}) == ('tile', 'scenes', '--tile-size', '64')
    assert space.data_of({'resolution': 'a'}) is None
    assert suggested(space, {'resolution': 'b'}) == {'image_size': 2}
    assert 'data_root' in space.dimensions[0].keys


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        ({}, 'search_space must name at least one key'),
        (None, 'search_space must name at least one key'),
        ({'lr': 1e-3}, "must be dict(type='float'|'int'|'choice'"),
        ({'lr': dict(type='flaot', low=1, high=2)}, "must be dict(type='float'|'int'|'choice'"),
        ({'lr': dict(type='float', low=1, high=2, hihg=3)}, "nothing reads the key 'hihg'; is 'high' meant?"),
        ({'lr': dict(type='float', low='1', high=2)}, "low must be a number; got '1'"),
        ({'lr': dict(type='float', low=float('nan'), high=2)}, 'low must be a number; got nan'),
        ({'n': dict(type='int', low=1.5, high=2)}, 'low must be a whole number; got 1.5'),
        ({'n': dict(type='int', low=True, high=2)}, 'low must be a whole number; got True'),
        ({'n': dict(type='int', low=3, high=3)}, 'low must be below high; got 3 and 3'),
        ({'n': dict(type='int', low=3, high=9, step=0)}, 'step must be above 0'),
        ({'lr': dict(type='float', low=0, high=1, log=True)}, 'log=True needs low above 0'),
        ({'a': dict(type='choice', choices=[])}, 'choices must be a list of values or a dict'),
        ({'a': dict(type='choice', choices=[1, 2, 1])}, 'the same value stands twice'),
        ({'a': dict(type='choice', choices={'x': 1})}, "choices by name must be {'name': {'dotted.key': value}}"),
        ({'a': dict(type='choice', choices={'x': {'k': 1}, 'y': {'j': 1}})}, "'x' does not set j, which others set"),
        ({'a': dict(type='choice', choices={'x': {'data': 'tile'}})}, 'must be arguments of data_prep'),
        ({'a': dict(type='choice', choices={'x': {'data': ['tile', '--out', 'd']}})}, '--out is chosen by the sweep'),
        ({'k': NUMBER, 'a': dict(type='choice', choices={'x': {'k': 1}})}, "'k' and 'a' both set k"),
        (
            {'data_root': dict(type='choice', choices=['d']), 'a': dict(type='choice', choices={'x': {'data': ['t']}})},
            "'data_root' and 'a' both set data_root",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(given, said):
    with pytest.raises(SweepError) as error:
        read_space(given, 'x.py')
    assert said in str(error.value)
    assert str(error.value).startswith('x.py: ')
    assert '\n' not in str(error.value)


def test_a_constraint_compares_keys():
    constraint = read_constraint('model.queries * loader.batch[1] + 2 <= 800 / 2', 'x.py')
    values = {'model.queries': 99, 'loader.batch.1': 4}
    assert constraint.holds(values.get)
    assert not constraint.holds({**values, 'model.queries': 100}.get)


NAMES = st.sampled_from(['a', 'b.c', 'b.d'])
SUMS = st.recursive(
    st.integers(0, 9).map(str) | NAMES,
    lambda part: st.builds('({} {} {})'.format, part, st.sampled_from(['+', '-', '*']), part),
    max_leaves=6,
)


@given(SUMS, st.sampled_from(['<=', '<', '>=', '>', '==', '!=']), SUMS, st.tuples(*[st.integers(-9, 9)] * 3))
def test_constraints_mean_what_python_means(left, sign, right, values):
    text = f'{left} {sign} {right}'
    by_key = dict(zip(('a', 'b.c', 'b.d'), values, strict=True))
    plain = text.replace('b.c', 'b_c').replace('b.d', 'b_d')
    expected = eval(plain, {key.replace('.', '_'): value for key, value in by_key.items()})
    assert read_constraint(text, 'x.py').holds(by_key.get) is expected


@pytest.mark.parametrize(
    'text',
    ['a', 'a <= b <= c', 'a and b', "__import__('os').system('x') <= 1", 'f(a) < 1', 'a[b] < 1', "'a' < 1",
     'a ** 9 < 1', 'a <', 3, None, '(a := 3) < 4', 'True < 2', '[1][0] < 2'],
)  # fmt: skip
def test_nothing_else_is_a_constraint(text):
    with pytest.raises(SweepError, match='a constraint must compare'):
        read_constraint(text, 'x.py')


def test_a_constraint_on_what_is_no_number_is_refused():
    with pytest.raises(SweepError, match='a must be a number; it is None'):
        read_constraint('a < 1', 'x.py').holds({}.get)
    with pytest.raises(SweepError, match='divides by 0'):
        read_constraint('1 / a < 1', 'x.py').holds({'a': 0}.get)

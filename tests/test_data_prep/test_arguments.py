"""Values on the command line are understood or refused with the range that was meant."""

import argparse

import pytest

from data_prep import arguments


def test_good_values():
    assert arguments.number(int, 1, 5)('3') == 3 and arguments.number(float, 0, 1)('1') == 1.0
    assert arguments.names('b, a') == ('b', 'a')
    assert arguments.bands('4,3,2') == (4, 3, 2) and arguments.bands('1') == (1,)
    assert arguments.ratios('0.8,0.1,0.1') == pytest.approx((0.8, 0.1, 0.1))
    assert arguments.ratios('85.5,4.5,10') == pytest.approx((0.855, 0.045, 0.1))
    assert arguments.ratios('0.667,0.333,0') == pytest.approx((0.667, 0.333, 0))


@pytest.mark.parametrize(
    ('parse', 'text'),
    [
        (arguments.number(int, 1, 5), '6'),
        (arguments.number(int, 1, 5), '2.5'),
        (arguments.number(float, 0, 1), 'nan'),
        (arguments.number(float, 0, 1), 'inf'),
        (arguments.names, 'a,,b'),
        (arguments.names, 'a,a'),
        (arguments.names, ''),
        (arguments.bands, ''),
        (arguments.bands, '0,1,2'),
        (arguments.bands, 'r,g,b'),
        (arguments.ratios, '0.8,0.2'),
        (arguments.ratios, '0.8,0.1,0.2'),
        (arguments.ratios, '1.2,-0.1,-0.1'),
        (arguments.ratios, 'nan,0,1'),
        (arguments.ratios, '0,0,0'),
        (arguments.ratios, 'a,b,c'),
    ],
)
def test_bad_values(parse, text):
    with pytest.raises(argparse.ArgumentTypeError, match='must be'):
        parse(text)

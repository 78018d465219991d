"""Tables by length and by width."""

import numpy as np
import pytest
from scored_bars import bar, scene

from tree_map.scoring import classes
from tree_map.scoring.matching import pairs_of
from tree_map.scoring.scores import ScoreSettings
from tree_map.scoring.units import units_of

SETTINGS = ScoreSettings(score_thr=0.5, replicates=200)


def rows(scenes, settings=SETTINGS, **edges):
    pairs = [pairs_of(one, settings.score_thr) for one in scenes]
    return classes.table(scenes, pairs, units_of(scenes), settings, **edges)


def by(scenes, kind, **edges):
    return {row['class']: row for row in rows(scenes, **edges) if row['by'] == kind}


TRUTH = [bar(10, 10 * k, length=length) for k, length in enumerate((4, 5, 9, 15, 15.2), 1)]
TRUTH.append(bar(50, 10, length=12, length_m=None))
FOUND = [
    bar(10, 20, length=5, length_m=4.5),  # right, but in the class below
    bar(10, 30, length=9, length_m=10.5),  # right, but in the class above
    bar(10, 40, length=15, length_m=14.0),
    bar(10, 50, length=15.2, length_m=15.0),
    bar(50, 50, length=12),  # false
    bar(50, 60, length_m=np.nan),  # false, of unknown length
    bar(50, 70, length=30, score=0.4),  # not on the map
]


def test_lengths_by_hand():
    table = by([scene(TRUTH, FOUND)], 'length')
    assert list(table) == ['< 5 m', '5-10 m', '10-20 m', '>= 20 m', 'unknown']
    assert [row['truth'] for row in table.values()] == [1, 2, 2, 0, 1]
    assert [row['found'] for row in table.values()] == [1, 0, 4, 0, 1]
    assert [row['recall'] for row in table.values()] == [0, 1, 1, None, 0]
    assert [row['precision'] for row in table.values()] == [1, None, 0.75, None, 0]
    assert table['10-20 m']['F1'] == pytest.approx(2 * 0.75 / 1.75)
    assert table['10-20 m']['length_MAE_m'] == pytest.approx(0.6)
    assert table['5-10 m']['length_MAE_m'] == pytest.approx(1.0)
    assert table['< 5 m']['length_MAE_m'] is None
    assert [(row['from_m'], row['to_m']) for row in table.values()] == [
        (None, 5), (5, 10), (10, 20), (20, None), (None, None)]  # fmt: skip


def test_widths_and_edges():
    truth = [bar(10, 10, width=0.15), bar(10, 20, width=0.2), bar(10, 30, width=0.39), bar(10, 40, width=0.8)]
    table = by([scene(truth, truth)], 'width')
    assert {name: row['truth'] for name, row in table.items()} == {
        '< 0.2 m': 1, '0.2-0.4 m': 2, '>= 0.4 m': 1, 'unknown': 0}  # fmt: skip
    assert {name: row['recall'] for name, row in table.items() if row['truth']} == dict.fromkeys(list(table)[:3], 1.0)
    other = by([scene(truth, truth)], 'width', width_edges_m=(0.3,))
    assert {name: row['found'] for name, row in other.items()} == {'< 0.3 m': 2, '>= 0.3 m': 2, 'unknown': 0}
    whole = by([scene(truth, truth)], 'width', width_edges_m=())
    assert {name: row['truth'] for name, row in whole.items()} == {'all': 4, 'unknown': 0}


def test_edges_that_do_not_rise_are_refused():
    with pytest.raises(ValueError, match=r'edges of classes by length must rise, but are \[10.0, 5.0\]'):
        rows([scene(TRUTH, FOUND)], length_edges_m=(10, 5))


def test_classes_add_up_to_all_trees():
    table = rows([scene(TRUTH, FOUND), scene(FOUND[:3], TRUTH, 'b')])
    for kind in ('length', 'width'):
        assert sum(row['truth'] for row in table if row['by'] == kind) == 9
        assert sum(row['found'] for row in table if row['by'] == kind) == 12


def test_trees_that_nobody_is_asked_to_find_are_in_no_class():
    table = by([scene([bar(10, 10)], [bar(10, 10), bar(10, 50)])], 'length')
    assert table['10-20 m']['precision'] == 0.5
    pairs = scene([bar(10, 10)], [bar(10, 10), bar(10, 50)], ignored=[bar(10, 50)])
    assert by([pairs], 'length')['10-20 m']['precision'] == 1


def test_intervals_hold_the_figures():
    rng = np.random.default_rng(0)
    scenes = []
    for number in range(10):
        truth = [bar(10, 2 * k, length=rng.uniform(3, 18)) for k in range(12)]
        scenes.append(scene(truth, [row for row in truth if rng.random() < 0.7], str(number)))
    for row in rows(scenes):
        if row['truth'] > 10:
            assert 0 < row['recall_low'] < row['recall'] < row['recall_high'] < 1
    assert all(row['recall_low'] is None for row in rows(scenes, ScoreSettings(replicates=0)))

"""Planted errors: every figure moves the way it should as they grow, and the others stay."""

import numpy as np
import pytest
from scored_bars import bar, scene

from tree_map.scoring.scores import ScoreSettings, score

SETTINGS = ScoreSettings(score_thr=0.5, replicates=0)
APS = ('scene/AP', 'scene/AP50', 'relaxed/AP')
LINES = ('centreline/completeness', 'centreline/correctness', 'centreline/F1')
COUNTS = ('scene/precision', 'scene/recall', 'scene/F1')
SUMS = ('count/error_percent', 'length/total_error_percent', 'volume/total_error_percent')
BIASES = ('length/bias_m', 'diameter/bias_m', 'volume/bias_m3')


def world(seed=0, rows=4):
    """Two scenes of bars, one in each cell of 12 m, of all directions; each is followed by a short one in line."""
    rng = np.random.default_rng(seed)
    scenes = []
    for _ in range(2):
        bars = []
        for cell in range(rows**2):
            azimuth, length, width = rng.uniform(0, 360), rng.uniform(4, 6), rng.uniform(0.25, 0.6)
            way = np.array([np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))])
            start = 12 * np.array([cell % rows, cell // rows]) + 6 - way * length / 2
            bars.append(bar(*start, azimuth, length, width, rng.uniform(0.6, 1)))
            bars.append(bar(*start + way * (length + 0.3), azimuth, 3.0, width, rng.uniform(0.6, 1)))
        scenes.append(bars)
    return scenes


TRUTH = world()


def figures(found):
    scenes = [
        scene(labelled, bars, str(number)) for number, (labelled, bars) in enumerate(zip(TRUTH, found, strict=True))
    ]
    return {item.name: item.value for item in score(scenes, SETTINGS).figures}


def remade(row, ahead=0.0, aside=0.0, turn=0.0, longer=0.0, wider=1.0, **changes):
    """A tree moved along itself and across, m, turned about its middle, degrees, longer at its top, m, or wider."""
    azimuth, length = row['azimuth_deg'] + turn, row['length_m'] + longer
    old, new = (np.array([np.sin(np.radians(a)), np.cos(np.radians(a))]) for a in (row['azimuth_deg'], azimuth))
    middle = np.array(row['centreline'].coords[0]) + old * (row['length_m'] / 2 + ahead)
    middle += aside * np.array([old[1], -old[0]])
    start = middle - new * row['length_m'] / 2
    return bar(*start, azimuth % 360, length, row['diameter_mid_m'] * wider, changes.get('score', row['score']))


def each(change):
    return [[change(row) for row in bars] for bars in TRUTH]


def some(share, change):
    """Every tree stays, and a share of them, chosen evenly, gets what `change` makes of it beside it."""
    return [bars + [change(row) for k, row in enumerate(bars) if (k * share) % 1 < share] for bars in TRUTH]


def split(parts):
    """Each tree cut into equal parts."""
    return [
        [remade(remade(row, longer=row['length_m'] * (1 / parts - 1)), ahead=row['length_m'] * k / parts)
         for row in bars for k in range(parts)]
        for bars in TRUTH
    ]  # fmt: skip


def merge(share):
    """A tree and the short one in line with it found as one."""
    found = []
    for bars in TRUTH:
        kept = []
        for k in range(0, len(bars), 2):
            joined = k / 2 * share % 1 < share
            kept += [remade(bars[k], longer=0.3 + bars[k + 1]['length_m'])] if joined else bars[k : k + 2]
        found.append(kept)
    return found


def drop(share):
    return [[row for k, row in enumerate(bars) if (k * share) % 1 >= share] for bars in TRUTH]


def elsewhere(row):
    return remade(row, aside=5.9)


# What is done, how much, and what falls, rises, stays.
PLANTED = {
    'shift aside': (lambda m: each(lambda row: remade(row, aside=m)), (0, 0.06, 0.12, 0.2, 0.3, 0.45),
                    (*APS, 'scene/F1'), (), (*LINES, *SUMS)),
    'shift a little': (lambda m: each(lambda row: remade(row, aside=m)), (0, 0.03, 0.05, 0.07),
                       ('scene/AP',), (), ('relaxed/AP', 'relaxed/AP50', 'scene/recall', *LINES, *SUMS, *BIASES)),
    'shift far': (lambda m: each(lambda row: remade(row, aside=m)), (0.4, 0.6), LINES, (), SUMS),
    'shorten': (lambda m: each(lambda row: remade(row, longer=-m)), (0, 0.6, 1.0, 1.4),
                ('scene/AP', 'relaxed/AP', 'centreline/completeness', 'centreline/F1', *SUMS[1:], 'length/bias_m',
                 'volume/bias_m3'), ('length/MAE_m', 'length/median_percent', 'volume/MAE_m3'),
                ('scene/recall', 'centreline/correctness', SUMS[0], 'diameter/bias_m', 'azimuth/MAE_deg')),
    'lengthen': (lambda m: each(lambda row: remade(row, longer=m)), (0, 0.3, 0.5, 0.9),
                 ('scene/AP',), ('length/bias_m', 'length/MAE_m', *SUMS[1:]),
                 ('scene/recall', 'centreline/completeness', SUMS[0])),
    'thicken': (lambda m: each(lambda row: remade(row, wider=m)), (1, 1.3, 1.6, 1.9), ('scene/AP',),
                ('diameter/bias_m', 'diameter/median_percent', 'volume/bias_m3', 'volume/total_error_percent'),
                (*LINES, *COUNTS, 'length/bias_m', 'count/error_percent', 'length/total_error_percent')),
    'split': (split, (1, 2, 3), (*APS, *COUNTS), ('count/error_percent',), (*LINES, *SUMS[1:])),
    'merge': (merge, (0, 0.25, 0.5, 1), (*APS, 'scene/recall', 'count/error_percent'), ('length/bias_m',), LINES),
    'drop': (drop, (0, 0.25, 0.5, 0.75), (*APS, 'scene/recall', 'scene/F1', LINES[0], LINES[2], *SUMS), (),
             ('scene/precision', LINES[1], *BIASES, 'length/MAE_m', 'azimuth/MAE_deg', 'azimuth/right_direction')),
    'duplicate': (lambda share: some(share, lambda row: remade(row, aside=0.02, score=row['score'] - 0.05)),
                  (0, 0.25, 0.5, 1), ('scene/precision', 'scene/F1', LINES[1], LINES[2]), SUMS,
                  ('scene/recall', LINES[0], *BIASES, 'azimuth/MAE_deg')),
    'false alarms': (lambda share: some(share, lambda row: remade(elsewhere(row), score=0.55)), (0, 0.25, 0.5, 1),
                     ('scene/precision', LINES[1]), SUMS, (*APS, 'scene/recall', *BIASES)),
    'surer false alarms': (lambda s: some(0.5, lambda row: remade(elsewhere(row), score=0.5 + s / 2)), (0.1, 0.6, 0.9),
                           APS, (), (*COUNTS, *LINES, *SUMS)),
    'rotate': (lambda m: each(lambda row: remade(row, turn=m)), (0, 2, 4, 7), (*APS[:2],), ('azimuth/MAE_deg',),
               (*SUMS, *LINES, *BIASES, 'azimuth/right_direction')),
    'rotate far': (lambda m: each(lambda row: remade(row, turn=m)), (5, 15, 25, 35), ('centreline/F1',), (), SUMS),
}  # fmt: skip


@pytest.mark.parametrize('name', list(PLANTED))
def test_figures_move_as_they_should(name):
    plant, sizes, falling, rising, still = PLANTED[name]
    got = [figures(plant(size)) for size in sizes]
    way = {figure: np.diff([one[figure] for one in got]) for figure in (*falling, *rising, *still)}
    assert {figure: way[figure] for figure in falling if not falls(way[figure])} == {}
    assert {figure: way[figure] for figure in rising if not falls(-way[figure])} == {}
    assert {figure: way[figure] for figure in still if np.abs(np.cumsum(way[figure])).max() > most(figure)} == {}


def falls(steps):
    """Never rises, and falls by a good deal from end to end."""
    return (steps < 1e-9).all() and steps.sum() < -0.02


def most(figure):
    """By how much a figure may move that stays: a hundredth, a centimetre, half a percent."""
    return 0.5 if figure.endswith('percent') else 0.012


def test_a_perfect_map():
    perfect = figures(TRUTH)
    for name in (*APS, 'scene/AP75', 'relaxed/AP50', *COUNTS, *LINES, 'azimuth/right_direction'):
        assert perfect.pop(name) == pytest.approx(1)
    assert max(map(abs, perfect.values())) < 1e-9 and len(perfect) == 13


def test_trees_in_other_places_are_no_trees():
    rng = np.random.default_rng(1)
    shuffled = [[bar(*rng.uniform(0, 48, 2), rng.uniform(0, 360), row['length_m'], row['diameter_mid_m'], row['score'])
                 for row in bars] for bars in TRUTH]  # fmt: skip
    got = figures(shuffled)
    assert max(got[name] for name in (*APS, *COUNTS, 'relaxed/AP50')) < 0.01
    assert max(got[name] for name in LINES) < 0.1
    assert [got[name] for name in SUMS] == pytest.approx([0, 0, 0], abs=1e-9)


def test_trees_found_the_wrong_way_round():
    got = figures(each(lambda row: remade(row, turn=180)))
    assert (got['azimuth/right_direction'], got['azimuth/MAE_deg']) == pytest.approx((0, 0), abs=1e-9)
    assert min(got[name] for name in (*APS, *COUNTS, *LINES)) == pytest.approx(1)


def test_sizes_of_errors_by_hand():
    assert figures(drop(0.25))['scene/recall'] == pytest.approx(0.75)
    assert figures(split(2))['count/error_percent'] == pytest.approx(100)
    twice = figures(some(1, lambda row: remade(row, aside=0.02)))
    assert (twice['centreline/correctness'], twice['length/total_error_percent']) == pytest.approx((0.5, 100))
    assert figures(merge(1))['count/error_percent'] == pytest.approx(-50)
    assert figures(each(lambda row: remade(row, turn=2)))['azimuth/MAE_deg'] == pytest.approx(2)
    assert figures(each(lambda row: remade(row, longer=-1)))['length/bias_m'] == pytest.approx(-1)

"""Rows, CSV, Markdown and terminal lines of a study."""

import csv
import io
import os
import pty
import re

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from sweep.results import LiveTable, table_lines, write_results
from sweep.results.pareto import against_cost, front_of
from sweep.results.rows import Row, best_row, one_line, rows_of, short_names
from sweep.results.table import write_markdown

from .drawn_study import LR, NASTY, QUERIES, TWO, DrawnSweep, add, grown_study, new_study

SWEEP = DrawnSweep()


def numbers(rows):
    return [row.number for row in rows]


def test_best_on_top_and_pruned_ones_below_however_good():
    rows = rows_of(grown_study(), SWEEP)
    assert [row.state for row in rows] == ['done'] * 12 + ['pruned'] * 2 + ['infeasible']
    assert rows[0].number == 7
    assert best_row(rows) is rows[0]
    figures = [row.figures[0] for row in rows[:12]]
    assert figures == sorted(figures, reverse=True)


def test_best_of_a_figure_that_is_to_be_small():
    small = DrawnSweep(objectives=(('loss', 'minimize'),))
    study = new_study(sweep=small)
    add(study, 3.0, curve=[(10, 4.0), (20, 2.5), (30, 3.0)])
    add(study, 1.0)
    rows = rows_of(study, small)
    assert numbers(rows) == [1, 0]
    assert rows[1].best_iteration == 20


def test_nothing_is_best_while_no_trial_has_ended(tmp_path):
    study = new_study()
    add(study, 0.4, state=TrialState.PRUNED, curve=[(75, 0.4)])
    add(study, state=TrialState.RUNNING, curve=[(75, 0.5)])
    write_results(study, SWEEP, tmp_path)
    assert best_row(rows_of(study, SWEEP)) is None
    assert not (tmp_path / 'best.py').exists()
    assert 'no `best.py`' in (tmp_path / 'results.md').read_text()


def test_a_trial_outside_its_constraints_is_not_best():
    study = new_study()
    broken = add(study, 0.9, limits={'queries': 1.0})
    fine = add(study, 0.2, limits={'queries': -1.0})
    said = add(study, 0.8, infeasible='too slow')
    rows = rows_of(study, SWEEP)
    assert numbers(rows) == [fine, broken, said]
    assert [row.state for row in rows] == ['done', 'infeasible', 'infeasible']
    assert rows[1].reason == 'constraint not met: queries'
    assert rows[2].reason == 'too slow'


def test_a_trial_that_was_not_trained_is_not_best():
    study = new_study()
    add(study, 0.2)
    add(study, 0.2, skipped='the same as trial 0', duplicate_of=0)
    add(study, state=TrialState.PRUNED, skipped='breaks a < b', infeasible='breaks a < b')
    rows = rows_of(study, SWEEP)
    assert [(row.number, row.state, row.reason) for row in rows] == [
        (0, 'done', ''), (1, 'skipped', 'the same as trial 0'), (2, 'skipped', 'breaks a < b'),
    ]  # fmt: skip


def test_a_trial_that_went_on_under_another_number_is_told_apart():
    study = new_study()
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        callback = optuna.storages.RetryHeartbeatStaleTrialCallback()
    first = add(study, state=TrialState.FAIL)
    callback(study, study.trials[first])
    study.tell(study.ask(), state=TrialState.FAIL)
    callback(study, study.trials[1])
    study.tell(study.ask(), 0.3)
    rows = rows_of(study, SWEEP)
    assert [(row.number, row.state) for row in rows] == [(2, 'done'), (0, 'retried'), (1, 'retried')]
    assert rows[1].reason == 'its process died; goes on as trial 2'


def test_csv_holds_every_trial_with_all_digits(tmp_path):
    study = grown_study()
    write_results(study, SWEEP, tmp_path)
    lines = list(csv.DictReader(io.StringIO((tmp_path / 'trials.csv').read_text())))
    assert [int(line['number']) for line in lines] == list(range(15))
    for line, trial in zip(lines, study.trials, strict=True):
        assert float(line[LR]) == trial.params[LR]
        assert int(line[QUERIES]) == trial.params[QUERIES]
    assert lines[7]['state'] == 'done'
    assert float(lines[7]['coco/segm_mAP']) == study.best_value
    assert (lines[7]['best_iteration'], lines[7]['iterations'], lines[7]['seconds']) == ('600', '600', '60.0')
    assert (lines[7]['seconds_per_image'], lines[7]['memory_mb']) == ('0.30000000000000004', '1100.0')
    assert lines[0]['image_size'] == '[128, 128]'
    assert lines[14]['coco/segm_mAP'] == ''
    assert (lines[14]['retries'], lines[14]['reason']) == ('1', 'out of memory at 60 queries | 3 GB asked')


def test_markdown_table_keeps_its_columns_whatever_the_words(tmp_path):
    write_markdown(NASTY, rows_of(grown_study(), SWEEP), SWEEP, tmp_path / 'results.md')
    text = (tmp_path / 'results.md').read_text()
    lines = [line for line in text.splitlines() if line.startswith('|')]
    assert lines[2].startswith('| 7 | done | 0.3010 |')
    assert {len(re.findall(r'(?<!\\)\|', line)) for line in lines} == {len(re.findall(r'\|', lines[0]))}
    assert r'\<script\>' in text
    assert '\x1b' not in text


def test_several_objectives_have_a_front(tmp_path):
    study = new_study(sweep=TWO)
    for ap, seconds in ((0.3, 2.0), (0.2, 1.0), (0.1, 1.5), (0.3, 3.0)):
        add(study, ap, seconds)
    write_results(study, TWO, tmp_path)
    text = (tmp_path / 'results.md').read_text()
    front = text[text.index('## Pareto front') : text.index('## All trials')]
    assert [line[:3] for line in front.splitlines() if re.match(r'\| \d', line)] == ['| 0', '| 1']


points = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


@given(points)
def test_front_is_that_of_optuna(drawn):
    study = new_study(sweep=TWO)
    for ap, seconds in drawn:
        add(study, float(ap), float(seconds))
    ours = front_of(rows_of(study, TWO), TWO.objectives)
    assert sorted(numbers(ours)) == sorted(trial.number for trial in study.best_trials)


def test_front_against_a_cost_leaves_out_those_that_do_not_know_it():
    study = new_study()
    add(study, 0.3, memory_mb=900.0)
    add(study, 0.2, memory_mb=400.0)
    add(study, 0.1, memory_mb=500.0)
    add(study, 0.9)
    front, others = against_cost(rows_of(study, SWEEP), SWEEP, 'memory_mb')
    assert [(row.number, row.figures) for row in front] == [(1, (0.2, 400.0)), (0, (0.3, 900.0))]
    assert numbers(others) == [2]


def test_short_names_stay_different():
    names = ['model.a.lr', 'optim.b.lr', 'resolution', 'x.resolution', 'model.num_queries']
    assert list(short_names(names).values()) == ['a.lr', 'b.lr', 'resolution', 'x.resolution', 'num_queries']


@given(st.lists(st.text('ab.', min_size=1, max_size=8), unique=True))
def test_short_names_are_never_shared(names):
    short = short_names(names)
    assert len(set(short.values())) == len(names)


def test_lines_fit_the_width_and_name_the_rest():
    study = grown_study(NASTY)
    add(study, state=TrialState.RUNNING)
    lines = table_lines(study, SWEEP, width=60, most=5)
    assert max(map(len, lines)) <= 60
    assert all(line.isprintable() for line in lines)
    assert lines[0].startswith('trees <script>')
    assert lines[2].split()[:2] == ['7', 'done']
    assert any(line.split()[:2] == ['15', 'running'] for line in lines)
    assert lines[-1] == 'and 11 more'


def test_no_trials_are_one_line():
    assert table_lines(new_study(), SWEEP, width=80) == ['trees: no trials']


def test_without_a_terminal_each_trial_is_told_once_and_plainly():
    study, stream = new_study(NASTY), io.StringIO()
    table = LiveTable(stream, SWEEP)
    add(study, state=TrialState.RUNNING)
    table.update(study)
    assert stream.getvalue() == ''
    add(study, 0.25, seconds=90.0)
    table.update(study)
    add(study, state=TrialState.FAIL, reason='no \x1b[31mdata')
    table.update(study)
    lines = stream.getvalue().splitlines()
    assert lines[0] == 'trial 1 done: segm_mAP 0.2500, lr 0.0002, num_queries 30, resolution 128, minutes 1.5'
    assert len(lines) == 2
    assert lines[1].endswith('reason no [31mdata')
    assert '\x1b' not in stream.getvalue()


def test_on_a_terminal_the_table_is_drawn_over_itself():
    primary, secondary = pty.openpty()
    study = grown_study()
    with os.fdopen(secondary, 'w') as terminal:
        table = LiveTable(terminal, SWEEP)
        table.update(study)
        first = os.read(primary, 100_000).decode()
        table.update(study)
        second = os.read(primary, 100_000).decode()
    os.close(primary)
    rows = first.count('\n')
    assert '\x1b' not in first
    assert second == f'\x1b[{rows}F\x1b[J' + first


@pytest.mark.parametrize('text', ['a\nb', 'a\tb', 'a\x00b', 'a\x1b b', 'a\u2028b', ' a  b '])
def test_names_are_one_line(text):
    assert one_line(text) == 'a b'


def test_a_row_that_knows_nothing_is_shown():
    study = new_study()
    study.ask()
    (row,) = rows_of(study, SWEEP)
    assert row == Row(number=0, state='running', params={}, values={}, figures=(None,))
    assert table_lines(study, SWEEP, width=80)[1:] == ['trial  state    segm_mAP', '0      running']

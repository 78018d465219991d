"""The page: complete without a network, its names harmless, and readable when there is little to show."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from optuna.trial import TrialState

from sweep.results.plots import plots_of
from sweep.results.report import write_report
from sweep.results.rows import rows_of

from .drawn_study import NASTY, TWO, DrawnSweep, add, grown_study, new_study

SWEEP = DrawnSweep()
TITLES = [
    'coco/segm_mAP against seconds per image', 'coco/segm_mAP against memory, MB', 'History', 'Importances', 'Slices',
    'Parallel coordinates', 'Intermediate values',
]  # fmt: skip


class Page(HTMLParser):
    """Elements of a page: names with attributes, and the content of scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag == 'script'
        if self.inside:
            self.scripts.append((dict(attrs), ''))

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)


@pytest.fixture(scope='module')
def page_file(tmp_path_factory):
    path = tmp_path_factory.mktemp('page') / 'report.html'
    study = grown_study(NASTY)
    write_report(study, SWEEP, rows_of(study, SWEEP), path)
    return path


@pytest.fixture(scope='module')
def page(page_file):
    return Page(page_file.read_text())


def test_size_is_that_of_plotly_once(page_file):
    assert page_file.stat().st_size < 5.5e6


def test_it_loads_nothing(page):
    assert [tag for tag, attrs in page.tags if {'src', 'href', 'srcset', 'data', 'action'} & set(attrs)] == []


def test_policy_lets_its_own_two_scripts_run_and_no_other(page):
    (policy,) = [attrs['content'] for _, attrs in page.tags if attrs.get('http-equiv') == 'Content-Security-Policy']
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert 'http' not in policy
    assert 'unsafe' not in policy.split(';')[1]
    run = [text for attrs, text in page.scripts if attrs.get('type') is None]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run]
    assert re.findall("'sha256-(.*?)'", policy) == hashes
    assert len(run) == 2


def test_every_plot_is_there_with_its_data(page_file, page):
    text = page_file.read_text()
    assert re.findall('<h2>(.*?)</h2>', text) == TITLES
    data = [json.loads(text) for attrs, text in page.scripts if attrs.get('type') == 'application/json']
    assert [bool(figure['data']) for figure in data] == [True] * len(TITLES)
    curves = data[-1]['data']
    assert len(curves) == 14
    assert curves[7]['x'][-1] == 600


def test_names_are_escaped(page_file):
    text = page_file.read_text()
    assert '<title>Sweep: trees &lt;script&gt;' in text
    assert 'document.title="run"</script>' not in text
    assert '<b>256</b>' not in text
    assert '\x1b' not in text


def titles_with_words(study, sweep=SWEEP):
    plots = plots_of(study, sweep, rows_of(study, sweep))
    return {plot.title: plot.text for plot in plots if plot.figure is None}, plots


def test_few_trials_have_fewer_plots_and_words_for_the_others():
    study = new_study()
    words, plots = titles_with_words(study)
    assert list(words) == TITLES
    assert words['History'] == 'Needs 1 finished trial; there are none.'
    add(study, 0.3, curve=[(75, 0.3)], memory_mb=900.0)
    words, _ = titles_with_words(study)
    assert set(TITLES) - set(words) == {'History', 'Intermediate values'}
    assert words['coco/segm_mAP against memory, MB'].endswith('of which it is known; there is 1.')
    assert words['Slices'] == 'Needs 2 finished trials; there is 1.'


def test_equal_figures_and_one_value_of_everything_are_no_error(tmp_path):
    study = new_study()
    for _ in range(6):
        add(study, 0.3)
    words, _ = titles_with_words(study)
    assert not any('Traceback' in text for text in words.values())
    write_report(study, SWEEP, rows_of(study, SWEEP), tmp_path / 'report.html')
    assert 'best coco/segm_mAP 0.3000' in (tmp_path / 'report.html').read_text()


def test_trials_that_failed_alone_are_no_error(tmp_path):
    study = new_study()
    add(study, state=TrialState.FAIL, reason='no data')
    add(study, float('inf'))
    write_report(study, SWEEP, rows_of(study, SWEEP), tmp_path / 'report.html')
    assert 'no data' in (tmp_path / 'report.html').read_text()


def test_several_objectives_have_plots_of_each():
    study = new_study(sweep=TWO)
    for n in range(6):
        add(study, 0.1 + n / 20, 1.0 + n**2, lr=1e-4 * (n + 1), queries=10 + 10 * n)
    words, plots = titles_with_words(study, TWO)
    assert list(words) == ['coco/segm_mAP against memory, MB', 'Intermediate values']
    assert [plot.title for plot in plots if plot.figure] == [
        'Objectives against each other',
        *(f'{kind} of {name}' for name, _ in TWO.objectives for kind in ('History', 'Importances', 'Slices')),
        'Parallel coordinates',
    ]
    labels = plots[-2].figure.layout.xaxis.ticktext
    assert list(labels[:2]) == ['coco/segm_mAP', 'seconds_per_image']


def test_importance_of_a_figure_that_is_to_be_large_asks_for_large_ones():
    """The rate decides whether the figure is large, the queries how small a small one is."""
    study, several = new_study(), new_study(sweep=TWO)
    for n in range(40):
        lr, queries = 3e-5 * 1.09**n, 10 + 10 * (n * 7 % 6)
        figure = 1.0 + n if n >= 20 else -queries / 10
        add(study, figure, lr=lr, queries=queries)
        add(several, figure, 1.0 + n, lr=lr, queries=queries)
    bars = [
        next(plot.figure.data[0] for plot in plots_of(one, sweep, rows_of(one, sweep)) if plot.title.startswith('Imp'))
        for one, sweep in ((study, SWEEP), (several, TWO))
    ]
    assert bars[0].y == bars[1].y
    assert bars[0].x == pytest.approx(bars[1].x)


@pytest.mark.skipif(not shutil.which('chromium'), reason='chromium is not installed')
def test_a_browser_draws_every_plot_and_runs_no_name(page_file):
    found = subprocess.run(
        ['chromium', '--headless', '--no-sandbox', '--disable-gpu', '--enable-logging=stderr',
         '--virtual-time-budget=15000', '--dump-dom', page_file.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert found.stdout.count('class="plot-container') == len(TITLES)
    assert '<title>Sweep: trees &lt;script&gt;' in found.stdout
    assert 'Refused' not in found.stderr
    assert 'Uncaught' not in found.stderr
    assert 'Share chart' not in found.stdout.split('</script>')[-1]

import json
import re
from html.parser import HTMLParser

import pytest

from fallen_trees.checks.diagnosis.doctor import Diagnosis, examine
from fallen_trees.checks.diagnosis.page import write_page
from fallen_trees.checks.diagnosis.table import summary, table
from fallen_trees.checks.finding import Finding, Verdict

NAMES = {'config', 'learning-rate', 'lr-schedule', 'start-weights', 'class-counts', 'memory'}


def breaks(subject):
    yield Finding('before', Verdict.OK, 'said before it broke.')
    raise ZeroDivisionError('of a mistake\nin two lines')


def says_nothing(subject):
    return []


def shouts(subject):
    yield Finding('shouts', Verdict.WARNING, 'look <b>here</b> & there.', dict(share=1 / 3, where='<i>'))


@pytest.fixture
def quick(monkeypatch):
    """Only the checks that a test hands over."""
    monkeypatch.setattr('fallen_trees.checks.diagnosis.doctor.DATA_CHECKS', ())
    monkeypatch.setattr('fallen_trees.checks.diagnosis.doctor.RECIPE_CHECKS', ())


def test_all_checks_run_worst_first(demo_config, capsys):
    demo_config.optim_wrapper.optimizer.lr = 0.5
    demo_config.randomness.seed = None
    seen = []
    diagnosis = examine(demo_config, num_samples=4, progress=seen.append)
    verdicts = [finding.verdict for finding in diagnosis.findings]
    assert verdicts == sorted(verdicts, reverse=True)
    assert {finding.check for finding in diagnosis.findings} >= NAMES
    assert diagnosis.verdict == Verdict.ERROR
    assert any(f.check == 'learning-rate' and f.verdict == Verdict.ERROR for f in diagnosis.findings)
    assert 'config' in seen and 'memory' in seen
    assert diagnosis.seconds['memory'] > 0.1
    assert not [finding for finding in diagnosis.findings if 'could not be checked' in finding.message]
    assert capsys.readouterr() == ('', '')


def test_a_check_that_breaks_names_itself_and_the_others_go_on(demo_config, quick):
    diagnosis = examine(demo_config, (breaks, says_nothing, shouts))
    found = {finding.check: finding for finding in diagnosis.findings}
    assert list(found) == ['breaks', 'says-nothing', 'shouts', 'config', 'before']
    assert found['breaks'].verdict == Verdict.ERROR
    assert 'ZeroDivisionError: of a mistake in two lines' in found['breaks'].message
    assert found['breaks'].figures['raised_at'].startswith('test_doctor.py:')
    assert found['says-nothing'].verdict == Verdict.ERROR


def test_a_config_that_cannot_be_filled_in_is_the_one_finding(demo_config):
    demo_config.data_root = 'nowhere'
    diagnosis = examine(demo_config)
    assert [(f.check, f.verdict) for f in diagnosis.findings] == [('config', Verdict.ERROR)]
    assert 'nowhere' in diagnosis.findings[0].message and diagnosis.subject is None


def test_a_config_that_breaks_the_filling_in_is_a_finding_too(demo_config):
    demo_config.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=3)
    diagnosis = examine(demo_config)
    assert [(f.check, f.verdict) for f in diagnosis.findings] == [('config', Verdict.ERROR)]


def test_a_test_set_that_cannot_be_tested_on_is_a_warning(demo_config, quick, tiles, tmp_path):
    for part in ('images', 'annotations'):
        (tmp_path / part).symlink_to(tiles / part)
    coco = json.loads((tiles / 'annotations/instances_test.json').read_text())
    coco['categories'][0]['name'] = 'stump'
    (tmp_path / 'other.json').write_text(json.dumps(coco))
    demo_config.data_root = str(tmp_path)
    demo_config.test_dataloader.dataset.ann_file = 'other.json'
    (found, _) = examine(demo_config).findings
    assert (found.check, found.verdict) == ('test-set', Verdict.WARNING) and 'fallen_tree' in found.message


def test_a_test_set_without_tiles_is_no_fault(demo_config, quick, tiles, tmp_path):
    for part in ('images', 'annotations'):
        (tmp_path / part).symlink_to(tiles / part)
    (tmp_path / 'other.json').write_text(json.dumps(dict(images=[], annotations=[], categories=[])))
    demo_config.data_root = str(tmp_path)
    demo_config.test_dataloader.dataset.ann_file = 'other.json'
    assert examine(demo_config).verdict == Verdict.OK


def diagnosed(*verdicts):
    findings = [Finding(f'check-{number}', verdict, 'words ' * 30) for number, verdict in enumerate(verdicts)]
    return Diagnosis('x.py', findings)


def test_the_table_is_aligned_and_fits():
    lines = table(diagnosed(Verdict.ERROR, Verdict.WARNING, Verdict.OK), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if 'check-' in line] == ['ERROR', 'WARNING', 'ok']
    assert {line.index('words') for line in lines if 'words' in line} == {18}


@pytest.mark.parametrize(
    ('verdicts', 'words'),
    [([2, 2, 1], 'do not start. 2 errors, 1 warning.'), ([1, 0], 'can run, but 1 warning'), ([0, 0], 'healthy')],
)
def test_the_last_line_says_what_it_means(verdicts, words):
    diagnosis = diagnosed(*map(Verdict, verdicts))
    assert words in summary(diagnosis) and table(diagnosis).endswith(summary(diagnosis))
    assert diagnosis.to_json()['exit_code'] == max(verdicts)


class Page(HTMLParser):
    """Tags, text and addresses of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.sources = [], '', []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for key, value in attrs if key in ('src', 'href')]

    def handle_data(self, data):
        self.text += data


def test_the_page_needs_nothing_else_and_runs_nothing(demo_config, quick, tmp_path):
    diagnosis = examine(demo_config, (shouts,), num_samples=2)
    write_page(diagnosis, tmp_path / 'page.html')
    html = (tmp_path / 'page.html').read_text()
    page = Page(html)
    assert 'script' not in page.tags and 'b' not in page.tags and 'i' not in page.tags
    assert 'look <b>here</b> & there.' in page.text
    assert page.text.index('1 warning') < page.text.index('shouts') < page.text.index('config')
    assert 'share 0.3333' in page.text and 'WARNING' in page.text
    assert len(page.sources) >= 2 and all(source.startswith('data:image/png;base64,') for source in page.sources)
    assert not re.search(r'https?://', html)
    assert [path.name for path in tmp_path.iterdir()] == ['page.html']


def test_the_page_of_a_config_that_cannot_be_filled_in_has_its_finding(demo_config, tmp_path):
    demo_config.data_root = 'nowhere'
    write_page(examine(demo_config), tmp_path / 'page.html')
    page = Page((tmp_path / 'page.html').read_text())
    assert 'nowhere' in page.text and 'do not start' in page.text and 'img' not in page.tags

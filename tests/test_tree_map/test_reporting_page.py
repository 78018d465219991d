"""The page of a run: what it says, that nothing in it acts or asks, and that the same run gives the same bytes."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import rasterio
from reported import EVIL, FOUND, LABELLED, report, write_scene


class Page(HTMLParser):
    """Tags with their attributes, texts, and the parts that browsers run."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.open, self.scripts, self.texts = [], [], [], []
        self.source = path.read_text('utf-8')
        self.feed(self.source)
        self.text = ' '.join(' '.join(self.texts).split())
        self.data = json.loads(next(text for attrs, text in self.scripts if attrs.get('id') == 'data'))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, text):
        tag, attrs = self.open[-1] if self.open else ('', {})
        if tag == 'script':
            self.scripts.append((attrs, text))
        elif tag != 'style':
            self.texts.append(text)


@pytest.fixture(scope='module')
def drawn(tmp_path_factory, write_raster):
    folder = tmp_path_factory.mktemp('report')
    _, made, labels = write_scene(folder, write_raster)
    assert report(made, '--truth', labels, '--out', folder / 'report.html') == 0
    return folder


@pytest.fixture(scope='module')
def page(drawn):
    return Page(drawn / 'report.html')


def test_every_tree_has_its_verdict_and_partner(page):
    (scene,) = page.data
    assert scene['found']['id'] == ['1', '2', '4', '3', '5']  # surest first
    assert scene['found']['verdict'] == ['right', 'right', 'false', 'right', 'false']
    assert scene['truth']['verdict'] == ['right', 'right', 'right', 'missed', 'missed']
    assert scene['found']['partner'] == [0, 1, -1, 2, -1] and scene['truth']['partner'] == [0, 1, 3, -1, -1]
    assert scene['found']['iou'][3] == 0.6 and scene['found']['iou'][2] is None
    assert scene['found']['measures']['length_m'] == [11.8, 10.0, 6.0, 9.0, 4.0]
    assert scene['found']['intervals']['length_m'][1] == [9.0, 11.0]


def test_outlines_lie_where_the_trees_are(page):
    scene = page.data[0]
    assert scene['truth']['box'] == [[x, y, x + w, y + h] for x, y, w, h in LABELLED]
    numbers = [int(n) for n in re.findall(r'-?\d+', scene['truth']['path'][0])]
    corners = np.cumsum(np.reshape(numbers, (-1, 2)), axis=0) * scene['step']
    assert corners.min(0).tolist() == [20, 20] and corners.max(0).tolist() == [140, 28]


def test_the_words_say_what_was_found(page):
    assert (
        '5 fallen trees mapped on 0.12 ha; 5 were labelled. 3 were found right, 2 were missed, 2 are false' in page.text
    )
    assert 'recall 60 %' in page.text and 'precision 60 %' in page.text
    for word in (
        'average precision, IoU 0.5 (AP50)',
        'By length',
        'By width',
        'Sums by hectare',
        'ab' * 32,
        'Centrelines',
    ):
        assert word in page.text


def test_the_gallery_shows_the_worst_first(page):
    cases = [(attrs['href']) for tag, attrs in page.tags if tag == 'a' and attrs['href'].startswith('#scene')]
    assert cases == [
        f'#scene=stand&{end}' for end in ('label=4', 'label=5', 'tree=4', 'tree=5', 'tree=3', 'tree=2', 'tree=1')
    ]
    assert (
        '2, largest first' in page.text
        and '2, surest first' in page.text
        and 'tree 3, score 0.70, IoU 0.60' in page.text
    )


def test_crops_are_at_full_resolution_and_held_once(page):
    crops = [attrs for tag, attrs in page.tags if tag == 'image']
    uses = [attrs['href'] for tag, attrs in page.tags if tag == 'use' and attrs.get('href', '').startswith('#crop')]
    assert len(crops) == 7 and uses == [f'#{attrs["id"]}' for attrs in crops]
    for attrs in crops:
        jpeg = base64.b64decode(attrs['href'].split(',')[1])
        with rasterio.MemoryFile(jpeg) as file, file.open() as picture:
            assert (str(picture.width), str(picture.height)) == (attrs['width'], attrs['height'])


def test_the_overview_is_the_scene(drawn, page):
    (uri,) = [attrs['src'] for tag, attrs in page.tags if tag == 'img']
    with rasterio.MemoryFile(base64.b64decode(uri.split(',')[1])) as file, file.open() as picture:
        shown = picture.read().astype(float)
    with rasterio.open(drawn / 'stand.tif') as dataset:
        assert shown.shape == (3, 300, 400) and np.abs(shown.mean() - dataset.read().mean()) < 3


def test_nothing_is_asked_of_a_network(page):
    for tag, attrs in page.tags:
        for name, value in attrs.items():
            if name in ('src', 'href', 'xlink:href', 'data', 'action', 'srcset'):
                assert value.startswith(('#', 'data:')), (tag, name, value)
    assert {tag for tag, _ in page.tags}.isdisjoint({'iframe', 'object', 'embed', 'base', 'form'})
    assert not re.search(r'url\((?!#)|@import', page.source)


def test_the_policy_allows_its_own_script_alone(page):
    (policy,) = [attrs['content'] for tag, attrs in page.tags if attrs.get('http-equiv') == 'Content-Security-Policy']
    (code,) = [text for attrs, text in page.scripts if not attrs]
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:;") and f"script-src 'sha256-{digest}'" in policy
    assert 'unsafe-eval' not in policy and policy.count('unsafe-inline') == 1


def test_pictures_and_charts_say_what_they_show(page):
    assert all(attrs.get('alt') for tag, attrs in page.tags if tag == 'img')
    labels = [attrs.get('aria-label', '') for tag, attrs in page.tags if tag == 'svg']
    assert all(labels) and any('at the threshold 0.50 precision is 0.60, recall 0.60' in label for label in labels)
    assert any(label.startswith('Histogram of length, m; found: 5 trees, median 9') for label in labels)


def test_the_same_run_gives_the_same_bytes(drawn):
    assert report(drawn / 'stand.gpkg', '--truth', drawn / 'labels/stand.json', '--out', drawn / 'again.html') == 0
    assert (drawn / 'again.html').read_bytes() == (drawn / 'report.html').read_bytes()


def test_names_from_data_stay_text(tmp_path, write_raster):
    _, made, labels = write_scene(tmp_path, write_raster, name="a'&b", label=EVIL)
    assert report(made, '--truth', labels, '--out', tmp_path / 'r.html') == 0
    page = Page(tmp_path / 'r.html')
    assert EVIL not in page.source and page.data[0]['found']['class'][0] == EVIL
    assert len(page.scripts) == 2 and f'configs/{EVIL}.py' in page.text and "a'&b" in page.text


def test_without_truth_there_are_no_scores(drawn):
    assert report(drawn / 'stand.gpkg', '--out', drawn / 'bare.html') == 0
    page = Page(drawn / 'bare.html')
    assert page.data[0]['found']['verdict'] == ['found'] * len(FOUND) and page.data[0]['truth']['id'] == []
    assert '5 fallen trees mapped on 0.12 ha. No labels were given' in page.text
    assert 'Sums by hectare' in page.text and 'recall' not in page.text and 'side by side' not in page.text
    assert sum(attrs.get('class') == 'chart' for tag, attrs in page.tags) == 5  # three histograms, two roses


def test_an_empty_map_has_a_page(tmp_path, write_raster):
    _, made, labels = write_scene(tmp_path, write_raster, found=[])
    assert report(made, '--truth', labels, '--out', tmp_path / 'r.html') == 0
    assert report(made, '--out', tmp_path / 'bare.html') == 0
    assert (
        '0 fallen trees mapped on 0.12 ha; 5 were labelled. 0 were found right, 5 were'
        in Page(tmp_path / 'r.html').text
    )
    assert '0 fallen trees mapped' in Page(tmp_path / 'bare.html').text


def test_several_scenes_share_a_page(tmp_path, write_raster):
    made = [write_scene(tmp_path, write_raster, name=name, seed=n)[1] for n, name in enumerate(('east', 'west'))]
    assert report(*made, '--truth', tmp_path / 'labels', '--out', tmp_path / 'r.html') == 0
    page = Page(tmp_path / 'r.html')
    assert [scene['name'] for scene in page.data] == ['east', 'west']
    assert '10 fallen trees mapped on 0.24 ha in 2 scenes' in page.text and 'all, labelled' in page.text
    assert sum(tag == 'img' for tag, _ in page.tags) == 2 and any(attrs.get('id') == 'scene' for _, attrs in page.tags)


def test_trees_below_the_threshold_do_not_count(drawn):
    words = ('--truth', drawn / 'labels/stand.json', '--score-thr', 0.65, '--out', drawn / 'thr.html')
    assert report(drawn / 'stand.gpkg', *words) == 0
    page = Page(drawn / 'thr.html')
    assert page.data[0]['found']['verdict'][-1] == 'unsure' and '4 fallen trees mapped' in page.text
    drawn_as = {attrs.get('class', '').split(' ')[0] for tag, attrs in page.tags if tag == 'path' and 'd' in attrs}
    assert 'right' in drawn_as and 'unsure' not in drawn_as  # crops show the trees of the map alone


def test_without_its_raster_a_scene_is_drawn_on_plain_ground(tmp_path, write_raster, capsys):
    raster, made, labels = write_scene(tmp_path, write_raster)
    raster.unlink()
    assert report(made, '--truth', labels, '--out', tmp_path / 'r.html') == 1
    assert 'stand is shown without its picture' in capsys.readouterr().err
    page = Page(tmp_path / 'r.html')
    assert 'shown without its picture' in page.text and page.data[0]['picture'] is None
    assert not any(tag in ('img', 'image') for tag, _ in page.tags)


def test_a_raster_beside_the_map_or_given_is_found(tmp_path, write_raster):
    raster, made, _ = write_scene(tmp_path / 'old', write_raster)
    (tmp_path / 'new').mkdir()
    moved = made.rename(tmp_path / 'new/stand.gpkg')
    raster.rename(tmp_path / 'new/stand.tif')
    assert report(moved, '--out', tmp_path / 'beside.html') == 0
    (tmp_path / 'new/stand.tif').rename(raster)
    raster.parent.rename(tmp_path / 'away')
    assert report(moved, '--out', tmp_path / 'given.html', '--scenes', tmp_path / 'away') == 0
    assert all(Page(tmp_path / f'{name}.html').data[0]['picture'] == [400, 300] for name in ('beside', 'given'))


def test_a_changed_raster_is_said(tmp_path, write_raster, capsys):
    raster, made, _ = write_scene(tmp_path, write_raster)
    write_raster(raster, (200, 300))
    assert report(made, '--out', tmp_path / 'r.html') == 1
    assert '200 x 300 px, the map was made of 400 x 300 px' in capsys.readouterr().err


@pytest.mark.parametrize('out, said', [('r.txt', 'must end in .html'), ('no/r.html', 'a folder that is there')])
def test_a_page_that_cannot_be_written_is_refused(drawn, capsys, out, said):
    assert report(drawn / 'stand.gpkg', '--out', drawn / out) == 2
    assert said in capsys.readouterr().err


def test_an_older_page_is_replaced_only_when_asked(drawn, tmp_path, capsys):
    (tmp_path / 'r.html').write_text('old')
    assert report(drawn / 'stand.gpkg', '--out', tmp_path / 'r.html') == 2
    assert 'pass --overwrite' in capsys.readouterr().err and (tmp_path / 'r.html').read_text() == 'old'
    assert report(drawn / 'stand.gpkg', '--out', tmp_path / 'r.html', '--overwrite') == 0

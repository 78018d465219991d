"""Data sets of trials are made once, named by what makes them, and made anew when that changes."""

import json
import sys
from pathlib import Path

import pytest
from toy_study import QUERIES, load

from fallen_trees.trial import TrialTraining
from sweep.data_sets import DataSets

MAKER = """
import pathlib, sys, time
out = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])
if 'bad' in sys.argv:
    sys.exit('error: no scenes there.')
out.mkdir()
time.sleep(0.2)
(out / 'made').write_text(' '.join(sys.argv[1:]))
"""


@pytest.fixture
def data_sets(tmp_path, tiny):
    (tmp_path / 'maker.py').write_text(MAKER)
    training = TrialTraining(tiny, {}, 'coco/segm_mAP', 'maximize', 'tools/train.py')
    return DataSets(tmp_path / 'data', training, [sys.executable, str(tmp_path / 'maker.py')])


def finish(making):
    while making.process.code() is None:
        pass
    return making.end(making.process.code())


def test_it_is_made_once_and_locked_meanwhile(data_sets):
    arguments = ('tile', '--tile-size', '64')
    place = data_sets.place(arguments)
    making = data_sets.make(arguments, place, 0)
    assert data_sets.make(arguments, place, 1) is None
    assert not data_sets.ready(place)
    assert finish(making)
    assert data_sets.ready(place)
    assert (place / 'made').read_text() == f'tile --tile-size 64 --out {place}'
    assert data_sets.make(arguments, place, 0) is None


def test_its_name_follows_arguments_and_sources(data_sets, tmp_path):
    scenes = tmp_path / 'scenes'
    scenes.mkdir()
    (scenes / 'a.tif').write_text('pixels')
    first = data_sets.place(('tile', str(scenes)))
    assert data_sets.place(('tile', str(scenes))) == first
    assert data_sets.place(('tile', str(scenes), '--masks')) != first
    (scenes / 'a.tif').write_text('other pixels')
    assert data_sets.place(('tile', str(scenes))) != first


def test_a_failure_is_not_taken_for_a_data_set(data_sets):
    place = data_sets.place(('bad',))
    making = data_sets.make(('bad',), place, 0)
    assert not finish(making)
    assert making.process.last_words() == 'no scenes there.'
    assert not data_sets.ready(place)
    assert data_sets.make(('bad',), place, 0) is not None


def test_trials_train_on_tiles_of_the_size_they_ask_for(sweep, write, tiles, tmp_path, monkeypatch):
    """Two sizes cut by data_prep itself, two trials each: two data sets."""
    monkeypatch.setenv('TOY_STEP_S', '0')
    scenes = tiles.parent / 'scenes'
    choices = {
        f'{px} px': {'image_size': (px, px), 'data': ['tile', str(scenes), '--tile-size', str(px), '--val', 'synth_01']}
        for px in (64, 96)
    }
    queued = [{'size': size, QUERIES: queries} for size in choices for queries in (10, 20)]
    file = write(f"search_space['size'] = dict(type='choice', choices={choices})", f"sweep['enqueue'] = {queued}")
    code, out, err = sweep(file, '--trials', 4)
    assert (code, err) == (0, ''), out
    roots = [trial.user_attrs['values']['data_root'] for trial in load(tmp_path / 'out').trials]
    assert roots[0] == roots[1] != roots[2] == roots[3]
    for root, px in ((roots[0], 64), (roots[2], 96)):
        images = json.loads(Path(root, 'annotations/instances_train.json').read_text())['images']
        assert {(image['width'], image['height']) for image in images} == {(px, px)}
        assert root in (tmp_path / f'out/trial_000{roots.index(root)}.py').read_text()
    assert len([path for path in (tmp_path / 'out/data').iterdir() if path.is_dir()]) == 2

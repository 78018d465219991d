"""The command: a table, a file, notes, exit codes, and one line for all that can be wrong."""

import json
import re
import subprocess
import sys

import mapped_scene as made
import numpy as np
import pytest
from boxed_scene import boxed_scene

from tree_map.__main__ import COMMANDS, main
from tree_map.scoring.scores import ScoreSettings, score

TREES = made.outlines()


@pytest.fixture(scope='module')
def folder(tmp_path_factory, write_raster):
    place = tmp_path_factory.mktemp('commanded')
    raster = made.make_raster(write_raster, place / 's.tif')
    made.make_map(place / 'map.gpkg', raster, TREES[:3], score_thr=0.05)
    made.make_map(place / 'cut.gpkg', raster, TREES[:3], score_thr=0.75)
    made.make_labelme(place / 'labels/s.json', TREES)
    return place


@pytest.fixture
def command(capsys):
    def run(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_three_of_four_trees_found(command, folder, tmp_path):
    out = tmp_path / 'metrics.json'
    code, table, said = command('score', folder / 'map.gpkg', folder / 'labels', '--out', out, '--block-m', '16')
    assert code == 0 and said == 'note: intervals rest on 4 blocks alone, so they are rough\n'
    assert '1 scene, 4 labelled trees, 3 found at 0.05 or above; 95% intervals over 4 blocks' in table
    assert re.search(r'^scene/recall +0\.750  \[0\.\d+, 0\.\d+\]$', table, re.MULTILINE)
    content = json.loads(out.read_text())
    # 76 of the 101 recalls lie at or below 3/4.
    assert content['scene/AP'] == pytest.approx(76 / 101, abs=1e-9)
    assert content['scene/precision'] == 1 and content['scene/F1'] == pytest.approx(6 / 7)
    low, high = content['intervals']['scene/recall']
    assert 0 < low < 0.75 < high < 1
    assert content['units'] == {'count': 4, 'kind': 'block'} and content['settings']['score_thr'] == 0.05
    assert content['scenes'] == [{'name': 's', 'labelled': 4, 'found': 3, 'paired': 3, 'ground_ha': 0.064}]
    assert content['pr_curve']['fallen_tree']['recall'] == [0.25, 0.5, 0.75] and content['by_class']
    flat = [key for key, value in content.items() if isinstance(value, int | float)]
    assert set(flat) <= set(content['intervals']) and 'centreline/F1' in flat and 'relaxed/AP' in flat


def test_json_and_the_file_are_the_same_and_repeat(command, folder, tmp_path):
    words = ['score', folder / 'map.gpkg', folder / 'labels', '--replicates', '50', '--json', '--out']
    first, again = (command(*words, tmp_path / name)[1] for name in ('a.json', 'b.json'))
    assert json.loads(first) == json.loads((tmp_path / 'a.json').read_text()) == json.loads(again)
    assert (tmp_path / 'a.json').read_bytes() == (tmp_path / 'b.json').read_bytes()


def test_the_threshold_is_that_of_the_map_unless_another_is_given(command, folder):
    code, table, said = command('score', folder / 'cut.gpkg', folder / 'labels', '--replicates', '0')
    assert code == 0 and '2 found at 0.75 or above' in table
    assert 'score the checkpoint with tools/test_scenes.py' in said and '[' not in table
    assert (
        '3 found at 0.1 or above' in command('score', folder / 'cut.gpkg', folder / 'labels', '--score-thr', '0.1')[1]
    )


def test_something_to_look_at_is_exit_code_one(command, folder, tmp_path):
    labels = made.make_layer(tmp_path / 's.gpkg', [*TREES, *made.outlines([((-30, 5), 90, 8, 0.5)])])
    code, _, said = command('score', folder / 'map.gpkg', labels)
    assert code == 1 and 'note: s: 1 of 5 labelled trees lie outside' in said


WRONG = {
    'nothing': [],
    'labels missing': ['{f}/map.gpkg', '{f}/none'],
    'map missing': ['{f}/none.gpkg', '{f}/labels'],
    'no map': ['{f}/s.tif', '{f}/labels'],
    'a folder for a file': ['{f}/map.gpkg', '{f}/labels', '--out', '{f}'],
    'a folder that is not there': ['{f}/map.gpkg', '{f}/labels', '--out', '{f}/x/y.json'],
    'a threshold of 2': ['{f}/map.gpkg', '{f}/labels', '--score-thr', '2'],
    'a threshold that is none': ['{f}/map.gpkg', '{f}/labels', '--iou-thr', 'nan'],
    'another class': ['{f}/map.gpkg', '{f}/labels', '--classes', 'log'],
    'an odd label map': ['{f}/map.gpkg', '{f}/labels', '--label-map', 'log'],
    'no such scene': ['{f}/map.gpkg', '{f}/labels', '--scenes', '{f}/none'],
}


@pytest.mark.parametrize('case', WRONG)
def test_what_is_wrong_is_one_line_and_exit_code_two(command, folder, case):
    code, out, said = command('score', *(word.format(f=folder) for word in WRONG[case]))
    assert code == 2 and out == '' and said.startswith('error: ') and said.count('\n') == 1


def test_a_full_disk_is_exit_code_three_and_the_old_file_stays(command, folder, tmp_path, monkeypatch):
    import data_prep.atomic

    def full(path):
        raise OSError(28, 'No space left on device')

    (tmp_path / 'metrics.json').write_text('old')
    monkeypatch.setattr(data_prep.atomic, 'sync_file', full)
    code, _, said = command('score', folder / 'map.gpkg', folder / 'labels', '--out', tmp_path / 'metrics.json')
    assert code == 3 and 'No space left' in said and (tmp_path / 'metrics.json').read_text() == 'old'
    assert [path.name for path in tmp_path.iterdir()] == ['metrics.json']


def test_scoring_needs_no_torch(folder):
    program = (
        'import sys; from tree_map.__main__ import main; code = main(sys.argv[1:]); '
        "sys.exit(code or 9 * any(name in sys.modules for name in ('torch', 'mmdet', 'mmcv')))"
    )
    words = ['score', f'{folder}/map.gpkg', f'{folder}/labels', '--replicates', '2']
    ran = subprocess.run([sys.executable, '-c', program, *words], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr


def test_a_command_loads_no_other(monkeypatch, command, folder):
    monkeypatch.setitem(COMMANDS, 'report', 'tree_map.there_is_none')
    assert command('score', folder / 'map.gpkg', folder / 'labels', '--replicates', '9')[0] == 0
    assert command('nonsense')[0] == 3  # all are loaded to say which there are


def test_eight_scenes_are_the_units_and_what_is_unknown_is_null():
    scenes = [boxed_scene([(0, 0, 10, 2)], [], name=f's{n}') for n in range(8)]
    found = score(scenes, ScoreSettings(replicates=20))
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content['units'] == {'count': 8, 'kind': 'scene'} and content['notes'] == []
    assert content['scene/recall'] == 0 and content['scene/precision'] is None
    assert content['intervals']['scene/precision'] == [None, None]


def test_one_unit_has_no_interval_and_that_is_said():
    found = score([boxed_scene([(0, 0, 10, 2)], [((0, 0, 10, 2), 0.5)])], ScoreSettings())
    assert found.notes == ('no intervals: the trees lie in 1 block; they take two or more',)
    assert all(np.isnan(item.low) for item in found.figures)

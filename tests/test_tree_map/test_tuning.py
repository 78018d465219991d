"""Settings are chosen on validation scenes, stored in the checkpoint without a change of weights, and used."""

import json
import math

import geopandas as gpd
import graded_scene
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data_prep.errors import DataError
from data_prep.imagery.rasters import sha256
from fallen_trees.resume.checkpoint_file import damage, read_manifest
from tree_map.__main__ import main
from tree_map.joining import JoinSettings, join
from tree_map.joining.below import join_with_those_below, sure_ones
from tree_map.mapper import TreeMapper
from tree_map.predicting.model import store_settings
from tree_map.scoring.reading import read_scenes
from tree_map.scoring.scores import ScoreSettings, score
from tree_map.tuning.search import AXES, DEFAULTS, search
from tree_map.tuning.stored import SceneSettings, read_settings
from tree_map.tuning.trials import Trial, Trials
from tree_map.writing import write_map


@pytest.fixture(scope='module')
def scene(write_raster, write_labelme, tmp_path_factory):
    """A scene of bars with its labels; the faint ones are trees too."""
    folder, bars = tmp_path_factory.mktemp('scene'), graded_scene.bars()
    write_raster(folder / 's.tif', (192, 128), pixels=graded_scene.pixels(bars))
    write_labelme(folder / 's.json', graded_scene.shapes(bars), (192, 128))
    return folder / 's.tif'


@pytest.fixture
def graded(tmp_path, scene):
    """Config and checkpoint whose annotations name other scenes for training and test, and this one for validation."""
    config, checkpoint = graded_scene.checkpoint(tmp_path)
    graded_scene.split_file(tmp_path / 'train.json', [('a', 'f' * 64)])
    graded_scene.split_file(tmp_path / 'val.json', [('s', sha256(scene))])
    graded_scene.split_file(tmp_path / 'test.json', [('b', None)])
    return config, checkpoint


@pytest.fixture
def tune(capsys):
    """Run the command; returns exit code, what it printed as JSON or text, and stderr."""

    def run(*args):
        capsys.readouterr()
        code = main(['tune', *map(str, args)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def planted(best_thr, best_joining, trees=400):
    """Trials of a world where each step away from the best settings loses trees."""

    def trial(score_thr, joining):
        lost = 300 * abs(score_thr - best_thr)
        for name, value in {**DEFAULTS, **best_joining}.items():
            values = AXES[name]
            lost += 40 * abs(values.index(joining.get(name, DEFAULTS[name])) - values.index(value))
        found = range(max(0, trees - round(lost)))
        return Trial(frozenset((0, n) for n in found), 2 * trees)

    return trial


@pytest.mark.parametrize('joining', [{}, {'min_zone_iou': 0.1}, {'max_bridge_m': 2.0, 'min_zone_iou': 0.5}])
@pytest.mark.parametrize('threshold', [0.12, 0.5, 0.78])
def test_a_planted_optimum_is_found(threshold, joining):
    best = search(planted(threshold, joining), 0.4, 0.05)
    assert best.score_thr == pytest.approx(threshold, abs=0.03)
    assert best.joining == joining
    assert best.f1 > 0.96 and best.f1 >= best.default_f1
    assert best.flat_from <= best.score_thr <= best.flat_to
    assert all(cost is None or cost > 0 for costs in best.joining_costs.values() for cost in costs)


def test_what_a_few_trees_cannot_tell_apart_stays_as_it_was():
    def trial(score_thr, joining):  # one tree of 50 more at other settings than those of now
        better = score_thr != 0.37 or joining
        return Trial(frozenset((0, n) for n in range(41 if better else 40)), 100)

    best = search(trial, 0.37, 0.05)
    assert best.score_thr == 0.37 and best.joining == {}


def test_of_equals_the_nearest_to_the_default_is_taken():
    everywhere = Trial(frozenset((0, n) for n in range(40)), 100)
    nowhere = Trial(frozenset(), 100)
    best = search(lambda thr, joining: everywhere if thr < 0.3 else nowhere, 0.55, 0.05)
    assert 0.27 < best.score_thr < 0.3 and best.joining == {} and best.flat_from == pytest.approx(0.1)


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_noise_counts_the_trees_that_differ(one, other):
    trials = [Trial(frozenset((0, n) for n in rows), 200 + len(rows)) for rows in (one, other)]  # no false alarm
    assert trials[0].noise(trials[1]) == trials[1].noise(trials[0])
    assert trials[0].f1 == pytest.approx(2 * len(one) / (200 + len(one)))
    weight, count = 2 - (trials[0].f1 + trials[1].f1) / 2, 200 + min(len(one), len(other))
    assert trials[0].noise(trials[1]) == pytest.approx(weight * math.sqrt(len(one ^ other)) / count)
    more = Trial(trials[0].right, trials[0].counted + 9)  # nine false alarms
    mean = (trials[0].f1 + more.f1) / 2
    assert trials[0].noise(more) == pytest.approx(3 * mean / trials[0].counted)


def test_noise_takes_an_outline_that_became_right_for_one_thing():
    one, other = Trial(frozenset({(0, 1), (0, 2)}), 50), Trial(frozenset({(0, 1)}), 50)
    assert one.noise(other) == pytest.approx(one.f1 - other.f1) == pytest.approx(2 / 50)


def test_a_trial_is_the_score_of_the_map_so_made(graded, scene, tmp_path):
    mapper = TreeMapper(*graded, score_thr=0.05)
    seen = mapper.look(scene)
    for threshold in (0.2, 0.4, 0.8):
        joined = join(sure_ones(seen.pieces, threshold), JoinSettings.at(seen.scene.gsd_m, {'min_zone_iou': 0.5}))
        path = tmp_path / f'{threshold}.gpkg'
        write_map(mapper.made_of(seen, joined), path)
        labelled = read_scenes([path], scene.with_suffix('.json'))
        trial = Trials([seen], labelled, mapper.model.classes).of(threshold, {'min_zone_iou': 0.5})
        scores = score(labelled, ScoreSettings(replicates=0)).to_json()
        assert trial.f1 == pytest.approx(scores['scene/F1']) and 0 < trial.f1 <= 1


def test_tuning_moves_the_threshold_and_maps_are_made_by_it(graded, scene, tune, predict, tmp_path, capsys):
    config, checkpoint = graded
    weights, before = torch.load(checkpoint)['state_dict'], sha256(checkpoint)
    code, out, err = tune(config, checkpoint, scene, '--truth', scene.with_suffix('.json'), '--json')
    made = json.loads(out)
    assert code == 0, err
    assert 90 / 255 < made['score_thr'] < 120 / 255 and made['f1'] == 1 and made['default_f1'] == pytest.approx(2 / 3)
    content = torch.load(checkpoint, weights_only=True)
    assert torch.equal(content['state_dict']['weight'], weights['weight']) and content['meta']['iter'] == 7
    assert content['message_hub']['runtime_info']['score_threshold'] == 0.6
    assert damage(checkpoint) is None and read_manifest(checkpoint)['iter'] == 7 and sha256(checkpoint) != before

    assert predict(config, checkpoint, scene, '--out', tmp_path / 'map.gpkg') == 0
    assert (
        f'Score threshold {made["score_thr"]:.3f}, joining as by default: tuned on the scenes s'
        in capsys.readouterr().err
    )
    assert len(gpd.read_file(tmp_path / 'map.gpkg', layer='trees')) == 8
    table = gpd.read_file(tmp_path / 'map.gpkg', layer='provenance').set_index('key')['value']
    assert float(table['score_thr']) == made['score_thr'] and 'tuned on the scenes s' in table['tuned']
    assert predict(config, checkpoint, scene, '--out', tmp_path / 'all.gpkg', '--score-thr', 0.1) == 0
    assert len(gpd.read_file(tmp_path / 'all.gpkg', layer='trees')) == 12

    code, out, err = tune(config, checkpoint, scene, '--truth', scene.with_suffix('.json'), '--json')
    assert 'going on, 12 of 12' in err, err  # nothing is looked at twice, although the file is another one now
    assert code == 0 and json.loads(out)['score_thr'] == made['score_thr']


def test_joining_that_was_tuned_is_used_and_told(graded, scene, tmp_path):
    config, checkpoint = graded
    settings = SceneSettings(0.4, {'min_zone_iou': 0.5, 'max_bridge_m': 2.0}, ('v',), 0.9, 'e' * 64)
    store_settings(checkpoint, settings, tmp_path / 'tuned.pth')
    mapper = TreeMapper(config, tmp_path / 'tuned.pth')
    assert mapper.model.tuned == settings and mapper.model.score_thr == 0.4
    made = mapper.map_scene(scene).provenance
    assert "'min_zone_iou': 0.5" in made['joining'] and "'max_bridge_px': 20.0" in made['joining']
    assert mapper.model.sha256 == made['checkpoint_sha256'] == sha256(tmp_path / 'tuned.pth')
    assert TreeMapper(*graded).model.tuned is None  # the other file is as it was
    said = []
    TreeMapper(config, tmp_path / 'tuned.pth', score_thr=0.7, say=said.append)
    assert said == ['Joining min_zone_iou 0.5, max_bridge_m 2: tuned on the scenes v.']


@pytest.mark.parametrize(
    ('split', 'listed', 'said'),
    [('train', 'sum', 'trained on it'), ('test', 'sum', 'must stay unseen'), ('train', 'name', 'trained on it')],
)
def test_scenes_that_are_not_free_are_refused_in_one_line(graded, scene, tune, split, listed, said):
    config, checkpoint = graded
    graded_scene.split_file(config.parent / f'{split}.json', [('s', sha256(scene) if listed == 'sum' else None)])
    before = sha256(checkpoint)
    args = (config, checkpoint, scene, '--truth', scene.with_suffix('.json'))
    code, out, err = tune(*args)
    lines = [line for line in err.splitlines() if 'OneDL' not in line]
    assert code == 2 and said in lines[-1] and '--any-scene' in lines[-1] and out == ''
    assert sha256(checkpoint) == before and not list(checkpoint.parent.glob('.*.tune'))
    assert tune(*args, '--any-scene')[0] == 0 and sha256(checkpoint) != before


def test_a_scene_of_the_same_name_and_unknown_splits_are_noted(graded, scene, tune):
    config, checkpoint = graded
    graded_scene.split_file(config.parent / 'train.json', [('s', 'f' * 64)])
    (config.parent / 'test.json').unlink()
    code, out, err = tune(config, checkpoint, scene, '--truth', scene.with_suffix('.json'), '--dry-run')
    assert code == 1 and 'has the name of a scene of the train split' in err and 'no file of the test split' in err
    assert out.splitlines()[-1] == 'nothing is stored' and 'scene_settings' not in torch.load(checkpoint)['meta']


def test_scenes_without_labels_and_missing_files_end_in_one_line(graded, scene, tune, tmp_path, write_labelme):
    config, checkpoint = graded
    write_labelme(tmp_path / 'none' / 's.json', [], (192, 128))
    for truth, said in ((tmp_path / 'gone', 'does not exist'), (tmp_path / 'none', 'no tree is labelled')):
        code, _, err = tune(config, checkpoint, scene, '--truth', truth)
        assert code == 2 and said in err.splitlines()[-1]


WRONG = [
    {}, [], 'x', {'score_thr': 0.5}, {'score_thr': 2, 'joining': {}, 'scenes': [], 'f1': 0, 'checkpoint_sha256': ''},
    {'score_thr': 0.5, 'joining': {'os.system': 1}, 'scenes': [], 'f1': None, 'checkpoint_sha256': ''},
    {'score_thr': 0.5, 'joining': {'cut_px': math.nan}, 'scenes': [], 'f1': None, 'checkpoint_sha256': ''},
    {'score_thr': 0.5, 'joining': {}, 'scenes': 3, 'f1': None, 'checkpoint_sha256': ''},
]  # fmt: skip


@pytest.mark.parametrize('content', WRONG)
def test_settings_of_another_hand_are_refused(content):
    with pytest.raises(DataError, match='a.pth must hold in meta.scene_settings'):
        read_settings(content, 'a.pth')


@given(
    st.floats(0, 1),
    st.dictionaries(st.sampled_from(['min_zone_iou', 'max_bridge_m', 'cut_px']), st.floats(0, 100)),
    st.lists(st.text(max_size=9), max_size=5),
)
def test_what_is_stored_is_read_again(threshold, joining, scenes):
    settings = SceneSettings(threshold, joining, tuple(scenes), 0.5, 'a' * 64)
    assert read_settings(json.loads(json.dumps(settings.as_plain())), 'a.pth') == settings
    assert '\n' not in SceneSettings(threshold, joining, ('s',)).told()


def test_trees_below_the_threshold_leave_those_above_it_alone(graded, scene):
    seen = TreeMapper(*graded, score_thr=0.05).look(scene)
    settings = JoinSettings.at(seen.scene.gsd_m)
    for threshold in (0.4, 0.6, 0.95):
        both, sure = (join_with_those_below(seen.pieces, settings, threshold),
                      join(sure_ones(seen.pieces, threshold), settings))  # fmt: skip
        above = both.scores >= threshold
        assert [p.wkb for p in both.polygons[above]] == [p.wkb for p in sure.polygons]
        assert both.scores[above].tolist() == sure.scores.tolist() and len(both) == 12
        assert np.all(both.scores[~above] < threshold)

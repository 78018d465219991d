"""`tools/test_scenes.py`: whole scenes scored at the checkpoint's threshold, and callable as a test of an ablation."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import geopandas as gpd
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / 'tests/test_tree_map'))  # the detector, which configs import by name

from fallen_trees.ablation.record import read_figures  # noqa: E402
from fallen_trees.card.scene_scores import BEGIN, END, fill_scores, section  # noqa: E402
from fallen_trees.errors import ConfigError  # noqa: E402

SIZE_WH = (192, 128)


@pytest.fixture(scope='module')
def graded(tmp_path_factory):
    """A checkpoint for which the faint bars count, and its config as an ablation writes it: dumped, data elsewhere."""
    import graded_scene
    from mmengine.config import Config

    folder = tmp_path_factory.mktemp('graded')
    config, checkpoint = graded_scene.checkpoint(folder, score_thr=0.4)
    cfg = Config.fromfile(config)
    cfg.data_root = '/nowhere'
    (folder / 'test_scenes.py').write_text(cfg.pretty_text)
    return folder / 'test_scenes.py', checkpoint


@pytest.fixture(scope='module')
def scene(write_raster, write_labelme, tmp_path_factory):
    """A scene whose labels name the trees as another would, and stones besides."""
    import graded_scene

    folder, bars = tmp_path_factory.mktemp('scene'), graded_scene.bars()
    write_raster(folder / 's.tif', SIZE_WH, pixels=graded_scene.pixels(bars))
    shapes = [('Fallen', points) for _, points in graded_scene.shapes(bars)]
    write_labelme(folder / 's.json', [*shapes, ('stone', [[0, 100], [9, 100], [9, 120]])], SIZE_WH)
    return folder / 's.tif'


@pytest.fixture(scope='module')
def tool():
    main = runpy.run_path(str(ROOT / 'tools/test_scenes.py'))['main']

    def run(*args):
        try:
            return main([str(arg) for arg in args])
        except SystemExit as stop:
            return stop.code

    return run


def arguments(graded, scene, out):
    """As `tools/ablate.py` puts them: CONFIG CHECKPOINT --work-dir DIR ARGS."""
    labels = ['--label-map', 'Fallen=fallen_tree', '--skip-other-labels', '--replicates', 50, '--block-m', 5]
    return [*graded, '--work-dir', out, '--scenes', scene, '--truth', scene.with_suffix('.json'), *labels]


@pytest.fixture(scope='module')
def tested(tool, graded, scene, tmp_path_factory):
    out = tmp_path_factory.mktemp('tested') / 'deeper'
    assert tool(*arguments(graded, scene, out)) == 0
    return out


def test_figures_are_those_at_the_threshold_of_the_checkpoint(tested):
    figures = read_figures(tested / 'metrics.json')
    assert figures['scene/F1'] == figures['scene/AP'] == figures['scene/recall'] == 1
    content = json.loads((tested / 'metrics.json').read_text())
    assert content['settings']['score_thr'] == 0.4 and content['scenes'][0]['found'] == 8
    assert content['intervals']['scene/F1'] == [1, 1]


def test_the_map_begins_below_and_says_which_threshold_counts(tested):
    trees = gpd.read_file(tested / 'map.gpkg', layer='trees')
    assert len(trees) == 12 and trees.score.min() == pytest.approx(90 / 255, abs=1e-3)
    table = gpd.read_file(tested / 'map.gpkg', layer='provenance').set_index('key')['value']
    assert float(table['score_thr']) == 0.4 and float(table['score_from']) == 0.05
    assert sorted(path.name for path in tested.iterdir()) == ['map.gpkg', 'metrics.json']


def test_a_threshold_of_ones_own_changes_what_counts_and_not_the_curve(tool, graded, scene, tmp_path):
    assert tool(*arguments(graded, scene, tmp_path), '--score-thr', 0.6) == 0
    figures = read_figures(tmp_path / 'metrics.json')
    assert figures['scene/recall'] == 0.5 and figures['scene/precision'] == 1 and figures['scene/AP'] == 1


def test_wrong_labels_cost_no_second_look(tool, graded, scene, tmp_path, capsys):
    labels = arguments(graded, scene, tmp_path)
    del labels[labels.index('--label-map') :]
    assert tool(*labels) == 2
    assert "label 'Fallen' is none of the classes" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / 'metrics.json').exists()
    assert tool(*arguments(graded, scene, tmp_path)) == 0
    assert 'going on, 12 of 12 windows are finished' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (('--truth', 'gone.json'), '--truth gone.json does not exist'),
        (('--scenes', 'gone.tif'), 'gone.tif'),
        (('--card', 'gone.md'), '--card gone.md is no file'),
    ],
)
def test_what_is_not_there_is_said_before_the_work(tool, graded, scene, tmp_path, capsys, change, said):
    assert tool(*arguments(graded, scene, tmp_path / 'out'), *change) == 2
    assert said in capsys.readouterr().err.splitlines()[-1] and not (tmp_path / 'out').exists()


def test_scores_go_into_the_card_and_replace_those_before(tool, graded, scene, tmp_path, capsys):
    card = tmp_path / 'MODEL_CARD.md'
    card.write_text(f'# Mine\n\n{section("not yet")}\n\n## Limits\n')
    args = [*arguments(graded, scene, tmp_path / 'out'), '--card', card]
    assert tool(*args) == 0
    first = card.read_text()
    assert '| scene/F1 | 1.000 | 1.000 to 1.000 |' in first and 'not yet' not in first and '8 labelled trees' in first
    assert (
        first.startswith('# Mine')
        and first.endswith('## Limits\n')
        and f'--truth {scene.with_suffix(".json")}' in first
    )
    assert tool(*args, '--score-thr', 0.6) == 0
    second = card.read_text()
    assert '| scene/recall | 0.500 |' in second and second.count(BEGIN) == second.count(END) == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith('.')] == []


def test_a_card_without_its_place_is_left_alone(tmp_path):
    card = tmp_path / 'card.md'
    card.write_text('# Mine')
    with pytest.raises(ConfigError, match='must have one place for scores'):
        fill_scores(card, {}, [])
    assert card.read_text() == '# Mine'


def test_a_report_is_written_where_it_is_asked_for(tool, graded, scene, tmp_path):
    pytest.importorskip('matplotlib')
    assert tool(*arguments(graded, scene, tmp_path), '--report') == 0
    page = (tmp_path / 'report.html').read_text()
    assert page.startswith('<!') and 'scene/F1' in page or 'F1' in page


def test_scenes_of_several_places_get_a_map_each(tool, graded, scene, write_raster, write_labelme, tmp_path):
    import graded_scene

    folder, bars = tmp_path / 'scenes', graded_scene.bars()
    folder.mkdir()
    shutil.copy(scene, folder)
    shutil.copy(scene.with_suffix('.json'), folder)
    write_raster(folder / 'z.tif', SIZE_WH, pixels=graded_scene.pixels(bars), crs='EPSG:32634')
    write_labelme(folder / 'z.json', [('Fallen', points) for _, points in graded_scene.shapes(bars)], SIZE_WH)
    args = arguments(graded, folder, tmp_path / 'out')
    args[args.index('--truth') + 1] = folder
    assert tool(*args) == 0
    assert sorted(path.name for path in (tmp_path / 'out/maps').iterdir()) == ['s.gpkg', 'z.gpkg']
    content = json.loads((tmp_path / 'out/metrics.json').read_text())
    assert [item['labelled'] for item in content['scenes']] == [8, 8] and content['scene/F1'] == 1


def test_an_ablation_takes_its_figures_in(graded, scene, tiny_config, tmp_path, monkeypatch):
    """A unit's test, run as the ablation runs it: in a process of its own, without PYTHONPATH."""
    import subprocess

    from mmengine.config import Config

    from fallen_trees.ablation.plan import Arm, TestPlan
    from fallen_trees.ablation.plan import TestSet as Set
    from fallen_trees.ablation.unit import Unit

    rest = list(map(str, arguments(graded, scene, tmp_path)[4:]))
    held_out = Set(name='scenes', options={}, metrics=('scene/F1',), tool=str(ROOT / 'tools/test_scenes.py'), args=rest)
    cfg = Config.fromfile(graded[0])
    plan = TestPlan(held_out, cfg, {'a': '1'})
    unit = Unit(Arm('base', cfg, {}, (plan,), 'tools/train.py'), 0, tmp_path / 'base/seed_0')
    unit.folder.mkdir(parents=True)
    shutil.copy(graded[1], unit.folder / 'best.pth')
    (unit.folder / 'unit.json').write_text(json.dumps(dict(trained=dict(best='best.pth', iter=1, figures={}))))
    command = unit.begin('scenes')
    monkeypatch.setenv('PYTHONPATH', str(ROOT / 'tests/test_tree_map'))  # the detector alone
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    unit.finish('scenes', 1.0, None)
    assert unit.record['tests']['scenes']['figures']['scene/F1'] == 1

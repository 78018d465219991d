"""`best.py` read back: the same settings as the winner's own config."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from sweep.results import write_results
from sweep.results.best_config import best_text
from sweep.results.rows import Row

from .drawn_study import LR, NASTY, QUERIES, ROOT, TWO, DrawnSweep, add, new_study

FLAGSHIP, DEMO = ROOT / 'configs/m2f_r50_trees.py', ROOT / 'configs/m2f_trees_demo.py'
PIPELINE = 'train_dataloader.dataset.pipeline'
ADAMW = {'_delete_': True, 'type': 'AdamW', 'lr': 1e-3}
CASES = {
    'plain': {LR: 1.2345678901234567e-4, QUERIES: 40},
    'tuple, none, text, truth': {'image_size': (256, 256), 'load_from': None, 'data_root': "a'b\\c\n", 'resume': True},
    'entry of a list': {f'{PIPELINE}.5.ratio_range': (0.5, 1.0)},
    'entries of a list': {f'{PIPELINE}.6.recompute_bbox': False, f'{PIPELINE}.2.swap_channels': True},
    'first entry': {f'{PIPELINE}.0.to_float32': True},
    'whole list': {f'{PIPELINE}': [dict(type='LoadImageFromFile')]},
    'deep in a list': {'param_scheduler.0.begin': 3, f'{PIPELINE}.5.ratio_range': [0.5, 1.5]},
    'dict into a dict': {'optim_wrapper': {'optimizer': {'lr': 3e-4}}, LR: 4e-4},
    'dict for a dict': {'optim_wrapper.optimizer': ADAMW},
    'new key': {'train_dataloader.prefetch_factor': 4},
    'name that is no identifier': {'optim_wrapper.paramwise_cfg.custom_keys': {'a.b': {'lr_mult': 0.5}}},
}


def row_of(values, figures=(0.3,), params=None):
    return Row(number=7, state='done', params=params or {}, values=values, figures=figures, best_iteration=525)


def written(folder, text):
    path = folder / 'best.py'
    path.write_text(text)
    return Config.fromfile(path)._cfg_dict.to_dict()


@pytest.mark.parametrize('base', [DEMO, FLAGSHIP], ids=lambda path: path.stem)
@pytest.mark.parametrize('values', CASES.values(), ids=CASES)
def test_it_says_what_the_trial_had(base, values, tmp_path):
    sweep = DrawnSweep(base=base, options={'train_cfg.max_iters': 600, LR: 9e-5})
    trial = Config.fromfile(base)
    trial.merge_from_dict(dict(sweep.options))
    trial.merge_from_dict({key: dict(value) if isinstance(value, dict) else value for key, value in values.items()})
    found = written(tmp_path, best_text('trees', row_of(values), sweep, tmp_path / 'best.py'))
    assert found == trial._cfg_dict.to_dict()


plain = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('a\'"\\\n#')
)


@given(
    st.dictionaries(st.sampled_from(['x', 'train_cfg.x', 'model.x', 'model.y']), plain | st.lists(plain), min_size=1)
)
def test_any_value_stays_what_it_was(values):
    text = best_text('trees', row_of(values), DrawnSweep(options={}), ROOT / 'best.py')
    tree = {
        node.targets[0].id: eval(compile(ast.Expression(node.value), '', 'eval'))
        for node in ast.parse(text).body
        if node.targets[0].id != '_base_'
    }
    for key, value in values.items():
        found = tree
        for part in key.split('.'):
            found = found[part]
        assert found == value
        assert type(found) is type(value)


def test_few_lines_the_path_relative_and_the_header_harmless(tmp_path):
    text = best_text(
        NASTY, row_of({LR: 1e-4}, params={'choice': "x'''\nimport os"}), DrawnSweep(), tmp_path / 'best.py'
    )
    lines = text.splitlines()
    assert len(lines) <= 10
    assert lines[0].startswith('# Study trees <script>')
    assert 'trial 7: coco/segm_mAP 0.3000, best at iteration 525.' in lines[0]
    assert lines[1] == "# choice=x''' import os"
    (base,) = ast.literal_eval(lines[3].removeprefix('_base_ = '))
    assert not Path(base).is_absolute()
    assert (tmp_path / base).resolve() == DEMO


def test_the_folder_may_be_a_link(tmp_path):
    (tmp_path / 'far/away').mkdir(parents=True)
    (tmp_path / 'link').symlink_to(tmp_path / 'far/away')
    study = new_study()
    add(study, 0.3, lr=5e-4)
    write_results(study, DrawnSweep(), tmp_path / 'link')
    assert Config.fromfile(tmp_path / 'link/best.py').optim_wrapper.optimizer.lr == 5e-4


def test_a_storage_that_keeps_lists_gives_back_tuples(tmp_path):
    study = new_study(storage=f'sqlite:///{tmp_path / "study.db"}')
    add(study, 0.3, resolution='128', values={LR: 2e-4, 'image_size': [128, 128], 'data_root': 'data/of_128'})
    write_results(study, DrawnSweep(), tmp_path)
    found = Config.fromfile(tmp_path / 'best.py')
    assert found.image_size == (128, 128)
    assert type(found.image_size) is tuple
    assert found.data_root == 'data/of_128'


def test_of_several_objectives_it_is_the_best_of_the_first(tmp_path):
    study = new_study(sweep=TWO)
    add(study, 0.2, 1.0)
    add(study, 0.3, 2.0, lr=3e-4)
    write_results(study, TWO, tmp_path)
    text = (tmp_path / 'best.py').read_text()
    assert 'trial 1: coco/segm_mAP 0.3000, seconds_per_image 2.0000' in text
    assert 'best by the first, coco/segm_mAP' in text


def test_a_better_trial_takes_its_place(tmp_path):
    study = new_study()
    add(study, 0.2)
    write_results(study, DrawnSweep(), tmp_path)
    add(study, 0.3)
    write_results(study, DrawnSweep(), tmp_path)
    assert 'trial 1:' in (tmp_path / 'best.py').read_text()

"""Curves gathered from the folders of trainings, and the surrogate that the benchmark makes of them."""

import importlib.util
import json
import sys

import numpy as np
import pytest

from .drawn_study import ROOT


@pytest.fixture(scope='module')
def learning_curves():
    spec = importlib.util.spec_from_file_location('learning_curves', ROOT / 'tools/benchmark/learning_curves.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train(folder, lr, backbone, seed, figures):
    """What a training leaves: its config beside it, one log for each of two attempts."""
    folder.mkdir(parents=True)
    config = dict(
        optim_wrapper=dict(lr=lr), warmup=[lr / 10], model=dict(backbone=backbone), randomness=dict(seed=seed)
    )
    text = ''.join(f'{key} = {value!r}\n' for key, value in config.items())
    (folder.parent / f'{folder.name}.py').write_text(f"{text}work_dir = '{folder}'\n")
    for n, part in enumerate((figures[:1], figures[1:])):
        log = folder / f'2026010{n}_000000' / 'vis_data' / 'scalars.json'
        log.parent.mkdir(parents=True)
        steps = [100 * (n + k + 1) for k in range(len(part))]
        lines = [{'coco/segm_mAP': f, 'step': s} for f, s in zip(part, steps, strict=True)]
        log.write_text(''.join(f'{json.dumps(line)}\n' for line in [{'loss': 1.0, 'step': 10}, *lines]))


@pytest.fixture(scope='module')
def records(learning_curves, tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs')
    for lr in (1e-4, 1e-3):
        for backbone in ('small', 'large'):
            for seed in (0, 1):
                top = 0.3 + lr * 10 + 0.02 * seed + (0.05 if backbone == 'large' else 0)
                train(folder / backbone / f'lr{lr}_seed_{seed}', lr, backbone, seed, [top / 2, top])
    train(folder / 'pruned', 5e-4, 'small', 0, [0.1])
    out = folder / 'curves.json'
    sys.argv = ['learning_curves.py', '--record', str(folder), '--out', str(out)]
    learning_curves.main()
    return out


def test_records_hold_what_differs_and_the_curves_of_all_attempts(records):
    content = json.loads(records.read_text())
    assert len(content['runs']) == 9
    (found,) = [run for run in content['runs'] if run['place'] == 'large/lr0.001_seed_1']
    assert found['values'] == {'optim_wrapper.lr': 1e-3, 'model.backbone': 'large'}
    assert found['curve'] == [[100, pytest.approx(0.19)], [200, pytest.approx(0.38)]]


def test_the_surrogate_gives_back_what_was_recorded_and_its_noise(learning_curves, records):
    curves = learning_curves.RecordedCurves(records)
    at = {'optim_wrapper.lr': 1e-3, 'model.backbone': 'small'}
    assert curves.mean(at) == pytest.approx([0.16, 0.32])
    assert curves.best() == pytest.approx(0.37)
    between = curves.mean({**at, 'optim_wrapper.lr': 3.2e-4})[1]
    assert 0.311 < between < 0.32
    # Two seeds 0.02 and 0.01 apart at the two validations: 0.015 between their means, 0.005 about them.
    assert curves.run_noise == pytest.approx(0.015 / 2**0.5)
    drawn = np.array([curves.run(at, np.random.default_rng(seed)) for seed in range(2000)])
    assert drawn.mean(0) == pytest.approx([0.16, 0.32], abs=0.001)
    spread = (curves.run_noise**2 + curves.validation_noise**2) ** 0.5
    assert drawn.std(0) == pytest.approx([spread, spread], rel=0.1)


def test_too_few_settings_are_refused(learning_curves, tmp_path):
    path = tmp_path / 'curves.json'
    path.write_text(json.dumps(dict(runs=[dict(values={'lr': n}, curve=[[1, 0.1], [2, 0.2]]) for n in range(3)])))
    with pytest.raises(ValueError, match='four settings'):
        learning_curves.RecordedCurves(path)

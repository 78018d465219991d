"""The real commands, as a user starts them."""

import copy
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from fallen_trees.launch import config_of
from fallen_trees.testing import score

ROOT = Path(__file__).resolve().parents[2]


def test_training_leaves_what_users_look_for(trained):
    assert (trained / 'last_checkpoint').read_text().endswith('iter_4.pth')
    assert list(trained.glob('best_coco_segm_mAP_iter_4.pth'))
    assert list(trained.glob('*/vis_data/events.out.tfevents.*'))
    config = (trained / 'tiny.py').read_text()
    assert "classes=(\n        'fallen_tree'" in config or "'fallen_tree'" in config


def test_amp_trains_on_the_cpu_too_and_goes_on_from_a_run_without(trained, tiny_config, run_tool, tmp_path):
    options = ['--resume-anyway', '--cfg-options', 'train_cfg.max_iters=6', 'train_cfg.val_interval=6']
    done = run_tool(
        'train.py', tiny_config, '--amp', '--resume', trained / 'iter_4.pth', '--work-dir', tmp_path, *options
    )
    assert done.returncode == 0, done.stderr
    log = done.stdout + done.stderr
    assert '--amp: bfloat16' in log or '--amp: float16' in log
    assert re.findall(r'Iter\(train\) \[(\d)/6\]', log) == ['5', '6']
    assert Config.fromfile(tmp_path / 'tiny.py').optim_wrapper.type != 'OptimWrapper'


def test_testing_writes_metrics_pictures_and_predictions(trained, tiny_config, run_tool, tmp_path, tiles):
    args = ['--work-dir', tmp_path, '--show-dir', tmp_path / 'vis', '--out', tmp_path / 'predictions.pkl']
    done = run_tool('test.py', tiny_config, trained / 'iter_4.pth', *args)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert {'coco/bbox_mAP', 'coco/segm_mAP', 'coco/segm_mAP_50'} <= set(metrics)
    names = {
        image['file_name'] for image in json.loads((tiles / 'annotations/instances_test.json').read_text())['images']
    }
    assert {file.name for file in (tmp_path / 'vis').iterdir()} == names
    picture = cv2.imread(str(tmp_path / 'vis' / min(names)))
    assert picture.shape == (540, 1544, 3)  # image, truth, prediction: 128 px tiles enlarged four times, and captions
    predictions = pickle.loads((tmp_path / 'predictions.pkl').read_bytes())
    assert len(predictions) == len(names)


def test_a_run_that_averages_is_tested_by_its_averages(tiny_config, run_tool, tmp_path):
    """Its checkpoint holds them in place of the weights; what follows from the run's length is not asked for again."""
    averaging = tmp_path / 'averaging.py'
    hook = dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=None, gamma=None, priority=49)
    averaging.write_text(f"{tiny_config.read_text()}\ncustom_hooks = [dict(type='IterationSeedHook'), {hook}]\n")
    done = run_tool('train.py', averaging, '--work-dir', tmp_path / 'run')
    assert done.returncode == 0, done.stderr
    checkpoint = torch.load(tmp_path / 'run/iter_4.pth')
    queries = 'panoptic_head.query_feat.weight'
    assert not torch.equal(checkpoint['state_dict'][queries], checkpoint['ema_state_dict'][f'module.{queries}'])
    seen = {}

    class Witness(Hook):
        def after_test_iter(self, runner, *args, **kwargs):
            seen.update(copy.deepcopy(runner.model.state_dict()))

    cfg = config_of(averaging, work_dir=tmp_path / 'test')
    score(cfg, tmp_path / 'run/iter_4.pth', on_runner=lambda runner: runner.register_hook(Witness()))
    assert seen.keys() == checkpoint['state_dict'].keys()
    assert all(torch.equal(seen[name], value) for name, value in checkpoint['state_dict'].items())


def test_resume_goes_on_from_the_latest_checkpoint(trained, tiny_config, run_tool, tmp_path):
    cut = run_tool('train.py', tiny_config, '--work-dir', tmp_path, '--cfg-options', 'train_cfg.max_iters=2')
    assert cut.returncode == 0, cut.stderr
    refused = run_tool('train.py', tiny_config, '--work-dir', tmp_path, '--resume')
    assert refused.returncode == 2
    assert 'train_cfg.max_iters: 2 -> 4' in refused.stderr and '--resume-anyway' in refused.stderr
    done = run_tool('train.py', tiny_config, '--work-dir', tmp_path, '--resume', '--resume-anyway')
    assert done.returncode == 0, done.stderr
    log = done.stdout + done.stderr
    assert 'resumed epoch: 0, iter: 2' in log
    assert re.findall(r'Iter\(train\) \[(\d)/4\]', log) == ['3', '4']


def test_resume_without_a_checkpoint_says_so(tiny_config, run_tool, tmp_path):
    done = run_tool(
        'train.py', tiny_config, '--work-dir', tmp_path, '--resume', '--cfg-options', 'train_cfg.max_iters=1'
    )
    assert done.returncode == 0, done.stderr
    assert 'no checkpoint' in done.stdout + done.stderr


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_resume_goes_on(tiny_config, tmp_path, signum):
    options = [
        '--work-dir',
        str(tmp_path),
        '--cfg-options',
        'train_cfg.max_iters=1000',
        'train_dataloader.num_workers=2',
    ]
    command = [sys.executable, str(ROOT / 'tools/train.py'), str(tiny_config), *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    for line in process.stdout:
        if 'Iter(train)' in line:
            break
    # To the whole group, as a terminal's Ctrl-C: data-loader workers get it too.
    os.killpg(process.pid, signum)
    log = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + signum, log
    checkpoint = tmp_path / (tmp_path / 'last_checkpoint').read_text()
    stopped_at = int(checkpoint.stem.removeprefix('iter_'))
    assert f'after iteration {stopped_at}' in log
    torch.load(checkpoint, weights_only=False)


def test_dist_train_with_two_processes(trained, tiny_config, run_tool, tmp_path):
    """Loss falls, both ranks end with the same weights, and no sample of a round is seen by both."""
    config = tmp_path / 'two.py'
    config.write_text(
        f"""
_base_ = ['{tiny_config}']
custom_imports = dict(imports=['fallen_trees', 'rank_witness'])
custom_hooks = [dict(type='RankWitness')]
val_cfg = None
val_dataloader = None
val_evaluator = None
train_cfg = dict(max_iters=30)
train_dataloader = dict(num_workers=1, dataset=dict(indices=8))
"""
    )
    done = run_tool(
        'dist_train.sh', config, 2, '--work-dir', tmp_path / 'run', PYTHONPATH=str(Path(__file__).parent)
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (json.loads((tmp_path / f'run/rank_{rank}.json').read_text()) for rank in (0, 1))
    assert one['weights'] == two['weights'] != one['weights_at_start']
    assert one['weights_at_start'] == two['weights_at_start']
    size = one['dataset_size']
    rounds = len(one['seen']) // ((size + 1) // 2)
    assert rounds >= 2
    together = [i for pair in zip(one['seen'], two['seen'], strict=True) for i in pair]
    for number in range(rounds - 1):
        assert len(set(together[number * size : (number + 1) * size])) == size
    losses = [sum(pair) for pair in zip(one['losses'], two['losses'], strict=True)]  # two of them see all eight tiles
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])


def test_dist_test_predicts_like_one_process(trained, tiny_config, run_tool, tmp_path):
    predictions = {}
    for name, tool, processes in (('one', 'test.py', []), ('two', 'dist_test.sh', [2])):
        out = tmp_path / f'{name}.pkl'
        args = [tiny_config, trained / 'iter_4.pth', *processes, '--work-dir', tmp_path / name, '--out', out]
        done = run_tool(tool, *args)
        assert done.returncode == 0, done.stderr[-3000:]
        predictions[name] = [(p['img_id'], p['pred_instances']['scores']) for p in pickle.loads(out.read_bytes())]
    assert len(predictions['one']) == len(predictions['two']) > 2
    for (id_one, scores_one), (id_two, scores_two) in zip(predictions['one'], predictions['two'], strict=True):
        assert id_one == id_two
        assert torch.allclose(scores_one, scores_two, atol=1e-4)
    assert (tmp_path / 'one/metrics.json').read_text() == (tmp_path / 'two/metrics.json').read_text()


QUERIES = ['--cfg-options', 'model.panoptic_head.num_queries=9']
UNREACHABLE = ['--cfg-options', 'load_from=http://127.0.0.1:9/m2f.pth']
BAD = [
    pytest.param('train.py', ['{nowhere}.py'], 2, 'does not exist', id='no config'),
    pytest.param('train.py', ['{broken}'], 2, 'line 1', id='config with a syntax error'),
    pytest.param('train.py', ['{config}', '--cfg-options', 'optim_wrapper.optimizer.lrr=1'], 2, "'lr'", id='typo'),
    pytest.param('train.py', ['{config}', '--cfg-options', 'data_root=/nowhere'], 2, 'data_prep tile', id='no data'),
    pytest.param('train.py', ['{config}', '--resume', '{nowhere}.pth'], 2, 'does not exist', id='resume from nowhere'),
    pytest.param('train.py', ['{config}', *UNREACHABLE], 3, 'load_from=None', id='weights that cannot be fetched'),
    pytest.param('train.py', ['{config}', '--cfg-options', 'model.backbone.type=ResNot'], 2, 'ResNot', id='no class'),
    pytest.param(
        'train.py', ['{config}', '--resume', '{checkpoint}', *QUERIES], 2, 'num_queries', id='resume other model'
    ),
    pytest.param('test.py', ['{config}', '{nowhere}.pth'], 2, 'does not exist', id='no checkpoint'),
    pytest.param('test.py', ['{config}', '{broken}'], 2, 'cannot be read', id='no checkpoint format'),
    pytest.param('test.py', ['{config}', '{checkpoint}', *QUERIES], 2, 'query', id='checkpoint of another shape'),
    pytest.param('test.py', ['{config}', '{checkpoint}', '--out', 'x.json'], 2, '.pkl', id='wrong suffix of --out'),
    pytest.param('test.py', ['{config}', '{checkpoint}', '--tta'], 2, 'masks', id='tta'),
    pytest.param('dist_train.sh', ['{config}'], 2, 'usage', id='no number of processes'),
]


@pytest.mark.parametrize(('tool', 'args', 'code', 'said'), BAD)
def test_bad_input_is_one_line(trained, tiny_config, run_tool, tmp_path, tool, args, code, said):
    (tmp_path / 'broken.py').write_text('model = dict(\n')
    places = dict(
        nowhere=tmp_path / 'nowhere',
        broken=tmp_path / 'broken.py',
        config=tiny_config,
        checkpoint=trained / 'iter_4.pth',
    )
    work_dir = ['--work-dir', str(tmp_path / 'run')] if tool.endswith('.py') else []
    done = run_tool(tool, *[arg.format(**places) for arg in args], *work_dir)
    assert done.returncode == code, done.stderr
    assert 'Traceback' not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert said in last, last
    assert tool.endswith('.sh') or last.startswith('error: ')
    assert not list((tmp_path / 'run').rglob('*.pth'))

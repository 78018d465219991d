"""`tools/ablate.py`: what it runs, what it keeps through kills, what it says of wrong input."""

import importlib.util
import json
import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from mmengine.config import Config

from fallen_trees.ablation.ablation_file import read_ablation
from fallen_trees.ablation.plan import as_text, plan, seeded
from fallen_trees.ablation.process import lock

ROOT = Path(__file__).resolve().parents[2]
TOY = Path(__file__).with_name('toy_trainer.py')
FIGURE = 'coco/segm_mAP'

# Two arms, two seeds, and a set the best checkpoints are scored on; the toy's score is warm-up / 100 + seed / 1000.
GRID = """
config = '{config}'
tool = '{toy}'
options = {{'train_dataloader.batch_size': 1}}
seeds = [0, 4]
arms = dict(base={{'lr_warmup_updates': 30}}, longer={{'lr_warmup_updates': 40}})
metrics = ['coco/segm_mAP']
tests = dict(held_out=dict(tool='{toy}', metrics=['coco/segm_mAP', 'coco/none']))
"""


@pytest.fixture
def write(tmp_path, tiny_config):
    """Write an ablation file, the grid above with other lines after it; returns its path."""

    def write(*lines, name='grid'):
        file = tmp_path / f'{name}.py'
        file.write_text('\n'.join([GRID.format(config=tiny_config, toy=TOY), *lines]))
        return file

    return write


@pytest.fixture
def ablate(monkeypatch, capsys, tmp_path):
    """Run the tool in this process, results in tmp_path/out; returns exit code, stdout, stderr."""
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.setattr('logging.raiseExceptions', True)
    spec = importlib.util.spec_from_file_location('tool_ablate', ROOT / 'tools/ablate.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(file, *args):
        capsys.readouterr()
        try:
            code = module.main([str(file), '--work-dir', str(tmp_path / 'out'), *map(str, args)])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def start(run_tool, tmp_path):
    """Start the tool in a process of its own, ready to be killed."""
    import warm_process

    server = warm_process.server()
    started = []

    def start(file, *args):
        files = (str(tmp_path / 'stdout'), str(tmp_path / 'stderr'))
        argv = [str(file), '--work-dir', str(tmp_path / 'out'), *map(str, args)]
        process = server.Process(
            target=warm_process.main, args=(str(ROOT / 'tools/ablate.py'), argv, str(tmp_path), *files)
        )
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


def diaries(folder):
    return {str(file.parent.relative_to(folder)): file.read_text().split() for file in folder.rglob('diary')}


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


WHOLE = {
    f'{arm}/seed_{seed}{test}': done
    for arm in ('base', 'longer')
    for seed in (0, 4)
    for test, done in (('', ['1', '2', '3', '4']), ('/test_held_out', ['tested']))
}


def test_every_unit_runs_once_and_the_table_is_right(ablate, write, tmp_path):
    file = write()
    code, said, _ = ablate(file, '--jobs', 2)
    assert code == 0, said
    assert diaries(tmp_path / 'out') == WHOLE
    rows = [line.strip('| ').split(' | ') for line in (tmp_path / 'out/results.md').read_text().splitlines()]
    assert rows[0] == ['arm', 'n', 'val segm_mAP', 'held_out segm_mAP', 'held_out none', 'minutes', 'commit']
    # 0.300 and 0.304; 0.400 and 0.404: standard deviations 0.0028, of the differences none.
    assert rows[2][:5] == ['base', '2', '0.302 ± 0.003', '0.402 ± 0.003', '']
    assert rows[3][:4] == ['longer', '2', '0.402 ± 0.003 (+0.100 ± 0.000)', '0.502 ± 0.003 (+0.100 ± 0.000)']
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert results['command'] == f'python tools/ablate.py {file}'
    cell = results['arms'][1]['cells'][0]
    assert cell['figure'] == FIGURE and cell['n'] == 2 and cell['difference'] == pytest.approx(0.1)
    assert [unit['trained']['figures'][FIGURE] for unit in results['arms'][0]['units']] == [0.3, 0.304]
    assert ablate(file)[0] == 0
    assert diaries(tmp_path / 'out') == WHOLE


def test_only_runs_what_it_names_and_empty_cells_stay_empty(ablate, write, tmp_path):
    file = write('seeds = [4]')
    code, said, _ = ablate(file, '--only', 'longer')
    assert code == 0
    assert set(diaries(tmp_path / 'out')) == {'longer/seed_4', 'longer/seed_4/test_held_out'}
    assert '| base | 0 |  |  |  |  |  |' in said
    assert '| longer | 1 | 0.404 | 0.504 |  |' in said
    assert '| longer | 1 | 0.404 | 0.504 |  |' in ablate(file, '--table')[1]


def test_a_dry_run_runs_nothing_and_estimates(ablate, write, tmp_path):
    code, said, _ = ablate(write(), '--dry-run', '--jobs', 2)
    assert code == 0 and not (tmp_path / 'out').exists()
    assert 'longer, seed 4: train, test on held_out' in said and 'No estimate' in said
    assert 'Estimate: 60 minutes of units, 30 in all' in ablate(write('unit_minutes = 15'), '--dry-run', '--jobs', 2)[1]
    ablate(write(), '--only', 'base')
    assert '2 done, 2 to do' in (said := ablate(write('unit_minutes = 15'), '--dry-run')[1])
    assert 'Estimate: 0 minutes' in said  # as the units that are done have it


def test_a_new_test_set_or_seed_runs_alone(ablate, write, tmp_path):
    ablate(write('seeds = [0]'))
    code, _, _ = ablate(write(f"tests['finland'] = dict(tool='{TOY}', options={{'test_dataloader.batch_size': 2}})"))
    assert code == 0
    assert diaries(tmp_path / 'out') == WHOLE | {
        f'{arm}/seed_{seed}/test_finland': ['tested'] for arm in ('base', 'longer') for seed in (0, 4)
    }


def test_a_changed_unit_is_refused_or_run_again(ablate, write, tmp_path):
    ablate(write('seeds = [0]'))
    changed = write('seeds = [0]', "arms['longer']['lr_warmup_updates'] = 50")
    code, _, error = ablate(changed)
    assert code == 2 and 'longer, seed 0' in error and 'lr_warmup_updates: 40 -> 50' in error
    assert '--rerun-changed' in error
    code, said, _ = ablate(changed, '--rerun-changed')
    assert code == 0 and '0.500 (+0.200)' in said
    assert diaries(tmp_path / 'out')['longer/seed_0.replaced_1'] == ['1', '2', '3', '4']
    assert ablate(write('seeds = [0]', "arms['longer']['lr_warmup_updates'] = 50", "options['log_level'] = 'ERROR'"))[
        0] == 0  # fmt: skip


def test_a_failed_unit_is_noted_and_the_others_go_on(ablate, write, tmp_path):
    failing = "arms = dict(bad={'lr_warmup_updates': 13}, **arms)"
    code, said, error = ablate(write(failing))
    assert code == 1
    assert error.splitlines() == [
        f'error: bad, seed {seed}: train: this arm fails. (exit code 1; {tmp_path}/out/bad/seed_{seed}/unit.log)'
        for seed in (0, 4)
    ]
    assert '| longer | 2 |' in said and '| bad | 0 |' in said
    assert diaries(tmp_path / 'out') == WHOLE
    # What has not come to a checkpoint may be put right in the file.
    assert ablate(write(failing.replace('13', '14')))[0] == 0


def test_a_unit_that_hangs_is_ended_and_keeps_its_checkpoint(ablate, write, tmp_path):
    code, _, error = ablate(
        write("arms = dict(hangs={'lr_warmup_updates': 17})", 'seeds = [0]', 'timeout_minutes = 0.05')
    )
    assert code == 1 and 'not done after 0.05 minutes' in error
    assert (tmp_path / 'out/hangs/seed_0/iter_1.pth').exists()


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_units_which_save(start, write, tmp_path, signum):
    process = start(write(), '--jobs', 2)
    wait_for(lambda: len(diaries(tmp_path / 'out')) == 2)
    os.kill(process.pid, signum)
    process.join(30)
    assert process.exitcode == 128 + signum
    record = json.loads((tmp_path / 'out/base/seed_0/unit.json').read_text())
    assert record['spent']['train'] > 0 and 'running' not in record and 'failed' not in record
    process = start(write(), '--jobs', 2)
    process.join(60)
    assert process.exitcode == 0
    assert diaries(tmp_path / 'out') == WHOLE


def test_killed_at_random_moments_nothing_is_lost_and_nothing_done_twice(start, write, tmp_path):
    """Kills of the ablation alone: its processes save and end by themselves, before the next one takes over."""
    file, rng = write(), random.Random(0)
    for _ in range(8):
        (tmp_path / 'stdout').unlink(missing_ok=True)
        process = start(file, '--jobs', 2)
        wait_for(lambda: (tmp_path / 'stdout').is_file() and 'to do' in (tmp_path / 'stdout').read_text())
        process.join(rng.uniform(0, 1))
        process.kill()
        process.join()
    process = start(file, '--jobs', 2)
    process.join(60)
    assert process.exitcode == 0, (tmp_path / 'stderr').read_text()
    found = diaries(tmp_path / 'out')
    tested = {name: set(lines) for name, lines in found.items() if 'test_' in name}
    assert {name: lines for name, lines in found.items() if 'test_' not in name} == {
        name: lines for name, lines in WHOLE.items() if 'test_' not in name
    }
    assert tested == {name: set(lines) for name, lines in WHOLE.items() if 'test_' in name}
    assert '| longer | 2 | 0.402 ± 0.003 (+0.100 ± 0.000) |' in (tmp_path / 'out/results.md').read_text()


def test_processes_of_an_ablation_that_is_killed_save_and_end(start, write, tmp_path):
    process = start(write("arms = dict(hangs={'lr_warmup_updates': 17})"))
    folder = tmp_path / 'out/hangs/seed_0'
    wait_for(lambda: (folder / '.toy').is_file() and (folder / '.toy').read_text())
    time.sleep(0.5)
    toy = int((folder / '.toy').read_text())
    os.kill(toy, signal.SIGSTOP)
    process.kill()
    process.join()
    held = lock(folder.with_name('.seed_0.lock')) is None
    os.kill(toy, signal.SIGCONT)
    assert held  # as long as the process lives
    wait_for((folder / 'iter_1.pth').exists)
    fd = None
    while fd is None:  # until nobody is at work any more
        fd = lock(folder.with_name('.seed_0.lock'))
    os.close(fd)
    assert diaries(tmp_path / 'out') == {'hangs/seed_0': ['1']}


def test_two_ablations_share_one_grid(start, write, tmp_path):
    processes = [start(write()), start(write())]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert diaries(tmp_path / 'out') == WHOLE


def test_the_config_of_a_unit_stands_for_itself(write, monkeypatch, tmp_path):
    """What a unit trains by is the merged config to the last value: lists by index, replaced dicts, tuples."""
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.setattr('logging.raiseExceptions', True)
    arms = (
        "arms = dict(a={'model.backbone': dict(_delete_=True, type='MobileNetV2', out_indices=(1, 2, 4, 6)),"
        "'model.panoptic_head.in_channels': [24, 32, 96, 320],"
        "'train_dataloader.dataset.pipeline.3.prob': 0.25})"
    )
    (arm,) = plan(read_ablation(write(arms)))
    cfg = seeded(arm.cfg, 7)
    text = tmp_path / 'unit_config.py'
    text.write_text(as_text(cfg))
    read = Config.fromfile(text)
    assert read.to_dict() == cfg.to_dict()
    assert read.randomness.seed == read.train_dataloader.sampler.seed == 7
    assert read.model.backbone == dict(type='MobileNetV2', out_indices=(1, 2, 4, 6))
    assert read.train_dataloader.dataset.pipeline[3].prob == 0.25
    assert read.train_dataloader.batch_size == 1


BAD = {
    'no file': ('{nowhere}.py', [], 'does not exist'),
    'no arms': (None, ['arms = {}'], 'arms must be given'),
    'key typo': (None, ['seed = [1]'], "nothing reads the key 'seed'; is 'seeds' meant?"),
    'arm twice': (None, ["arms = {'a': {}, 'a': {'lr_warmup_updates': 9}}"], "'a' stands twice"),
    'arm twice in call': (None, ['arms = dict(a={}, a={})'], 'keyword argument repeated: a'),
    'arms alike': (None, ['arms = dict(a={}, b={})'], 'arm b runs the same as arm a'),
    'arm no folder': (None, ["arms = {'a/b': {}}"], 'will name a folder'),
    'arm no dict': (None, ['arms = dict(a=3)'], 'arm a: must be a dict'),
    'setting typo in the last arm': (
        None, ["arms['c'] = {'model.panoptic_head.num_querys': 9}"], "arm c: model.panoptic_head.num_querys: there is",
    ),
    'setting that a config used up': (
        None, ["arms['c'] = {'train_pipeline.3.prob': 0.25}"], 'arm c: train_pipeline.3.prob: ',
    ),
    'no data': (None, ["arms['c'] = {'data_root': '/nowhere'}"], 'arm c: '),
    'no base': (None, ["arms['c'] = {'config': '{nowhere}.py'}"], 'arm c: the config'),
    'base without its base': (None, ["config = '{orphan}'"], 'cannot be read'),
    'no weights': (None, ["arms['c'] = {'load_from': '{nowhere}.pth'}"], 'do not exist'),
    'no weights by pattern': (None, ["arms['c'] = {'load_from': '{nowhere}*.pth'}"], 'it matches 0'),
    'seeds': (None, ['seeds = [1, 1]'], 'each once'),
    'test key': (None, ['tests = dict(a=dict(option={}))'], "is 'options' meant?"),
    'test data': (None, ["tests = dict(a=dict(options={'data_root': '/nowhere'}))"], 'test a: '),
    'timeout': (None, ['timeout_minutes = 0'], 'above 0'),
    'no best checkpoint': (None, ["options = {'default_hooks.checkpoint.save_best': None}"], 'save_best must name'),
}  # fmt: skip


@pytest.mark.parametrize(('file', 'lines', 'said'), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_before_anything_runs(ablate, write, tmp_path, file, lines, said):
    (tmp_path / 'orphan.py').write_text("_base_ = ['./nowhere.py']\n")
    places = {'{nowhere}': str(tmp_path / 'nowhere'), '{orphan}': str(tmp_path / 'orphan.py')}

    def fill(text):
        return re.sub(r'\{nowhere\}|\{orphan\}', lambda found: places[found[0]], text)

    code, _, error = ablate(fill(file) if file else write(*map(fill, lines)))
    assert code == 2, error
    assert len(error.strip().splitlines()) == 1
    assert error.startswith('error: ') and said in error
    assert not (tmp_path / 'out').exists()


def test_wrong_flags_are_one_line(ablate, write):
    code, _, error = ablate(write(), '--only', 'long')
    assert code == 2 and "there is no arm 'long'" in error and 'base, longer' in error
    assert ablate(write(), '--jobs', 0)[0] == 2


REAL = """
config = '{config}'
options = {{'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2, 'default_hooks.checkpoint.interval': 1}}
seeds = {seeds}
arms = dict(base={{}}, rate={{'optim_wrapper.optimizer.lr': 1e-4}})
tests = dict(held_out={{}})
"""


def test_the_real_tools(start, tiny_config, tmp_path):
    """One arm, one seed: train.py trains, test.py scores its best checkpoint."""
    file = tmp_path / 'real.py'
    file.write_text(REAL.format(config=tiny_config, seeds='[4]'))
    process = start(file, '--only', 'rate')
    process.join(200)
    assert process.exitcode == 0, (tmp_path / 'stderr').read_text()
    folder = tmp_path / 'out/rate/seed_4'
    record = json.loads((folder / 'unit.json').read_text())
    assert (folder / record['trained']['best']).is_file() and record['trained']['iter'] == 2
    assert len(record['trained']['figures']) > 10  # all figures of that validation
    metrics = json.loads((folder / 'test_held_out/metrics.json').read_text())
    assert record['tests']['held_out']['figures'] == metrics
    cfg = Config.fromfile(folder / 'seed_4.py')
    assert cfg.randomness.seed == 4 and cfg.optim_wrapper.optimizer.lr == 1e-4


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_the_real_tools_killed_at_random_moments(start, tiny_config, tmp_path):
    """Two arms, two seeds; the ablation is killed, now and then with its processes."""
    file, rng = tmp_path / 'real.py', random.Random(1)
    file.write_text(REAL.format(config=tiny_config, seeds='[0, 1]'))
    for kill in range(8):
        process = start(file, '--jobs', 2)
        process.join(rng.uniform(5, 40))
        if kill % 2:
            for child in children(process.pid):
                child.kill()
        process.kill()
        process.join()
        if process.exitcode == 0:
            break
    process = start(file, '--jobs', 2)
    process.join(600)
    assert process.exitcode == 0, (tmp_path / 'stderr').read_text()
    iterations = {}
    for arm in ('base', 'rate'):
        for seed in (0, 1):
            log = (tmp_path / f'out/{arm}/seed_{seed}/unit.log').read_text()
            iterations[arm, seed] = re.findall(r'Iter\(train\) \[(\d)/2\]', log)
            assert set(iterations[arm, seed]) == {'1', '2'}
            assert not re.search('Traceback|writes to', log)
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert [arm['n'] for arm in results['arms']] == [2, 2]
    assert all(cell['n'] == 2 for arm in results['arms'] for cell in arm['cells'])
    assert sum(map(len, iterations.values())) <= 8 + 8


def children(pid):
    psutil = pytest.importorskip('psutil')
    return psutil.Process(pid).children(recursive=True)


EXAMPLES = sorted((ROOT / 'configs/ablations').glob('*.py'))


@pytest.mark.parametrize('file', EXAMPLES, ids=lambda file: file.stem)
def test_the_ablations_of_this_repository_can_run(ablate, tiles, tmp_path, monkeypatch, file):
    """All arms are derived, from data and weights where the files say they lie."""
    assert len(EXAMPLES) > 2
    monkeypatch.chdir(tmp_path)
    annotations = json.loads((tiles / 'annotations/instances_train.json').read_text())
    for folder in ('work_dirs/demo/data', 'data/demo_all_empty', 'data/finland', 'data/crowns', 'data/transfer'):
        shutil.copytree(tiles, folder)
        annotations['info'] = dict(annotations.get('info') or {}, folder=folder)  # other tiles, to be told apart
        for name in ('instances_train', 'instances_train_quarter', '100/instances_train', '1000/instances_train'):
            path = Path(folder, f'annotations/{name}.json')
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps({**annotations, 'name': name}))
    for weights in ('weights/mobilenet_v2_imagenet.pth', 'work_dirs/drawn_start/best_coco_segm_mAP_iter_8.pth'):
        Path(weights).parent.mkdir(parents=True, exist_ok=True)
        Path(weights).write_text(weights)
    code, said, error = ablate(file, '--dry-run')
    assert code == 0, error
    arms = read_ablation(str(file)).arms
    assert f'{3 * len(arms)} units, {len(arms)} arms: 0 done' in said

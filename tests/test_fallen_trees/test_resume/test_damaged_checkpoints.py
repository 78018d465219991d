"""The real training command on work dirs with something wrong in them, each in a forked child."""

import json
import os
import pickle
import shutil
import tempfile
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from fallen_trees.errors import ConfigError
from fallen_trees.resume.checkpoint_file import commit, manifest_path, point_to, sha256
from fallen_trees.resume.resuming import choose_checkpoint

ROOT = Path(__file__).resolve().parents[3]


def load_tool(name):
    spec = spec_from_file_location(f'tool_{name}', ROOT / 'tools' / f'{name}.py')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def run(fork):
    """Run a tool in a forked child: exit code and everything it wrote."""
    tools = {name: load_tool(name) for name in ('train', 'test')}

    def run(name, *argv, before=None):
        def act():
            if before is not None:
                before()
            return tools[name].main([str(item) for item in argv])

        code, text = fork(act)
        return SimpleNamespace(code=code, text=text)

    return run


@pytest.fixture(scope='module')
def config(three_steps):
    return three_steps("dict(type='GuardHook', val_batches=0)")


@pytest.fixture(scope='module')
def finished(run, config, tmp_path_factory):
    """A run of three iterations with a checkpoint of each."""
    work_dir = tmp_path_factory.mktemp('finished')
    done = run('train', config, '--work-dir', work_dir)
    assert done.code == 0, done.text
    return work_dir


@pytest.fixture
def broken(finished, tmp_path):
    """A copy of the finished run, cut after its second iteration: `--resume` has one iteration to go."""
    work_dir = tmp_path / 'run'
    shutil.copytree(finished, work_dir)
    for name in ('iter_3.pth', 'iter_3.pth.json'):
        (work_dir / name).unlink()
    point_to(work_dir / 'iter_2.pth')
    return work_dir


def change(path, edit):
    """Change what a checkpoint holds; its manifest fits again."""
    content = torch.load(path, weights_only=True)
    edit(content)
    torch.save(content, path)
    manifest = json.loads(manifest_path(path).read_text())
    manifest_path(path).write_text(json.dumps({**manifest, 'sha256': sha256(path)}))


def assert_one_line(done, code, *words):
    errors = [line for line in done.text.splitlines() if line.startswith('error: ')]
    assert done.code == code and len(errors) == 1, done.text
    assert 'Traceback' not in done.text, done.text
    for word in words:
        assert word in errors[0]


def assert_went_on(done, work_dir, iteration):
    assert done.code == 0, done.text
    assert f'resumed epoch: 0, iter: {iteration}' in done.text
    assert torch.load(work_dir / 'iter_3.pth', weights_only=True)['meta']['iter'] == 3


# Damage to the file itself: the next older one is taken. Small files, because what is in them does not matter.


@pytest.fixture
def three(tmp_path):
    for step in (1, 2, 3):
        content = {'state_dict': {'w': torch.arange(5000.0) + step}, 'meta': {'iter': step}}
        commit(tmp_path / f'iter_{step}.pth', lambda target, c=content: torch.save(c, target), {'iter': step})
    return tmp_path


def flip(path, where):
    with zipfile.ZipFile(path) as archive:
        info = next((i for i in archive.infolist() if i.filename.endswith(where)), None)
    content = bytearray(path.read_bytes())
    place = content.rindex(b'PK\x01\x02') + 20 if info is None else info.header_offset + info.compress_size // 2 + 100
    content[place] ^= 0x55
    path.write_bytes(content)


CUTS = [0, 1, 2, 64, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, -100, -1]


@pytest.mark.parametrize('manifest', [True, False], ids=['manifest', 'no manifest'])
@pytest.mark.parametrize('cut', CUTS)
def test_of_a_cut_file_the_next_older_is_taken(three, cut, manifest):
    path = three / 'iter_3.pth'
    content = path.read_bytes()
    path.write_bytes(content[: int(cut * len(content)) if isinstance(cut, float) else cut])
    if not manifest:
        manifest_path(path).unlink()
    assert_falls_back(three)


@pytest.mark.parametrize('manifest', [True, False], ids=['manifest', 'no manifest'])
@pytest.mark.parametrize('where', ['data/0', 'data.pkl', 'directory'])
def test_of_a_file_with_a_flipped_byte_the_next_older_is_taken(three, where, manifest):
    flip(three / 'iter_3.pth', where)
    if not manifest:
        manifest_path(three / 'iter_3.pth').unlink()
    assert_falls_back(three)


def assert_falls_back(folder):
    path, notes = choose_checkpoint('auto', folder)
    assert Path(path).name == 'iter_2.pth'
    assert notes[0].startswith('iter_3.pth is damaged: ') and len(notes[0]) > 30
    assert 'set aside as iter_3.pth.corrupt' in notes[1]
    assert (folder / 'iter_3.pth.corrupt').exists() and not (folder / 'iter_3.pth').exists()


def test_a_damaged_file_that_is_named_is_refused_and_left_alone(three):
    path = three / 'iter_3.pth'
    flip(path, 'data/0')
    with pytest.raises(ConfigError, match='iter_3.pth is damaged: its sha256'):
        choose_checkpoint(str(path), three)
    assert path.exists()


def test_nothing_is_overwritten_when_it_is_set_aside(three):
    (three / 'iter_3.pth.corrupt').write_bytes(b'an earlier one')
    (three / 'iter_3.pth').write_bytes(b'')
    choose_checkpoint('auto', three)
    assert (three / 'iter_3.pth.corrupt').read_bytes() == b'an earlier one'
    assert (three / 'iter_3.pth.corrupt.2').read_bytes() == b''


POINTERS = {
    'missing': lambda path: path.unlink(),
    'empty': lambda path: path.write_text(''),
    'dangling': lambda path: path.write_text('iter_99.pth'),
    'a folder': lambda path: (path.unlink(), (path / 'x').mkdir(parents=True)),
    'binary': lambda path: path.write_bytes(bytes(range(256))),
    'of another run': lambda path: path.write_text('/elsewhere/run/iter_1.pth'),
    'a link to itself': lambda path: (path.unlink(), path.symlink_to(path.name)),
}


@pytest.mark.parametrize('kind', POINTERS)
def test_the_pointer_does_not_matter_and_is_written_anew(three, kind):
    pointer = three / 'last_checkpoint'
    pointer.write_text('iter_3.pth')
    POINTERS[kind](pointer)
    assert Path(choose_checkpoint('auto', three)[0]).name == 'iter_3.pth'
    point_to(three / 'iter_3.pth')
    assert pointer.read_text() == 'iter_3.pth'


def other(three):
    return manifest_path(three / 'iter_1.pth').read_text()


MANIFESTS = {
    'missing': (lambda path, three: path.unlink(), 3),
    'torn': (lambda path, three: path.write_text(path.read_text()[:30]), 3),
    'binary': (lambda path, three: path.write_bytes(bytes(range(256))), 3),
    'a list': (lambda path, three: path.write_text('[1, 2]'), 3),
    'nested without end': (lambda path, three: path.write_text('[' * 200_000), 3),
    'a folder': (lambda path, three: (path.unlink(), path.mkdir()), 3),
    'a link to itself': (lambda path, three: (path.unlink(), path.symlink_to(path.name)), 3),
    'of another checkpoint': (lambda path, three: path.write_text(other(three)), 2),
    'wrong': (lambda path, three: path.write_text(json.dumps({'sha256': '0' * 64, 'iter': 3})), 2),
    'of an odd step': (lambda path, three: path.write_text(path.read_text().replace('"iter": 3', '"iter": "x"')), 2),
}


@pytest.mark.parametrize('kind', MANIFESTS)
def test_a_manifest_that_says_nothing_leaves_the_archives_own_checksums_and_a_wrong_one_is_damage(three, kind):
    edit, expected = MANIFESTS[kind]
    edit(manifest_path(three / 'iter_3.pth'), three)
    assert Path(choose_checkpoint('auto', three)[0]).name == f'iter_{expected}.pth'


def test_archives_that_are_no_checkpoints_and_folders_are_passed_over(three):
    with zipfile.ZipFile(three / 'iter_8.pth', 'w') as archive:
        archive.writestr('readme.txt', 'no checkpoint')
    torch.save([1, 2], three / 'iter_7.pth')
    (three / 'iter_9.pth' / 'x').mkdir(parents=True)
    (three / 'iter_10.pth').symlink_to('iter_10.pth')
    (three / 'iter_11.pth').symlink_to('gone.pth')
    path, notes = choose_checkpoint('auto', three)
    assert Path(path).name == 'iter_3.pth'
    assert [note.split()[0] for note in notes[:5]] == [f'iter_{n}.pth' for n in (11, 10, 9, 8, 7)]


# What is in the file: the real command.


def lacks(name):
    return lambda content: content.pop(name)


def first(state):
    return next(iter(state['state'].values()))


def other_shape(content):
    first(content['optimizer'])['exp_avg'] = torch.zeros(3)


LACKING = {
    'optimizer': (lacks('optimizer'), 'state of the optimizer'),
    'empty optimizer': (lambda content: content['optimizer']['state'].clear(), 'optimizer state is empty'),
    'optimizer of other groups': (lambda content: content['optimizer']['param_groups'].pop(), 'groups of weights'),
    'optimizer of other shapes': (other_shape, 'exp_avg'),
    'schedules': (lacks('param_schedulers'), 'learning-rate schedule'),
    'one schedule': (lambda content: content['param_schedulers'].pop(), '1 learning-rate schedule'),
    'message hub': (lacks('message_hub'), 'message_hub'),
    'odd message hub': (lambda content: content.update(message_hub={'log_scalars': 3}), 'message_hub'),
    'iteration': (lambda content: content['meta'].pop('iter'), 'meta.iter'),
    'meta': (lambda content: content.update(meta=None), 'meta.iter'),
    'state_dict': (lacks('state_dict'), 'is good'),  # neither of the two is
    'averaged here, not there': (lambda content: content.update(ema_state_dict={}), 'EMAHook'),
    'no tensor': (lambda content: content['state_dict'].update(x=3), 'is good'),
}


@pytest.mark.parametrize('part', LACKING)
def test_nothing_that_lacks_a_part_of_the_state_is_resumed(run, config, broken, part):
    edit, words = LACKING[part]
    for step in (1, 2):
        change(broken / f'iter_{step}.pth', edit)
    assert_one_line(run('train', config, '--work-dir', broken, '--resume'), 2, words)


@pytest.mark.parametrize('how', ['averages', 'queries', 'foreign'])
def test_checkpoints_of_another_model_are_refused_also_anyway(run, config, broken, how):
    changed = config.with_name(f'{how}.py')
    if how == 'averages':
        changed.write_text(config.read_text() + "\ncustom_hooks = [*custom_hooks, dict(type='EMAHook')]")
        words = ['ema_state_dict']
    elif how == 'queries':
        changed.write_text(config.read_text() + '\nmodel = dict(panoptic_head=dict(num_queries=7))')
        words = ['another model', 'query']
    else:
        changed = config
        change(broken / 'iter_2.pth', lambda content: content.update(state_dict={'w': torch.ones(2)}))
        words = ['another model', 'is missing']
    assert_one_line(run('train', changed, '--work-dir', broken, '--resume', '--resume-anyway'), 2, *words)


def test_a_changed_setting_is_shown_and_refused_unless_told_otherwise(run, config, broken):
    args = ['train', config, '--work-dir', broken, '--resume']
    options = ['--cfg-options', 'optim_wrapper.optimizer.weight_decay=0.3']
    assert_one_line(run(*args, *options), 2, 'optim_wrapper.optimizer.weight_decay: 0.05 -> 0.3', '--resume-anyway')
    done = run(*args, '--resume-anyway', *options)
    assert_went_on(done, broken, 2)
    assert 'Changed since the checkpoint: optim_wrapper.optimizer.weight_decay: 0.05 -> 0.3' in done.text


def test_the_newest_good_one_is_taken_and_the_damage_said(run, config, broken):
    (broken / 'iter_3.pth').write_bytes(b'PK')
    (broken / 'iter_9.pth').mkdir()
    done = run('train', config, '--work-dir', broken, '--resume')
    assert_went_on(done, broken, 2)
    assert 'iter_9.pth is damaged: it is no file' in done.text and 'set aside as iter_3.pth.corrupt' in done.text


def test_a_work_dir_can_be_moved(run, config, broken):
    moved = broken.rename(broken.with_name('elsewhere'))
    assert_went_on(run('train', config, '--work-dir', moved, '--resume'), moved, 2)


def test_a_work_dir_without_a_good_one_is_refused(run, config, broken):
    for step in (1, 2):
        (broken / f'iter_{step}.pth').write_bytes(b'')
    assert_one_line(run('train', config, '--work-dir', broken, '--resume'), 2, 'no checkpoint in', 'is good')


def test_a_path_that_does_not_exist_is_refused(run, config, broken):
    done = run('train', config, '--work-dir', broken, '--resume', broken / 'iter_77.pth')
    assert_one_line(done, 2, 'iter_77.pth')


@pytest.mark.skipif(os.getuid() != 0, reason='only root can become another user')
def test_a_checkpoint_that_may_not_be_read_is_left_alone(run, config, broken):
    """Not damage: who resumed from an older one would lose work that is there."""
    with tempfile.TemporaryDirectory() as folder:
        work_dir = shutil.copytree(broken, Path(folder, 'run'))
        for path in (Path(folder), work_dir, *work_dir.rglob('*')):
            path.chmod(0o777)
        (work_dir / 'iter_2.pth').chmod(0)
        readable = shutil.copy(config, Path(folder, 'tiny.py'))
        os.chmod(readable, 0o644)
        done = run('train', readable, '--work-dir', work_dir, '--resume', before=lambda: os.setuid(65534))
        assert_one_line(done, 3, 'iter_2.pth may not be read')
        assert (work_dir / 'iter_2.pth').exists()


def as_mmengine_saves(content):
    """Log histories and metric values as objects, settings as text that a stock resume would run."""
    logs = content['message_hub']['log_scalars']
    for name in logs:
        logs[name] = HistoryBuffer([1.0, 3.0], [1, 1], 10)
    content['message_hub']['runtime_info']['best_score'] = np.float64(0.5)
    content['message_hub']['resumed_keys']['best_score'] = True
    content['meta']['config'] = 'open("POISON", "w").write("ran")'


def test_a_checkpoint_of_stock_mmengine_is_resumed_and_its_config_not_run(run, config, broken, tmp_path):
    path = broken / 'iter_2.pth'
    content = torch.load(path, weights_only=True)
    as_mmengine_saves(content)
    content['meta']['config'] = content['meta']['config'].replace('POISON', str(tmp_path / 'poison'))
    torch.save(content, path)
    manifest_path(path).unlink()
    done = run('train', config, '--work-dir', broken, '--resume')
    assert_went_on(done, broken, 2)
    assert 'says nothing about the settings of its run' in done.text
    assert not (tmp_path / 'poison').exists()
    hub = torch.load(broken / 'iter_3.pth', weights_only=True)['message_hub']
    assert hub['runtime_info']['best_score'] == 0.5
    assert hub['log_scalars']['train/loss']['logs'][:2].tolist() == [1.0, 3.0]


# Files that would run something.


class Poison:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


class Shell(Poison):
    def __reduce__(self):
        return os.system, (f'touch {self.target}',)


@pytest.fixture
def poisoned(broken, tmp_path):
    """Poison a checkpoint: returns the file that would appear if it were run."""

    def poison(path, kind=Shell, **options):
        content = torch.load(broken / 'iter_2.pth', weights_only=True)
        torch.save({**content, 'extra': kind(tmp_path / 'ran')}, path, **options)
        manifest_path(path).unlink(missing_ok=True)
        return tmp_path / 'ran'

    return poison


@pytest.mark.parametrize('place', ['load_from', 'backbone', '--resume PATH', 'test'])
def test_a_poisoned_file_runs_nothing_wherever_it_is_named(run, config, broken, poisoned, place, tmp_path):
    path = tmp_path / 'x.pth'
    ran = poisoned(path)
    changed = config.with_name(f'{place[:4]}.py')
    init = f"model = dict(backbone=dict(init_cfg=dict(_delete_=True, type='Pretrained', checkpoint='{path}')))"
    lines = {'load_from': f"load_from = '{path}'", 'backbone': init}
    changed.write_text(f'{config.read_text()}\n{lines.get(place, "")}')
    args = {'--resume PATH': ['--resume', path], 'test': [path]}.get(place, [])
    done = run('test' if place == 'test' else 'train', changed, *args, '--work-dir', tmp_path / 'new')
    assert_one_line(done, 2, 'x.pth', 'system', '--trust-checkpoint')
    assert not ran.exists()


def test_a_poisoned_file_in_the_work_dir_runs_nothing_and_stays(run, config, broken, poisoned):
    ran = poisoned(broken / 'iter_2.pth')
    assert_one_line(run('train', config, '--work-dir', broken, '--resume'), 2, 'iter_2.pth', '--trust-checkpoint')
    assert (broken / 'iter_2.pth').exists() and not ran.exists()


@pytest.mark.parametrize('kind', [Shell, Poison])
@pytest.mark.parametrize('form', ['zip', 'old', 'protocol 4', 'bare'])
def test_poison_of_every_form_runs_nothing(broken, poisoned, kind, form, tmp_path):
    from fallen_trees.checkpoint_reader import UntrustedError, read_plain

    path = tmp_path / 'x.pth'
    options = {'old': dict(_use_new_zipfile_serialization=False), 'protocol 4': dict(pickle_protocol=4)}
    ran = poisoned(path, kind, **options.get(form, {}))
    if form == 'bare':
        path.write_bytes(pickle.dumps(kind(ran)))
    with pytest.raises(UntrustedError, match='was not read'):
        read_plain(path)
    assert not ran.exists()


def test_trust_is_asked_for_and_given_for_one_command(run, config, broken, poisoned, tmp_path):
    ran = poisoned(tmp_path / 'x.pth')
    options = ['--trust-checkpoint', '--work-dir', broken, '--cfg-options', f'load_from={tmp_path / "x.pth"}']
    done = run('train', config, *options, 'train_cfg.max_iters=1')
    assert done.code == 0, done.text
    assert ran.exists()


@pytest.mark.parametrize('is_zip', [True, False])
def test_published_checkpoints_start_a_run_without_trust(run, config, broken, tmp_path, is_zip):
    """With log histories and NumPy numbers inside, in torch's old format as MMDetection publishes them."""
    content = torch.load(broken / 'iter_2.pth', weights_only=True)
    as_mmengine_saves(content)
    torch.save(content, tmp_path / 'x.pth', _use_new_zipfile_serialization=is_zip)
    done = run('train', config, '--work-dir', tmp_path / 'new', '--cfg-options', f'load_from={tmp_path / "x.pth"}')
    assert done.code == 0, done.text
    assert 'random: none.' in done.text and not Path('POISON').exists()

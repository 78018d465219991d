"""tools/smoke.py as a user starts it, and how a run that its guard ends leaves tools/train.py."""

import json


def test_smoke_says_undecided_and_ends_with_one_when_time_is_short(tiny_config, run_tool, tmp_path):
    done = run_tool('smoke.py', tiny_config, '--tiles', 2, '--minutes', 0.0001, '--work-dir', tmp_path)
    assert done.returncode == 1, done.stderr[-2000:]
    assert 'undecided: segm AP50' in done.stdout
    assert json.loads((tmp_path / 'smoke.json').read_text())['verdict'] == 'undecided'
    assert {'curves.png', 'pictures', 'smoke.json'} <= {path.name for path in tmp_path.iterdir()}


def test_a_recipe_that_does_not_learn_ends_with_two(tiny_config, run_tool, tmp_path):
    options = ['--cfg-options', 'optim_wrapper.optimizer.lr=0.0']
    done = run_tool('smoke.py', tiny_config, '--tiles', 1, '--minutes', 30, '--work-dir', tmp_path, *options)
    assert done.returncode == 2, done.stderr[-2000:]
    assert 'does not learn: nothing-moves' in done.stdout


def test_classes_in_another_order_than_the_file_are_refused(tiny_config, tiles, run_tool, tmp_path):
    coco = json.loads((tiles / 'annotations/instances_train.json').read_text())
    coco['categories'].append(dict(id=2, name='stump', supercategory='tree'))
    (tmp_path / 'two.json').write_text(json.dumps(coco))
    options = [f'train_dataloader.dataset.ann_file={tmp_path}/two.json', "metainfo.classes=['stump','fallen_tree']"]
    done = run_tool('smoke.py', tiny_config, '--work-dir', tmp_path, '--cfg-options', *options)
    assert done.returncode == 2
    assert 'orders the classes' in done.stderr


def test_smoke_refuses_numbers_that_make_no_sense(tiny_config, run_tool, tmp_path):
    done = run_tool('smoke.py', tiny_config, '--tiles', 0, '--work-dir', tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith('error: --tiles')


def test_a_run_that_its_guard_ends_leaves_with_one_and_one_line(tiny_config, run_tool, tmp_path):
    config = tmp_path / 'dead.py'
    guard = "dict(type='GuardHook', interval=1, patience=dict(looks=2, updates=2))"
    config.write_text(
        f"_base_ = ['{tiny_config}']\ncustom_hooks = [dict(type='InterruptHook'), {guard}]\n"
        'optim_wrapper = dict(optimizer=dict(lr=0.0))\ntrain_dataloader = dict(dataset=dict(indices=2))\n'
        'param_scheduler = None\ntrain_cfg = dict(max_iters=40, val_interval=40)\n'
    )
    done = run_tool('train.py', config, '--work-dir', tmp_path / 'run')
    assert done.returncode == 1, done.stderr[-2000:]
    assert done.stderr.splitlines()[-1].startswith('error: guard: nothing-moves: ')
    assert 'Traceback' not in done.stderr

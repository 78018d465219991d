"""The command, as a user starts it, and training from what it wrote."""

import importlib.util
import pickle
from pathlib import Path

import pytest
import torch

TOOL = Path(__file__).resolve().parents[2] / 'tools/convert_weights.py'


@pytest.fixture(scope='module')
def tool():
    """The command's main(), in this process: four starts of Python would take most of a minute."""
    spec = importlib.util.spec_from_file_location('tool_convert_weights', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_a_converted_checkpoint_starts_a_run_of_other_queries(trained, tiny_config, run_tool, tmp_path):
    done = run_tool('convert_weights.py', trained / 'iter_4.pth', tmp_path / 'out.pth', '--config', tiny_config)
    assert done.returncode == 0, done.stderr
    assert 'Source: mmdet' in done.stdout and 'Licence: ' in done.stdout and 'Apache-2.0' in done.stdout
    old, new = (torch.load(file, weights_only=False) for file in (trained / 'iter_4.pth', tmp_path / 'out.pth'))
    assert new['meta']['dataset_meta']['classes'] == ('fallen_tree',)
    assert old['state_dict'].keys() == new['state_dict'].keys()
    assert all(torch.equal(tensor, new['state_dict'][name]) for name, tensor in old['state_dict'].items())
    options = [f'load_from={tmp_path}/out.pth', 'model.panoptic_head.num_queries=30', 'train_cfg.max_iters=1']
    run = run_tool('train.py', tiny_config, '--work-dir', tmp_path / 'run', '--cfg-options', *options)
    assert run.returncode == 0, run.stderr
    log = run.stdout + run.stderr
    assert 'Queries: from 25 to 30' in log and 'random: none.' in log
    assert 'size mismatch' not in log


@pytest.mark.parametrize('case', ['no source', 'a pickle that runs something', 'another suffix', 'another model'])
def test_bad_input_is_one_line(trained, tiny_config, tool, tmp_path, capsys, case):
    source, out, more, said = trained / 'iter_4.pth', 'out.pth', [], ''
    if case == 'no source':
        source, said = tmp_path / 'nowhere.pkl', 'does not exist'
    elif case == 'a pickle that runs something':
        source, said = tmp_path / 'x.pkl', 'names builtins.print'
        source.write_bytes(pickle.dumps(print))
    elif case == 'another suffix':
        out, said = 'out.pkl', '.pth'
    else:
        config = tmp_path / 'wide.py'
        config.write_text(f"_base_ = ['{tiny_config}']\nmodel = dict(backbone=dict(depth=34))\n")
        more, said = ['--config', config], 'stay empty'
    with pytest.raises(SystemExit) as caught:
        tool([str(source), str(tmp_path / out), *map(str, more)])
    assert caught.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith('error: ') and said in last
    assert not list(tmp_path.glob('*out*'))


def test_what_is_left_over_is_listed_and_ends_with_1(trained, tool, tmp_path, capsys):
    checkpoint = torch.load(trained / 'iter_4.pth', weights_only=False)
    checkpoint['state_dict']['teacher.weight'] = torch.zeros(1)
    torch.save(checkpoint, tmp_path / 'in.pth')
    assert tool([str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth')]) == 1
    assert capsys.readouterr().out.strip().splitlines()[-1] == 'left over: teacher.weight'
    assert (tmp_path / 'out.pth').is_file()

"""The commands in docs/vanishing_machines.md are real ones: shell, files, flags and settings."""

import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from fallen_trees.launch import load_config

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r'```bash\n(.*?)```', (ROOT / 'docs/vanishing_machines.md').read_text(), re.S)


@pytest.fixture(scope='module')
def parse_args():
    spec = importlib.util.spec_from_file_location('train_of_docs', ROOT / 'tools/train.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.parse_args


def commands(block):
    """Words of each line, continued ones joined."""
    lines = block.replace('%%bash\n', '').replace('\\\n', ' ').splitlines()
    return [shlex.split(line) for line in lines if line.strip()]


def training(block):
    """The config and flags that reach train.py."""
    for words in commands(block):
        for tool in ('tools/train.py', 'tools/dist_train.sh'):
            if tool in words:
                rest = words[words.index(tool) + 1 :]
                return rest if tool.endswith('.py') else rest[:1] + rest[2:]
    raise AssertionError('this block trains nothing')


def test_there_are_a_cell_and_a_command():
    assert len(BLOCKS) == 2
    assert BLOCKS[0].startswith('%%bash\n')


@pytest.mark.parametrize('block', BLOCKS)
def test_a_shell_understands_it_and_every_file_of_ours_is_there(block):
    done = subprocess.run(['bash', '-n'], input=block.removeprefix('%%bash\n'), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')
    named = re.findall(r'\b(?:tools|configs)/[\w./]+', block)
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize('block', BLOCKS)
def test_the_command_resumes_and_sets_what_is_there(block, parse_args):
    args = parse_args(training(block))
    assert args.resume == 'auto'
    cfg = load_config(args)
    assert cfg.work_dir == args.work_dir
    for key, value in (args.cfg_options or {}).items():
        node = cfg
        for name in key.split('.'):
            node = node[name]
        assert node == value


def test_the_manual_mentions_only_tests_and_tools_that_exist():
    text = (ROOT / 'docs/reliability.md').read_text()
    resume = ROOT / 'tests/test_fallen_trees/test_resume'
    named = set(re.findall(r'`((?:tests/|tools/)?[\w/]+\.(?:py|sh))', text)) - {'train.py', 'dist_train.sh'}
    assert len(named) > 12
    assert [name for name in named if not ((ROOT / name).exists() or (resume / name).exists())] == []

"""Our train and test take MMDetection's flags, word for word; what is ours alone stands here."""

import ast
import importlib.util
from argparse import ArgumentParser
from pathlib import Path

import mmdet
import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
UPSTREAM = Path(mmdet.__file__).parent / '.mim/tools'
OURS_ALONE = {'train': {'--resume-anyway', '--trust-checkpoint'}, 'test': {'--trust-checkpoint'}}


def flags_in(file):
    """Every name given to add_argument in a source file."""
    calls = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))
    return {
        argument.value
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == 'add_argument'
        for argument in call.args
    }


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_flags_are_mmdetections(tool, monkeypatch):
    spec = importlib.util.spec_from_file_location(f'tool_{tool}', TOOLS / f'{tool}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ours = set()
    original = ArgumentParser.add_argument

    def remember(self, *names, **kwargs):
        ours.update(names)
        return original(self, *names, **kwargs)

    monkeypatch.setattr(ArgumentParser, 'add_argument', remember)
    module.parse_args(['config.py', 'checkpoint.pth'][: 1 if tool == 'train' else 2])
    assert OURS_ALONE[tool] <= ours
    assert ours - {'-h', '--help'} - OURS_ALONE[tool] == flags_in(UPSTREAM / f'{tool}.py')

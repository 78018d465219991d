"""One build for all processes; without one, a line and mmcv's path."""

import logging
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mmengine.logging import MMLogger

from fallen_trees.ops import build

# The operator's module alone, in a package without the __init__ that imports MMDetection, which takes seconds. Says
# whether the operator is the fused one, once its results were those of mmcv's path.
PROBE = """
import sys, types
package = sys.modules['fallen_trees'] = types.ModuleType('fallen_trees')
package.__path__ = [sys.argv[1]]
import torch
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from fallen_trees.ops.deform_attn import fused_available, ms_deform_attn
torch.manual_seed(0)
shapes, value, points = torch.tensor([[3, 4]]), torch.randn(1, 12, 2, 8), torch.rand(1, 5, 2, 1, 3, 2)
weights = torch.rand(1, 5, 2, 1, 3).requires_grad_()
for _ in range(3):
    output = ms_deform_attn(value, shapes, torch.tensor([0]), points, weights)
output.sum().backward()
assert torch.allclose(output, multi_scale_deformable_attn_pytorch(value, shapes, points, weights), atol=1e-5)
print('FUSED', fused_available())
"""


def start(cache, **environment):
    environment = os.environ | dict(TORCH_EXTENSIONS_DIR=str(cache)) | environment
    return subprocess.Popen(
        [sys.executable, '-c', PROBE, str(build.HERE.parent)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=250)
    assert process.returncode == 0 and 'Traceback' not in output, output
    return output


@pytest.fixture(scope='module')
def cached():
    """The library that this machine uses."""
    assert build.operators_available()
    return build.library_path()


@pytest.fixture
def said():
    """What was logged, a message each."""
    messages, handler = [], logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.fixture
def tools(tmp_path):
    """A folder for PATH with only the programs named."""

    def make(*programs):
        folder = tmp_path / 'bin'
        folder.mkdir()
        for program in programs:
            (folder / program).symlink_to(shutil.which(program))
        return folder

    return make


def compiler(folder, text):
    """A c++ that is a script; returns the folder for PATH."""
    folder.mkdir()
    script = folder / 'c++'
    script.write_text(f'#!/bin/sh\n{text}\n')
    script.chmod(0o755)
    return folder


def test_without_a_compiler_one_line_is_said_and_mmcvs_path_taken(tmp_path, tools):
    output = finish(start(tmp_path / 'cache', PATH=str(tools('sh'))))
    assert 'FUSED False' in output
    assert output.count('takes its plain path') == 1
    assert 'there is no c++ on PATH' in output


def test_with_the_library_in_the_cache_no_compiler_is_needed(tmp_path, tools, cached):
    cache = tmp_path / 'cache'
    cache.mkdir()
    shutil.copy(cached, cache)
    began = time.time()
    output = finish(start(cache, PATH=str(tools('sh'))))
    assert 'FUSED True' in output and 'Compiling' not in output
    assert [file.name for file in cache.iterdir()] == [cached.name]
    assert (cache / cached.name).stat().st_mtime < began + 5


BROKEN = (
    f'case "$*" in *version*) exec {shutil.which("c++")} "$@";; esac; echo "x.cpp:1: error: no such luck" >&2; exit 1'
)


def test_a_compiler_that_fails_is_quoted(tmp_path, monkeypatch, said):
    folder = compiler(tmp_path / 'bin', BROKEN)
    monkeypatch.setenv('PATH', str(folder), prepend=os.pathsep)
    monkeypatch.setenv('TORCH_EXTENSIONS_DIR', str(tmp_path / 'cache'))
    assert not build.operators_available.__wrapped__()
    assert len(said) == 2 and 'Compiling' in said[0]
    assert 'takes its plain path' in said[1] and 'x.cpp:1: error: no such luck' in said[1] and '\n' not in said[1]


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch, said):
    (tmp_path / 'cache').write_text('a file, where a folder should be')
    monkeypatch.setenv('TORCH_EXTENSIONS_DIR', str(tmp_path / 'cache'))
    assert not build.operators_available.__wrapped__()
    assert len(said) == 1 and 'File exists' in said[0]


def test_a_library_that_cannot_be_loaded_is_no_error(tmp_path, monkeypatch, said):
    monkeypatch.setenv('TORCH_EXTENSIONS_DIR', str(tmp_path))
    build.library_path().write_bytes(b'not a library')
    assert not build.operators_available.__wrapped__()
    assert len(said) == 1 and 'Could not load' in said[0]


def test_who_waited_for_a_failure_does_not_repeat_it(tmp_path, monkeypatch):
    path, tried = tmp_path / 'x.so', []
    monkeypatch.setattr(build, '_build', lambda path: tried.append(path))
    with ThreadPoolExecutor(1) as pool, build._locked(path.with_suffix('.lock')):
        waiting = pool.submit(build._build_once, path)
        time.sleep(0.3)
        path.with_suffix('.failed').write_text('it failed here')
    with pytest.raises(build.CannotBuild, match='it failed here'):
        waiting.result()
    assert not tried
    build._build_once(path)  # a later run tries again
    assert tried


def test_compiling_is_given_up_in_time_with_all_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(build, 'LIMIT_S', 0.5)
    marker = tmp_path / 'marker'
    began = time.monotonic()
    with pytest.raises(build.CannotBuild, match='more than 0.5 s'):
        build._run(['sh', '-c', f'(sleep 1.5; touch {marker}) & sleep 100'], os.environ['PATH'])
    assert time.monotonic() - began < 10
    time.sleep(1.5)
    assert not marker.exists()


def test_a_lock_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(build, 'LIMIT_S', 0.5)
    with build._locked(tmp_path / 'x.lock'), pytest.raises(build.CannotBuild, match='another process'), \
            build._locked(tmp_path / 'x.lock'):  # fmt: skip
        pass


def test_the_name_tells_instructions_and_torch_apart(monkeypatch, tmp_path):
    monkeypatch.setenv('TORCH_EXTENSIONS_DIR', str(tmp_path))
    here = build.library_path()
    assert here.parent == tmp_path
    monkeypatch.setattr('torch.backends.cpu.get_cpu_capability', lambda: 'DEFAULT')
    plain = build.library_path()
    assert '-mavx2' not in build.flags()
    monkeypatch.setattr('torch.backends.cpu.get_cpu_capability', lambda: 'AVX2')
    fast = build.library_path()
    assert '-mavx2' in build.flags() and fast != plain
    monkeypatch.setattr('torch.__version__', '0.0')
    assert build.library_path() not in (here, fast, plain)


@pytest.mark.slow
def test_many_processes_compile_once(tmp_path):
    log = tmp_path / 'log'
    real = shutil.which('c++')
    bin_ = compiler(
        tmp_path / 'bin', f'case " $* " in *" -c "*ms_deform_attn*) echo called >> {log};; esac; exec {real} "$@"'
    )
    path = f'{bin_}{os.pathsep}{os.environ["PATH"]}'
    outputs = [finish(p) for p in [start(tmp_path / 'cache', PATH=path, CXX='c++') for _ in range(4)]]
    assert all('FUSED True' in output for output in outputs)
    assert log.read_text().splitlines() == ['called']
    assert sum('Compiling' in output for output in outputs) == 1
    assert len(list(Path(tmp_path, 'cache').glob('*.so'))) == 1

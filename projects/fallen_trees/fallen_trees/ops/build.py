"""Finds the compiled operators, or has them compiled: once per source, version of torch and kind of processor.

The library lies in torch's folder of extensions (TORCH_EXTENSIONS_DIR) under a name that carries a hash of all it
depends on, the instructions it may use among them: AVX2 and FMA where torch itself found them, else the least that its
architecture has. A home folder shared by different machines holds one for each kind, and none meets an instruction
that it does not know. Results are the same on all processors of a kind.
"""

import fcntl
import hashlib
import logging
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from mmengine.logging import print_log

from data_prep.atomic import atomic_path, atomic_write

HERE = Path(__file__).parent
SOURCES = [HERE / 'ms_deform_attn.cpp', HERE / 'points.cpp']
READ_BY_THEM = [HERE / 'ms_deform_attn.h', HERE / 'points.h', HERE / 'vectors.h']
COMPILER = HERE / 'compile_library.py'
# Floating-point results are those of the source in its order, with multiplication and addition fused. The last two only
# say that nobody reads errno or floating-point exceptions, without which loops stay scalar.
FLAGS = ('-O3', '-g0', '-ffp-contract=fast', '-fno-math-errno', '-fno-trapping-math')
LIMIT_S = 300  # it takes 10 to 15 s of one core


class CannotBuild(RuntimeError):
    """Why there is no library; one line."""


@cache
def operators_available() -> bool:
    """Load the compiled operators into `torch.ops.fallen_trees`, after compiling them if they are not in the cache.

    Without a compiler, or when anything fails, one line is logged, and never an error raised. Many processes may call
    at once: one compiles, the others wait for it.

    Returns:
        Whether the operators are there; the same for the life of the process.
    """
    try:
        path = library_path()
        if not path.is_file():
            _build_once(path)
        torch.ops.load_library(path)
    except (CannotBuild, OSError) as error:
        reason = ' '.join(str(error).split())[:300]
        print_log(
            f'The CPU takes its plain path for deformable attention and matching, up to 20 times as slow: {reason}',
            logger='current',
            level=logging.WARNING,
        )
        return False
    return True


def library_path() -> Path:
    """Where the library for this machine is, or will be."""
    root = os.environ.get('TORCH_EXTENSIONS_DIR')
    if not root:
        from torch.utils.cpp_extension import get_default_build_root  # takes half a second to import

        root = get_default_build_root()
    facts = [torch.__version__, torch.__config__.show(), platform.machine(), *flags()]
    parts = [*(file.read_bytes() for file in (*SOURCES, *READ_BY_THEM, COMPILER)), *(fact.encode() for fact in facts)]
    return Path(root, f'fallen_trees_{hashlib.sha256(b"|".join(parts)).hexdigest()[:20]}.so').absolute()


def flags() -> tuple[str, ...]:
    """The compiler's flags on this machine."""
    avx2 = ('-mavx2', '-mfma') if torch.backends.cpu.get_cpu_capability() in ('AVX2', 'AVX512') else ()
    return FLAGS + avx2 + (('-fopenmp',) if torch.backends.openmp.is_available() else ())


def _build_once(path: Path) -> None:
    """Compile, unless another process just does: then wait, and take its library or its failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    failure, began = path.with_suffix('.failed'), time.time()
    with _locked(path.with_suffix('.lock')):
        if path.is_file():
            return
        if failure.is_file() and failure.stat().st_mtime >= began:
            raise CannotBuild(failure.read_text())
        try:
            _build(path)
        except (CannotBuild, OSError) as error:
            with atomic_write(failure) as file:
                file.write(str(error))
            raise
        failure.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the kernel takes back when its holder dies, however it dies."""
    fd, deadline = os.open(path, os.O_RDWR | os.O_CREAT, 0o666), time.monotonic() + LIMIT_S
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise CannotBuild(f'another process holds {path} for more than {LIMIT_S} s.') from None
            time.sleep(0.1)
        yield
    finally:
        os.close(fd)


def _build(path: Path) -> None:
    """Compile in a folder of its own, and put the library in its place when it is whole and was loaded once."""
    search = os.pathsep.join([os.environ.get('PATH', os.defpath), str(Path(sys.executable).parent)])
    compiler = (os.environ.get('CXX') or 'c++').split()[0]
    for program in (compiler, 'ninja'):
        if shutil.which(program, path=search) is None:
            raise CannotBuild(f'there is no {program} on PATH to compile it with.')
    print_log('Compiling deformable attention and matching for the CPU, once: 15 to 60 s.', logger='current')
    with tempfile.TemporaryDirectory(prefix=f'{path.stem}.', dir=path.parent) as folder:
        _run([sys.executable, '-P', str(COMPILER), path.stem, folder, *flags(), *map(str, SOURCES)], search)
        with atomic_path(path) as temporary:
            shutil.copyfile(Path(folder, path.name), temporary)


def _run(command: list[str], search: str) -> None:
    """Run a compiler, and end it and what it started when it takes too long or this process is interrupted."""
    process = subprocess.Popen(
        command, env=os.environ | dict(PATH=search), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors='replace', start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise CannotBuild(f'compiling it took more than {LIMIT_S} s.') from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        told = [line for line in lines if re.search(r'error:|cannot|No space', line)]
        raise CannotBuild(f'compiling it failed: {(told or lines[-1:] or ["no output"])[0]}')

"""Tells `tools/setup_env.sh`, in three lines, what the environment of this interpreter has and what it lacks.

1. What mmcv's operators can be built for (`none` without torch, `cpu`, or `cu130-sm9.0`: CUDA version and cards), and
   the name for a wheel of them that fits here.
2. What is lacking, any of `stack` (mmcv with operators, mmengine, mmdet), `packages`, `ours`; empty when all is right.
3. The versions, and what is to be known about them, for people.
"""

import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent


def cuda_toolkit() -> str:
    """Returns the version of the nvcc that torch would build extensions with ('13.0'), or 'none'."""
    from torch.utils.cpp_extension import CUDA_HOME

    nvcc = Path(CUDA_HOME or '/nonexistent', 'bin', 'nvcc')
    told = subprocess.run([nvcc, '--version'], capture_output=True, text=True).stdout if nvcc.is_file() else ''
    return (re.findall(r'release (\d+\.\d+)', told) or ['none'])[0]


def operators() -> tuple[str, str]:
    """Returns what to build for, and why a card that is there has to do without its operators ('' if it has not)."""
    try:
        import torch
    except (ImportError, OSError):
        return 'none', ''
    if not torch.version.cuda:
        return 'cpu', ''
    cards = ['{}.{}'.format(*torch.cuda.get_device_capability(i)) for i in range(torch.cuda.device_count())]
    archs = re.findall('[^; ]+', os.environ.get('TORCH_CUDA_ARCH_LIST', '')) or cards
    wanted, found = torch.version.cuda, cuda_toolkit()
    if archs and found.split('.')[0] == wanted.split('.')[0]:
        return f'cu{wanted.replace(".", "")}-sm{",".join(sorted(set(archs)))}', ''
    reason = f'nvcc {wanted} builds them, found: {found}; install that CUDA toolkit and run this again'
    return 'cpu', f'. NO CUDA OPERATORS, models will not run on the card ({reason})' if archs else ''


def unmet(name: str) -> bool:
    """Returns whether a line of `requirements/<name>.txt` is not met here."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return True
    for line in (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines():
        if text := line.split('#')[0].strip():
            requirement = Requirement(text)
            try:
                version = metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                return True
            if not requirement.specifier.contains(version, prereleases=True):
                return True
    return False


def stack_works(kind: str) -> bool:
    """Returns whether mmcv's compiled operators load, give a right answer, and are of this kind."""
    try:
        import mmdet.models  # noqa: F401
        import torch
        from mmcv.ops import get_compiling_cuda_version, nms
    except (ImportError, OSError, AttributeError, AssertionError) as error:
        print(f'mmcv, mmdet: {error}', file=sys.stderr)
        return False
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 1.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0]])
    device = 'cuda' if kind != 'cpu' and torch.cuda.is_available() else 'cpu'
    kept = nms(boxes.to(device), torch.tensor([0.9, 0.8, 0.7], device=device), 0.5)[1].tolist()
    return kept == [0, 2] and (kind == 'cpu' or get_compiling_cuda_version() != 'not available')


def ours_installed() -> bool:
    """Returns whether the packages of this very checkout are installed, each of them, in place."""
    rooms = [ROOT / 'data_prep', *(init.parent for init in (ROOT / 'projects').glob('*/*/__init__.py'))]
    found = [find_spec(room.name) for room in rooms]
    return any(metadata.distributions(name='fallen-trees')) and all(
        spec and spec.origin and Path(spec.origin).resolve().parent in rooms for spec in found
    )


def main(lines: TextIO) -> None:
    """Writes the three lines; an interpreter that dies on a broken extension has by then printed the first."""
    kind, caveat = operators()
    names = ('torch', 'onedl-mmcv', 'onedl-mmengine', 'onedl-mmdetection', 'numpy', 'rasterio')
    have = {name: metadata.version(name) for name in names if any(metadata.distributions(name=name))}
    tag = f'cp{sys.version_info.major}{sys.version_info.minor}-{platform.machine()}'
    print(kind, f'{tag}-torch{have.get("torch")}-{kind}', file=lines, flush=True)
    lacking = {
        'stack': kind == 'none' or unmet('train') or not stack_works(kind),
        'packages': any(unmet(path.stem) for path in (ROOT / 'requirements').glob('*.txt') if path.stem != 'train'),
        'ours': not ours_installed(),
    }
    print(*[name for name, lacks in lacking.items() if lacks], file=lines)
    versions = ', '.join(f'{name} {version}' for name, version in have.items())
    print(f'Python {platform.python_version()}, {versions}, mmcv operators for {kind}{caveat}', file=lines)


if __name__ == '__main__':
    lines, sys.stdout = sys.stdout, sys.stderr  # mmengine logs to stdout
    main(lines)

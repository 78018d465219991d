"""Reading checkpoints without running what is in them.

A pickle may name any function for its reader to call. Three ways to read one, the first that works:

    plain    tensors and plain types, as this project writes them: `torch.load(..., weights_only=True)`
    inert    MMEngine's and NumPy's types besides: the same reader, handed stand-ins that do nothing for them
    trusted  anything, only inside `trusting(True)` (`--trust-checkpoint`)

Importing this module makes MMEngine read every checkpoint so; its own reader falls back to running what it does not
know.
"""

import pickle
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader

from fallen_trees.errors import ConfigError

# What MMEngine's own checkpoints hold: log histories, metric values, configs.
KNOWN = re.compile(r'(mmengine|mmdet|mmcv|numpy)\..+|builtins\.(getattr|slice)')
# torch's reader has its own list of these, and refuses what is not on it.
LEFT_TO_TORCH = re.compile(
    r'torch\..+|collections\.(OrderedDict|Counter)|_codecs\.encode|builtins\.(set|bytearray|complex)'
)
PICKLES = 5  # in a file of torch's old format: magic number, version, machine, content, keys
SCHEMES = ('modelzoo://', 'torchvision://', 'open-mmlab://', 'openmmlab://', 'mmcls://', 'pavi://')
S3 = (r'(\S+\:)?s3://', r'(\S+\:)?petrel://')
_state = {'trusted': False}


class UntrustedError(ConfigError):
    """A checkpoint that could run code if it were read."""


@contextmanager
def trusting(trust: bool = True) -> Iterator[None]:
    """Read any pickle inside the block, whatever it runs."""
    before, _state['trusted'] = _state['trusted'], trust
    try:
        yield
    finally:
        _state['trusted'] = before


def read_plain(path: str | Path, map_location: object = 'cpu') -> object:
    """Read a file of torch.

    Returns:
        Its content in plain types, tensors, NumPy numbers and arrays, and MMEngine's log histories. What it held of
        other known types is None. `meta.config`, which MMEngine would execute, is left out.

    Raises:
        UntrustedError: If it names anything else.
        ConfigError: If it is missing or damaged.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        fault = 'is no file' if path.exists() else 'does not exist'
        raise ConfigError(f'the checkpoint {path} {fault}.')
    try:
        content = _read(path, map_location)
    except (OSError, MemoryError, torch.cuda.OutOfMemoryError, ConfigError):
        raise
    except Exception as error:  # torch and pickle raise a dozen different types on damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f'the checkpoint {path} cannot be read ({reason[:200]}); is it cut off or another format?'
        ) from error
    meta = content.get('meta') if isinstance(content, Mapping) else None
    if isinstance(meta, dict):
        meta.pop('config', None)
    return content


def _read(path: Path, map_location: object) -> object:
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError:
        names = sorted(set(_names_in(path)))
        if not names:
            raise
    if _state['trusted']:
        return torch.load(path, map_location=map_location, weights_only=False)
    known = [name for name in names if KNOWN.fullmatch(name)]
    strange = [name for name in names if not KNOWN.fullmatch(name) and not LEFT_TO_TORCH.fullmatch(name)]
    if strange:
        raise _untrusted(path, ', '.join(strange[:3]))
    with torch.serialization.safe_globals([(_stand_in(name), name) for name in known]):
        try:
            content = torch.load(path, map_location=map_location, weights_only=True)
        except pickle.UnpicklingError as error:
            refused = re.search(r'(?:Unsupported |unsupported )(?:global: )?GLOBAL (\S+)', str(error))
            if refused is None:
                raise
            raise _untrusted(path, refused[1]) from None
    return _settled(content, {})


def _untrusted(path: Path, what: str) -> UntrustedError:
    return UntrustedError(
        f'the checkpoint {path} holds more than weights ({what}), and reading it could run code: it was not read. '
        'If you trust where it comes from, use --trust-checkpoint.'
    )


def _names_in(path: Path) -> Iterator[str]:
    """Everything that the pickles in a file name."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.endswith('data.pkl'):
                    with archive.open(member) as file:
                        yield from _names_in_pickle(file)
    else:
        with open(path, 'rb') as file:
            for _ in range(PICKLES):
                yield from _names_in_pickle(file)


def _names_in_pickle(file: object) -> Iterator[str]:
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name in ('GLOBAL', 'INST'):
                yield argument.replace(' ', '.').replace('__builtin__.', 'builtins.')  # as Python 2 called it
            elif opcode.name == 'STACK_GLOBAL':
                yield 'a name put together while reading'
    except (ValueError, UnicodeDecodeError, zipfile.BadZipFile):  # cut off, or no pickle here
        return


class StandIn:
    """What torch's reader makes instead of an object of a known type: remembers, does nothing."""

    name = ''

    def __new__(cls, *args: object) -> 'StandIn':  # noqa: D102
        self = super().__new__(cls)
        self.args, self.state = args, None
        return self

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self.state = state


def _stand_in(name: str) -> type[StandIn]:
    return type('StandIn', (StandIn,), {'name': name.replace('numpy._core.', 'numpy.core.')})


def _settled(value: object, seen: dict[int, tuple[object, object]]) -> object:
    """Put values in the place of stand-ins, None where there is none."""
    if not isinstance(value, Mapping | list | tuple | StandIn | type):
        return value
    if id(value) not in seen:  # once each: a small file can hold the same list a billion times
        seen[id(value)] = (value, _made(value, seen))  # the value too, or its id could become another's
    return seen[id(value)][1]


def _made(value: object, seen: dict) -> object:
    if isinstance(value, type):
        return None
    if isinstance(value, StandIn):
        make = VALUES.get(value.name)
        return make(*_settled([list(value.args), value.state], seen)) if make else None
    if isinstance(value, Mapping):
        return {_settled(key, seen): _settled(item, seen) for key, item in value.items()}
    return type(value)([_settled(item, seen) for item in value])


def _dtype(args: list, state: tuple | None) -> np.dtype:
    dtype = np.dtype(str(args[0])).newbyteorder(state[1] if state else '=')
    if dtype.hasobject:
        raise ConfigError('an array holds Python objects')
    return dtype


def _array(args: list, state: tuple) -> np.ndarray:
    _, shape, dtype, is_fortran, content = state
    return np.frombuffer(content, dtype).reshape(shape, order='F' if is_fortran else 'C').copy()


def _scalar(args: list, state: object) -> object:
    return np.frombuffer(args[1], args[0])[0].item()


def _history(args: list, state: Mapping) -> HistoryBuffer:
    return HistoryBuffer(state['_log_history'].tolist(), state['_count_history'].tolist(), state['max_length'])


VALUES: dict[str, Callable] = {
    'numpy.dtype': _dtype,
    'numpy.core.multiarray._reconstruct': _array,
    'numpy.core.multiarray.scalar': _scalar,
    'mmengine.logging.history_buffer.HistoryBuffer': _history,
}


def load_from_local_file(filename: str, map_location: object = None) -> object:
    """MMEngine's entry for files."""
    return read_plain(filename, map_location)


def load_from_address(filename: str, map_location: object = None) -> object:
    """MMEngine's entry for addresses."""
    from fallen_trees.start_weights import _download  # which reads through this module

    return read_plain(_download(filename), map_location)


def load_from_nowhere(filename: str, map_location: object = None) -> object:
    """MMEngine's entry for its other schemes, whose readers would run what they read."""
    raise ConfigError(f'the checkpoint {filename} must be a file or an https address.')


for _prefixes, _loader in (
    ('', load_from_local_file),
    (('http://', 'https://'), load_from_address),
    ((*SCHEMES, *S3), load_from_nowhere),
):
    CheckpointLoader.register_scheme(_prefixes, _loader, force=True)

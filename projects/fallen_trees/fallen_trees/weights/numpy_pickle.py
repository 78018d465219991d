"""Reading pickles of NumPy arrays without running what is in them.

A pickle may name any function for its reader to call. This reader knows arrays, plain containers and numbers; a file
that names anything else is refused before it is called.
"""

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np

from fallen_trees.errors import ConfigError


def load_numpy_pickle(path: str | Path) -> object:
    """Read a pickle that holds arrays, dicts, lists, tuples, strings and numbers.

    Raises:
        ConfigError: If it holds anything else, or is damaged.
    """
    try:
        with open(path, 'rb') as file:
            return _Reader(file, encoding='latin1').load()  # latin1: arrays written by Python 2, as Detectron2's are
    except ConfigError as error:
        raise ConfigError(f'{path} {error}') from None
    except (OSError, MemoryError):
        raise
    except Exception as error:  # damaged pickles raise a dozen different types
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f'{path} cannot be read as a pickle ({reason}); is it cut off or another format?') from None


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        """Hand out one of the known names; what NumPy 2 calls numpy._core was numpy.core before."""
        known = KNOWN.get((module.replace('numpy._core', 'numpy.core'), name))
        if known is None:
            raise ConfigError(f'must hold only arrays and plain containers; it names {module}.{name}, refused unread.')
        return known

    def persistent_load(self, pid: object) -> object:
        """Refuse references to things outside of the file."""
        raise ConfigError('must hold only arrays and plain containers; it refers to data outside of it.')


class _Array(np.ndarray):
    """An array whose content comes from the file; objects inside are refused."""

    def __setstate__(self, state: tuple) -> None:
        if np.dtype(state[2]).hasobject:
            raise ConfigError('must hold arrays of numbers; one of them holds Python objects.')
        super().__setstate__(state)


def _empty_array(kind: type, shape: tuple, dtype: object) -> np.ndarray:
    """What NumPy makes before it sets an array's content; the size asked for here is not to be trusted."""
    return np.ndarray.__new__(_Array, (0,), 'b')


def _scalar(dtype: np.dtype, content: bytes) -> object:
    if dtype.hasobject:
        raise ConfigError('must hold numbers; one of them is a Python object.')
    return np.frombuffer(content.encode('latin1') if isinstance(content, str) else content, dtype)[0]


def _from_buffer(content: bytes, dtype: np.dtype, shape: tuple, order: str) -> np.ndarray:
    return np.frombuffer(content, dtype).reshape(shape, order=order)  # refuses objects itself


def _latin1(text: str, encoding: str) -> bytes:
    """Bytes in pickles of protocol 2, the only use of _codecs.encode there."""
    return text.encode('latin1')


KNOWN = {
    ('numpy', 'ndarray'): _Array,
    ('numpy', 'dtype'): np.dtype,
    ('numpy.core.multiarray', '_reconstruct'): _empty_array,
    ('numpy.core.multiarray', 'scalar'): _scalar,
    ('numpy.core.numeric', '_frombuffer'): _from_buffer,  # protocol 5
    ('collections', 'OrderedDict'): OrderedDict,
    ('_codecs', 'encode'): _latin1,
}

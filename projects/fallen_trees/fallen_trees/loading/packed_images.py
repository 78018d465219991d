"""Images read out of the shards that `python -m data_prep pack` writes, in place of single files.

    train2017/index.json    {"format": 1, "pack": ID, "shards": [{"file", "bytes", "sha256"}],
                             "images": {file_name: [shard, offset, bytes]}}
    train2017/shard-00000-of-00037.tar    header "pack ID, shard 0 of 37", then the files

Data sets and pipelines stay as they are. `LoadImageFromFile` reads through MMEngine's storage backends, and this is
one: `train2017/000000000009.jpg` means the bytes that the index of `train2017/` says. Each is reached by one read,
wherever it lies, so samplers draw what they draw of loose files, and a resumed run equals an unbroken one to the bit.
"""

import json
import os
import tarfile
from functools import cache
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.fileio import BaseStorageBackend, register_backend

from fallen_trees.config_nodes import dicts_in
from fallen_trees.errors import ConfigError

INDEX, FORMAT = 'index.json', 1
BACKEND = 'pack'
AGAIN = 'pack the data set again (`python -m data_prep pack`)'


class Pack:
    """A folder of shards.

    Args:
        folder: That holds the index.

    Raises:
        ConfigError: If the index is none.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            index = json.loads((self.folder / INDEX).read_bytes())
            if index['format'] != FORMAT:
                raise ValueError(f'its format is {index["format"]}, not {FORMAT}')
            self.name, self.images = index['pack'], index['images']
            self.shards = [(self.folder / shard['file'], shard['bytes']) for shard in index['shards']]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f'{self.folder / INDEX} is no index of a pack ({error}); {AGAIN}.') from None
        self._open: dict[int, int] = {}

    def require_whole(self) -> None:
        """Make sure that every shard is there, of its size, and of this pack; nothing else of it is read.

        Raises:
            ConfigError: Naming the first that is not.
        """
        for number, (path, size) in enumerate(self.shards):
            if not path.is_file():
                raise ConfigError(f'the shard {path} is missing; bring it there, or {AGAIN}.')
            expected, label = f'pack {self.name}, shard {number} of {len(self.shards)}', _label(path)
            if label != expected:
                raise ConfigError(f'{path} is of another data set: its header says {label!r}, not {expected!r}; bring '
                                  f'the right one there, or {AGAIN}.')  # fmt: skip
            if path.stat().st_size != size:
                raise ConfigError(f'the shard {path} must have {size} bytes; it has {path.stat().st_size}; bring it '
                                  f'there again, or {AGAIN}.')  # fmt: skip

    def read(self, name: str) -> bytes:
        """Bytes of an image file.

        Raises:
            FileNotFoundError: If the pack has no such image.
            ConfigError: If its shard is cut off.
        """
        place = self.images.get(name)
        if place is None:
            raise FileNotFoundError(f'{self.folder / INDEX} lists no image {name}; {AGAIN}.')
        number, offset, size = place
        if number not in self._open:
            self._open[number] = os.open(self.shards[number][0], os.O_RDONLY)
        content = os.pread(self._open[number], size, offset)  # has no position that forked workers would share
        if len(content) != size:
            raise ConfigError(f'the shard {self.shards[number][0]} ends inside {name}; {AGAIN}.')
        return content


def _label(shard: Path) -> str:
    """What the header of a shard says of where it belongs."""
    try:
        with tarfile.open(shard, 'r:') as tar:
            return tar.pax_headers.get('comment', '')
    except (tarfile.TarError, EOFError):
        return ''


_PACKS: dict[str, Pack] = {}  # by folder: one for all loaders of a process, and for the workers forked from it


@cache
def pack_of(folder: str) -> Pack | None:
    """The pack that a folder of images is, or is inside of; None where there is none."""
    found = next((path for path in (Path(folder), *Path(folder).parents) if (path / INDEX).is_file()), None)
    if found is not None and str(found) not in _PACKS:
        _PACKS[str(found)] = Pack(found)
    return _PACKS.get(str(found))


class PackBackend(BaseStorageBackend):
    """MMEngine's way to a pack: `backend_args=dict(backend='pack')`. What lies in none is read as a file."""

    def get(self, filepath: str | Path) -> bytes:
        """Bytes of a file, by its path inside the folder of the pack."""
        path = os.fspath(filepath)
        pack = pack_of(os.path.dirname(path))
        return Path(path).read_bytes() if pack is None else pack.read(os.path.relpath(path, pack.folder))

    def get_text(self, filepath: str | Path, encoding: str = 'utf-8') -> str:
        """Text of a file."""
        return self.get(filepath).decode(encoding)


register_backend(BACKEND, PackBackend, force=True)


def is_packed(folder: Path) -> bool:
    """Whether a folder of images is a pack."""
    return (folder / INDEX).is_file()


def require_packed(coco: dict, folder: Path, ann_file: Path) -> str:
    """Make sure that a pack is whole and holds every listed image.

    Returns:
        A line for the log.

    Raises:
        ConfigError: If a shard is missing or another pack's, or images are not in it.
    """
    _PACKS[str(folder)] = pack = Pack(folder)  # read anew: it may have been packed again
    pack_of.cache_clear()
    pack.require_whole()
    missing = [image['file_name'] for image in coco['images'] if image['file_name'] not in pack.images]
    if missing:
        raise ConfigError(
            f'{len(missing)} of {len(coco["images"])} images of {ann_file} are not in the pack {folder}, the first '
            f'{missing[0]}: annotations and pack are of different data sets; {AGAIN}.'
        )
    return f'Images of {folder} are read from {len(pack.shards)} shards.'


def read_packed(cfg: Config, dataset: ConfigDict) -> None:
    """Have the pipeline of a data set, and the pictures drawn of it, read from a pack; in place."""
    for step in dicts_in(dataset.get('pipeline')):
        if step.get('type') == 'LoadImageFromFile':
            step['backend_args'] = ConfigDict(backend=BACKEND)
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if hook is not None:
        hook.backend_args = ConfigDict(backend=BACKEND)

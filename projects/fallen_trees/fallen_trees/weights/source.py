"""A checkpoint of another framework: read without running what is in it, its format told, its licence named."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from mmdet.datasets import CocoDataset, CocoPanopticDataset
from mmengine.runner.checkpoint import get_torch_safe_globals
from torch import Tensor

from fallen_trees.errors import ConfigError
from fallen_trees.weights.numpy_pickle import load_numpy_pickle

# What a name in a checkpoint begins with, where only this framework has it.
SIGNS = {
    'detectron2': 'sem_seg_head.predictor.',
    'huggingface': ('class_predictor.', 'model.pixel_level_module.'),
    'mmdet': 'panoptic_head.',
}
LICENCES = {
    'detectron2': "the official Mask2Former zoo's weights are CC-BY-NC 4.0, not for commercial use, and the question "
    'goes on to what is trained from them; for weights of somebody else ask them',
    'huggingface': 'facebook/mask2former-* are the official zoo converted, CC-BY-NC 4.0, not for commercial use, and '
    'the question goes on to what is trained from them; for others see the model card',
    'mmdet': "MMDetection's zoo is Apache-2.0; for weights of somebody else ask them",
}
# In the order of their rows, where a checkpoint gives a number only: the official zoo's two COCO tasks.
COCO = {
    80: CocoDataset.METAINFO['classes'],
    133: CocoPanopticDataset.METAINFO['thing_classes'] + CocoPanopticDataset.METAINFO['stuff_classes'],
}


@dataclass(frozen=True)
class Source:
    """A checkpoint as it came.

    Attributes:
        path: The file that holds the tensors.
        kind: 'detectron2', 'huggingface' or 'mmdet'.
        tensors: By the source's own names.
        classes: Names in the order of the classifier's rows; None where unknown.
        sha256: Of the file's bytes.
    """

    path: Path
    kind: str
    tensors: dict[str, Tensor]
    classes: tuple[str, ...] | None
    sha256: str

    @property
    def licence(self) -> str:
        """What is known about the right to use weights of this kind."""
        return LICENCES[self.kind]

    @property
    def instance_classes(self) -> tuple[str, ...] | None:
        """The classes without COCO's stuff, of which there are no instances."""
        return COCO[80] if self.classes is not None and self.classes == COCO[133] else self.classes


def read_source(path: str | Path, kind: str = 'auto') -> Source:
    """Read a checkpoint of another framework.

    Args:
        path: A `.pkl`, `.pth`, `.bin` or `.safetensors` file, or a folder as Hugging Face saves models.
        kind: Its format; 'auto' tells it from the names of the tensors.

    Raises:
        ConfigError: If it does not exist, is damaged, would have to run code to be read, or is of no known format.
    """
    file = _weights_file(Path(path))
    content = _read(file)
    tensors = _tensors_in(content, file)
    if kind == 'auto':
        kind = next((kind for kind, sign in SIGNS.items() if any(name.startswith(sign) for name in tensors)), None)
        if kind is None:
            first = ', '.join(list(tensors)[:3])
            raise ConfigError(
                f'{file} is no Mask2Former of Detectron2, Hugging Face or MMDetection; its first tensors are {first}.'
            )
    with open(file, 'rb') as stream:
        sha256 = hashlib.file_digest(stream, 'sha256').hexdigest()
    source = Source(file, kind, tensors, None, sha256)
    return replace(source, classes=_classes(source, content))


def _weights_file(path: Path) -> Path:
    if path.is_dir():
        for name in ('model.safetensors', 'pytorch_model.bin'):
            if (path / name).is_file():
                return path / name
        raise ConfigError(f'{path} must hold model.safetensors or pytorch_model.bin, in one piece; it has neither.')
    if not path.is_file():
        raise ConfigError(f'the checkpoint {path} does not exist.')
    return path


def _read(file: Path) -> object:
    if file.suffix in ('.pkl', '.pickle'):
        return load_numpy_pickle(file)
    if file.suffix == '.safetensors':
        try:
            from safetensors.torch import load_file
        except ImportError:
            raise ConfigError(f'{file} needs the package safetensors: pip install safetensors') from None
        reader = load_file
    else:
        reader = _read_torch
    try:
        return reader(file)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a dozen different types on damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f'{file} cannot be read as weights alone ({reason}); is it damaged, or does it hold more than tensors?'
        ) from None


def _read_torch(file: Path) -> object:
    with torch.serialization.safe_globals(get_torch_safe_globals()):
        return torch.load(file, map_location='cpu', weights_only=True)


def _tensors_in(content: object, file: Path) -> dict[str, Tensor]:
    for key in ('model', 'state_dict'):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = {}
    for name, value in content.items() if isinstance(content, Mapping) else ():
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(np.array(value))  # a plain copy, writable
        if isinstance(name, str) and isinstance(value, Tensor):
            tensors[name.removeprefix('module.')] = value
    if not tensors:
        raise ConfigError(f'{file} holds no tensors by name; is it a checkpoint?')
    return tensors


def _classes(source: Source, content: object) -> tuple[str, ...] | None:
    """Names out of the checkpoint or the config beside it, if there are as many as rows."""
    rows = [len(tensor) for name, tensor in source.tensors.items() if _is_class_bias(name)]
    count = rows[0] - 1 if rows else 0
    names: object = None
    if source.kind == 'huggingface':
        names = _labels(source.path.parent / 'config.json')
    elif source.kind == 'mmdet' and isinstance(content, Mapping):
        meta = (content.get('meta') or {}).get('dataset_meta') or {}
        names = meta.get('classes') or meta.get('CLASSES')
    if not names and source.kind != 'huggingface':
        names = COCO.get(count)
    return tuple(names) if isinstance(names, list | tuple) and len(names) == count else None


def _is_class_bias(name: str) -> bool:
    # In any of the three frameworks.
    return name.endswith(('predictor.class_embed.bias', 'class_predictor.bias', 'panoptic_head.cls_embed.bias'))


def _labels(config: Path) -> list[str] | None:
    """Names out of Hugging Face's config; `LABEL_0` and so on is what it writes where there are none."""
    try:
        labels = json.loads(config.read_text(encoding='utf-8')).get('id2label') or {}
        names = [labels[key] for key in sorted(labels, key=int)]
    except (OSError, ValueError, AttributeError):
        return None
    return None if all(str(name).startswith('LABEL_') for name in names) else names

"""In which order channels reach the network, and which values: what pipeline and data preprocessor do between them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.config import ConfigDict
from numpy.typing import NDArray

from fallen_trees.checks.data.tiles import loader_of
from fallen_trees.checks.subject import Subject
from fallen_trees.config_nodes import datasets_in


@dataclass(frozen=True)
class Treatment:
    """What happens to the channels of a three-band image.

    Attributes:
        order: Of the channels as the network gets them, 'rgb' or 'bgr'.
        mean: Subtracted, in that order; None where nothing is.
        std: Divided by.
        by: Who normalises: 'model.data_preprocessor', or 'Normalize' in the pipeline.
    """

    order: str
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    by: str


def treatments(subject: Subject, split: str = 'train') -> list[Treatment]:
    """Every normalisation on the way to the network, in order; the last one's order is what the network sees."""
    order, found = _loaded_order(subject, split), []
    node = next(datasets_in(subject.cfg[f'{split}_dataloader']))
    for step in node.get('pipeline') or []:
        if step['type'] == 'Normalize':
            order = _other(order) if step.get('to_rgb', True) else order
            found.append(Treatment(order, *_values(step), 'Normalize'))
    preprocessor = preprocessor_of(subject)
    if preprocessor.get('bgr_to_rgb') or preprocessor.get('rgb_to_bgr'):
        order = _other(order)
    return [*found, Treatment(order, *_values(preprocessor), 'model.data_preprocessor')]


def preprocessor_of(subject: Subject) -> ConfigDict:
    """The data preprocessor of the model."""
    return subject.cfg.model.get('data_preprocessor') or ConfigDict()


def _loaded_order(subject: Subject, split: str) -> str:
    """OpenCV reads BGR; tifffile gives what lies in the file, and flags ending in rgb turn it."""
    step = loader_of(subject, split)
    as_stored = step.get('imdecode_backend') == 'tifffile' or str(step.get('color_type', '')).endswith('rgb')
    return 'rgb' if as_stored else 'bgr'


def _other(order: str) -> str:
    return order[::-1]


def _values(node: dict) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    mean, std = node.get('mean'), node.get('std')
    return (tuple(mean), tuple(std)) if mean is not None and std is not None else (None, None)


def as_ordered(subject: Subject, inputs: torch.Tensor) -> NDArray[np.float32]:
    """Channels (H, W, C) of one sample in the network's order, not normalised by the preprocessor yet."""
    preprocessor, pixels = preprocessor_of(subject), inputs.float().numpy().transpose(1, 2, 0)
    turned = preprocessor.get('bgr_to_rgb') or preprocessor.get('rgb_to_bgr')
    return pixels[..., ::-1] if turned and pixels.shape[-1] == 3 else pixels


def as_normalised(subject: Subject, inputs: torch.Tensor) -> NDArray[np.float32]:
    """Values (H, W, C) of one sample as the network gets them.

    Raises:
        ValueError: If mean and deviation have not one value, nor one for each channel.
    """
    pixels, (mean, std) = as_ordered(subject, inputs), _values(preprocessor_of(subject))
    if mean is None:
        return pixels
    return (pixels - _fitting(mean, pixels)) / _fitting(std, pixels)


def _fitting(values: Sequence[float], pixels: NDArray) -> NDArray[np.float32]:
    if len(values) not in (1, pixels.shape[-1]):
        raise ValueError(f'{len(values)} values for {pixels.shape[-1]} channels')
    return np.asarray(values, np.float32)

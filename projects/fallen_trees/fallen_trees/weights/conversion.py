"""A checkpoint of another framework becomes one of ours, held against the model that will load it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import Tensor

from data_prep.atomic import atomic_path
from fallen_trees.derive.config import derive
from fallen_trees.errors import ConfigError
from fallen_trees.start_weights import COMPUTED
from fallen_trees.weights import from_detectron2, from_huggingface, from_mmdet
from fallen_trees.weights.renaming import rename, unfold_order
from fallen_trees.weights.source import Source
from fallen_trees.weights.surgery import CLASSES, fit

FORMATS = {'detectron2': from_detectron2, 'huggingface': from_huggingface, 'mmdet': from_mmdet}


@dataclass
class Converted:
    """A checkpoint by our names.

    Attributes:
        state_dict: The tensors.
        classes: Names in the order of the classifier's rows; None where unknown.
        lines: What was done, for people.
        left: Source tensors, or tensors by our names, that found no place; the result is not the whole source then.
    """

    state_dict: dict[str, Tensor]
    classes: tuple[str, ...] | None
    lines: list[str]
    left: list[str]


def build_target(cfg: Config, source: Source) -> tuple[dict[str, Tensor], tuple[str, ...] | None]:
    """Build the model of a config, for as many classes as the config says, or else as the source has.

    Returns:
        Its tensors, and the names of its classes, None where neither config nor source name them.
    """
    count = next(len(tensor) - 1 for name, tensor in rename_source(source)[0].items() if name == CLASSES[1])
    classes = (cfg.get('metainfo') or {}).get('classes') or source.instance_classes
    derive(cfg, (), tuple(classes or (f'class {number}' for number in range(count))))
    cfg.model.backbone.init_cfg = None
    return MODELS.build(cfg.model).state_dict(), tuple(classes) if classes else None


def rename_source(source: Source) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """Give the tensors of a source our names and our order.

    Returns:
        The tensors; the source names that are not needed; the source names that no rule knows.
    """
    rules = FORMATS[source.kind]
    renamed = rename(source.tensors, rules.RULES, rules.NEEDLESS)
    if source.kind != 'mmdet':
        unfold_order(renamed.state_dict)
    for name in CLASSES:
        if name not in renamed.state_dict:
            raise ConfigError(f'{source.path} ({source.kind}) must have a classifier; {name} is not in it.')
    return renamed.state_dict, renamed.needless, renamed.unknown


def convert(
    source: Source, wanted: Mapping[str, Tensor] | None = None, classes: Sequence[str] | None = None
) -> Converted:
    """Turn a source into a checkpoint of ours.

    Args:
        source: As read.
        wanted: Tensors of the model that will load it; None leaves the result unchecked.
        classes: Names of that model's classes.

    Returns:
        With `wanted`, every tensor of the model is filled: from the source, by surgery where the two differ in classes,
        queries or bands, or computed by the model itself.

    Raises:
        ConfigError: If a tensor of the model would stay empty.
    """
    state_dict, needless, unknown = rename_source(source)
    lines = [f'{len(source.tensors)} tensors, {len(state_dict)} by our names.']
    if needless:
        lines.append(f'Not needed here: {_some(needless)}.')
    if wanted is None:
        classes = source.instance_classes
        wanted_here = {} if classes is None else _classifier(state_dict, len(classes))
        lines.append('Not held against a model: --config does that.')
    else:
        wanted_here = wanted
    state_dict, said = fit(state_dict, wanted_here, source.classes, classes)
    lines += said
    left = list(unknown)
    if wanted is not None:
        _require_filled(state_dict, wanted, source)
        computed = {name: tensor for name, tensor in wanted.items() if name.endswith(COMPUTED)}
        state_dict = {**computed, **state_dict}
        left += [name for name in state_dict if name not in wanted]
        state_dict = {name: state_dict[name] for name in wanted}
    return Converted(state_dict, tuple(classes) if classes else None, lines, left)


def _classifier(state_dict: Mapping[str, Tensor], num_classes: int) -> dict[str, Tensor]:
    return {name: state_dict[name].new_empty(num_classes + 1, *state_dict[name].shape[1:]) for name in CLASSES}


def _require_filled(state_dict: Mapping[str, Tensor], wanted: Mapping[str, Tensor], source: Source) -> None:
    empty = []
    for name, tensor in wanted.items():
        if name not in state_dict and not name.endswith(COMPUTED):
            empty.append(f'{name} {tuple(tensor.shape)} is not in it')
        elif name in state_dict and state_dict[name].shape != tensor.shape:
            empty.append(f'{name} is {tuple(state_dict[name].shape)} there and {tuple(tensor.shape)} in the config')
    if empty:
        raise ConfigError(
            f'{source.path} ({source.kind}) must fill the model of the config; {len(empty)} tensors stay empty: '
            f'{_some(empty, "; ")}. Take the config of the same backbone and depth.'
        )


def _some(names: Sequence[str], separator: str = ', ') -> str:
    return separator.join(names[:4]) + (f' and {len(names) - 4} more' if len(names) > 4 else '')


def write(converted: Converted, source: Source, out: str | Path) -> None:
    """Write the checkpoint, whole or not at all, with where it comes from in its `meta`."""
    meta: dict = {
        'converted_from': {
            'file': source.path.name,
            'format': source.kind,
            'sha256': source.sha256,
            'licence': source.licence,
        }
    }
    if converted.classes is not None:
        meta['dataset_meta'] = {'classes': converted.classes}
    state_dict = {name: tensor.clone() for name, tensor in converted.state_dict.items()}  # no views of larger storage
    with atomic_path(out) as temporary:
        torch.save({'meta': meta, 'state_dict': state_dict}, temporary)

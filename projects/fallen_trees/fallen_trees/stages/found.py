"""What a stage finds before it trains, as values by dotted key: anchors by k-means, and the best of a search."""

import hashlib
import json
import os
import runpy
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config

from fallen_trees.errors import ConfigError
from fallen_trees.launch import read_config
from fallen_trees.trial import _value

ANCHOR_GENERATOR = 'model.rpn_head.anchor_generator'


def anchor_options(content: Mapping) -> dict[str, object]:
    """The anchor generator of `data_prep anchors --out`, as an option: the sizes of k-means as they are."""
    generator = content['explicit_generator']
    sizes = [[tuple(size) for size in level] for level in generator['base_sizes']]
    return {ANCHOR_GENERATOR: dict(generator, base_sizes=sizes, _delete_=True)}


def scaled(found: Mapping[str, object], times: Mapping[str, float]) -> dict[str, object]:
    """Values that go on to a stage, some of them multiplied."""
    return {key: value * times[key] if key in times and value is not None else value for key, value in found.items()}


def _sweep(file: str) -> dict:
    """What a sweep file says, as Python; `tools/sweep.py` checks it.

    Raises:
        ConfigError: If it cannot be read, or has neither space nor settings.
    """
    path = Path(read_config_path(file))
    try:
        said = runpy.run_path(str(path))
    except (SyntaxError, NameError, TypeError, KeyError, AttributeError, ValueError) as error:
        raise ConfigError(f'the sweep file {path} cannot be read: {error}.') from error
    if not isinstance(said.get('search_space'), dict):
        raise ConfigError(f'the sweep file {path} must have a search_space; it has none.')
    return {key: said.get(key, {}) for key in ('search_space', 'sweep')}


def read_config_path(file: str) -> str:
    """Where a file of configs lies: as given from here, or else from the repository's root.

    Raises:
        ConfigError: If it does not exist.
    """
    return read_config(file).filename


def search_said(file: str) -> str:
    """A short name of what a sweep file says."""
    return hashlib.sha256(json.dumps(_sweep(file), default=repr).encode()).hexdigest()[:12]


def search_file_text(file: str, base: str, tool: str) -> str:
    """The sweep file of a stage: what the file says, searched over another config.

    Args:
        file: Sweep file.
        base: Config beside the new file.
        tool: That trains.
    """
    said = _sweep(file)
    sweep = {'tool': os.path.abspath(tool) if Path(tool).is_file() else tool, **said['sweep']}
    return f'_base_ = [{base!r}]\nsearch_space = {said["search_space"]!r}\nsweep = {sweep!r}\n'


def best_values(best: Path, file: str) -> dict[str, object]:
    """Values of the best trial, by dotted key.

    Args:
        best: `best.py` of the study.
        file: Sweep file, whose space names the keys.

    Raises:
        ConfigError: If no trial came to a figure.
    """
    if not best.is_file():
        raise ConfigError(f'the search ended well, but no trial came to a figure: there is no {best}.')
    cfg = Config.fromfile(best)
    keys = [key for name, dimension in _sweep(file)['search_space'].items() for key in _keys(name, dimension)]
    return {key: _plain(_value(cfg, key)) for key in keys}


def _keys(name: str, dimension: Mapping) -> list[str]:
    """Keys that a dimension sets: that of its name, or those that its choices move."""
    choices = dimension.get('choices')
    moved = [item for item in choices.values() if isinstance(item, Mapping)] if isinstance(choices, Mapping) else []
    return list(dict.fromkeys(key for item in moved for key in item if key != 'data')) or [name]


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value.to_dict() if hasattr(value, 'to_dict') else value

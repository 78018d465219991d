"""What changed in a config between a run and its resumption, and what of it would break the run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from mmengine.config import Config

# Changes that make the resumed run another run: other weights, other order of samples, another learning-rate curve.
BREAKING = (
    'model.', 'train_dataloader.batch_size', 'train_dataloader.sampler', 'train_dataloader.batch_sampler',
    'train_dataloader.drop_last', 'train_dataloader.dataset', 'train_annotations', 'optim_wrapper', 'param_scheduler',
    'train_cfg.type', 'train_cfg.max_iters', 'train_cfg.max_epochs', 'randomness.seed', 'world_size', 'image_size',
)  # fmt: skip
# Of the model, what only a test reads.
HARMLESS = ('model.test_cfg', 'model.data_preprocessor.non_blocking')
# Weights that a fresh run's parts begin with; a resumed run has those of its checkpoint and names none.
START = '.init_cfg'
# Of the config, what says nothing about a run.
SILENT = ('work_dir', 'resume', 'load_from', 'launcher', 'filename')
# How tiles were cut: read from the training annotations, which are compared themselves.
FROM_DATA = '.metainfo.tiles'


@dataclass(frozen=True)
class Change:
    """One setting; a missing one is None."""

    key: str
    before: str | None
    now: str | None

    @property
    def breaks(self) -> bool:
        """Whether the run would not be the same run any more."""
        return self.key.startswith(BREAKING) and not self.key.startswith(HARMLESS) and START not in self.key

    def __str__(self) -> str:
        return f'{self.key}: {self.before} -> {self.now}'


def flatten(node: object, prefix: str = '') -> dict[str, str]:
    """Dotted keys of every leaf, as JSON text."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list | tuple) else None
    if items is None or (prefix and not len(node)):
        return {prefix: json.dumps(node, default=repr)}
    flat: dict[str, str] = {}
    for key, item in items:
        flat |= flatten(item, f'{prefix}.{key}' if prefix else str(key))
    return flat


def fingerprint(cfg: Config, facts: Mapping[str, object]) -> dict[str, str]:
    """What is compared: the settings of a derived config, and facts that are in no config (world size, data)."""
    flat = flatten(cfg.to_dict()) | flatten(dict(facts))
    return {key: value for key, value in flat.items() if not key.startswith(SILENT) and FROM_DATA not in key}


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[Change]:
    """List the settings that differ, breaking ones first."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    found = [Change(key, before.get(key), now.get(key)) for key in sorted(keys)]
    return sorted(found, key=lambda change: not change.breaks)

"""A trial of a sweep, where that takes knowing configs: settings checked, written as a config, trained in a process."""

import copy
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from mmengine.config import Config

from fallen_trees.ablation.plan import SILENT, SILENT_ENDS, as_text, merged, tool_path
from fallen_trees.ablation.process import Process, lock
from fallen_trees.config_keys import merge_settings
from fallen_trees.derive.config import derive
from fallen_trees.errors import ConfigError
from fallen_trees.resume.config_diff import fingerprint

CHECKPOINT = 'default_hooks.checkpoint'
# How a process ended, by its exit code and what it said (docs/reliability.md).
DONE, NO_MEMORY, DEAD, STOPPED, FAILED = 'done', 'out of memory', 'dead', 'stopped', 'failed'
KINDS = ((bool,), (int,), (float, int), (str,), (list, tuple), (dict,))


class TrialProcess(Process):
    """A process whose end can be told apart: it cannot be repeated with more luck, or it can."""

    _peak_mb: float | None = None

    def code(self) -> int | None:
        """Its exit code as a shell sees it, None while it runs."""
        self._peak_mb = _peak_memory_mb(self.pid) or self._peak_mb
        return super().code()

    @property
    def memory_mb(self) -> float | None:
        """Most main memory that it held itself, without its workers, when its code was last asked for; MB.

        None with a GPU: main memory says nothing then, and the run logs what it held there.
        """
        return None if _devices() else self._peak_mb

    def verdict(self) -> str:
        """How it ended: `done`, `out of memory`, `dead` (by its guard), `stopped` (it may go on), or `failed`."""
        code, errors = self.code(), self.errors()
        if code == 0:
            return DONE
        if code == 3 and errors and 'out of memory' in errors[-1]:
            return NO_MEMORY
        if code == 1 and errors:  # without one it is a traceback, a fault of ours
            return DEAD
        return STOPPED if code == 3 or code >= 128 else FAILED


class TrialTraining:
    """A training config, and the runs that are made from it.

    Args:
        base: The config.
        options: Of all runs, by dotted key.
        objective: Figure that chooses the best checkpoint of a run, if it is one of the validation's.
        direction: 'maximize' or 'minimize'.
        tool: That trains, called as `TOOL CONFIG --work-dir DIR --resume`.
        slots: Runs at a time on this machine.

    Raises:
        ConfigError: If the config cannot be read, or an option is none of its keys.
    """

    def __init__(
        self, base: Path, options: Mapping[str, object], objective: str, direction: str, tool: str, slots: int = 1
    ) -> None:
        self.base, self.tool, self.slots = str(base), tool, slots
        if not tool_path(tool).is_file():
            raise ConfigError(f'the tool {tool} does not exist.')
        self.options = dict(options)
        plain = merged(self.base)
        _require_kinds(plain, self.options)
        if '/' in objective and 'checkpoint' in plain.get('default_hooks', {}):
            rule = 'greater' if direction == 'maximize' else 'less'
            self.options |= {f'{CHECKPOINT}.save_best': objective, f'{CHECKPOINT}.rule': rule}
        self.cfg = merged(self.base, self.options)

    def value(self, key: str) -> object:
        """What the config says under a dotted key, None where it says nothing."""
        return _value(self.cfg, key)

    def check(self, settings: Mapping[str, object]) -> None:
        """Refuse settings that the config cannot take.

        Raises:
            ConfigError: If a key is none of the config's, or a value is of another kind than what it replaces.
        """
        self._with(settings)
        _require_kinds(self.cfg, settings)

    def check_data(self) -> None:
        """Derive the config as its runs will.

        Raises:
            ConfigError: If that fails: no data, no classes, wrong shapes.
        """
        derive(copy.deepcopy(self.cfg), ('train', 'val'))

    def length(self) -> tuple[int, int, int]:
        """Iterations of a run, iteration of its first validation, images of one validation step.

        Raises:
            ConfigError: If the run is counted in epochs, so that iterations are not known before it runs.
        """
        train = self.cfg.train_cfg
        if train.get('max_iters') is None:
            raise ConfigError(f'{self.base}: a sweep needs train_cfg.max_iters; a run counted in epochs has no rungs.')
        loader = self.cfg.get('val_dataloader') or {}
        return train.max_iters, min(train.get('val_interval', 1000), train.max_iters), loader.get('batch_size', 1)

    def definition(self) -> dict[str, str]:
        """The settings that decide figures, by dotted key; files by their names, not their folders."""
        found = fingerprint(self.cfg, {'tool': self.tool})
        return {k: v for k, v in found.items() if not k.startswith(SILENT) and not k.endswith(SILENT_ENDS)}

    def config_text(self, settings: Mapping[str, object]) -> str:
        """A config with these settings that stands for itself.

        Raises:
            ConfigError: If a key is none of the config's.
        """
        return as_text(self._with(settings))

    def command(self, config: Path, folder: Path) -> list[str]:
        """Train a config, going on from the newest good checkpoint in the folder."""
        return [sys.executable, str(tool_path(self.tool)), str(config), '--work-dir', str(folder), '--resume']

    def start(self, command: Sequence[str], log: Path, lock_fd: int, slot: int) -> TrialProcess:
        """Start a process on the device of a slot; devices are given out in turn."""
        devices = _devices()
        variables = {'CUDA_VISIBLE_DEVICES': devices[slot % len(devices)]} if devices else {}
        threads = max(1, len(os.sched_getaffinity(0)) // self.slots)
        return TrialProcess(command, log, lock_fd, threads, variables)

    def lock(self, path: Path) -> int | None:
        """Lock a file; see `process.lock`."""
        return lock(path)

    def _with(self, settings: Mapping[str, object]) -> Config:
        """The config with settings; what follows from them is derived by the run."""
        cfg = copy.deepcopy(self.cfg)
        merge_settings(cfg, settings)
        return cfg


def _peak_memory_mb(pid: int) -> float | None:
    """What the kernel says was a process's largest resident set (VmHWM); None once it is over, or elsewhere."""
    try:
        lines = Path(f'/proc/{pid}/status').read_text(encoding='ascii', errors='replace').splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith('VmHWM:')), None)


def _devices() -> list[str]:
    """Names of the GPUs that may be used, as CUDA_VISIBLE_DEVICES takes them."""
    named = os.environ.get('CUDA_VISIBLE_DEVICES')
    if named is not None:
        return [name.strip() for name in named.split(',') if name.strip()]
    return list(map(str, range(torch.cuda.device_count())))


def _value(cfg: Config, key: str) -> object:
    node: object = cfg._cfg_dict
    for part in key.split('.'):
        if isinstance(node, list | tuple) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, Mapping) and part in node:
            node = node[part]
        else:
            return None
    return node


def _require_kinds(cfg: Config, settings: Mapping[str, object]) -> None:
    """Refuse a value of another kind than the one it replaces; None goes with everything."""
    for key, value in settings.items():
        before = _value(cfg, key)
        if value is None or before is None:
            continue
        kinds = next((kinds for kinds in KINDS if isinstance(before, kinds)), (object,))
        boolean = isinstance(value, bool) != isinstance(before, bool)
        if boolean or not isinstance(value, kinds):
            raise ConfigError(
                f'{key} must be {" or ".join(kind.__name__ for kind in kinds)}, as {before!r} in the config; '
                f'got {value!r}.'
            )

"""A training run, from the command line (`tools/train.py`) and from Python.

`train` also tests the best checkpoint; the commands leave that to `tools/test.py`, which writes into the same folder.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from fallen_trees.amp import apply_amp
from fallen_trees.checkpoint_reader import trusting
from fallen_trees.cpu import keep_freed_memory
from fallen_trees.derive.config import derive
from fallen_trees.errors import ConfigError, writing_to
from fallen_trees.launch import build_runner, config_of, join_group
from fallen_trees.resume.completeness import RequireFittingState, require_whole
from fallen_trees.resume.exactness import make_exact
from fallen_trees.resume.interrupt_hook import RunInterrupted
from fallen_trees.resume.resuming import agree_on_checkpoint, newest_readable, remember_settings, require_same_run
from fallen_trees.resume.work_dir_lock import locked
from fallen_trees.start_weights import fit_start, read_checkpoint, require_fit, settle_start_weights
from fallen_trees.testing import score

NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Flags:
    """What `tools/train.py` is asked for besides a config, in its words."""

    amp: bool = False
    auto_scale_lr: bool = False
    resume: str | None = None
    resume_anyway: bool = False


@dataclass(frozen=True)
class TrainedRun:
    """A run that came to its end.

    Attributes:
        work_dir: Holds all it wrote: checkpoints, `metrics.json`, `MODEL_CARD.md`, logs and TensorBoard's events.
        config: As it was run, in the work dir; goes with `best` into a Predictor.
        best: Checkpoint of the best validation; the last one where nothing was validated.
        last: Checkpoint of the last iteration.
        metrics: Of `best` on the test split, as in `metrics.json`.
    """

    work_dir: Path
    config: Path
    best: Path
    last: Path
    metrics: dict[str, float]


def train(
    config: str | Path,
    *,
    data_root: str | Path | None = None,
    max_iters: int | None = None,
    work_dir: str | Path | None = None,
    resume: bool = False,
    options: Mapping[str, object] | None = None,
    amp: bool = False,
    trust_checkpoint: bool = False,
) -> TrainedRun:
    """Train a config, then score its best checkpoint on the test split.

    Args:
        config: File, from here or else from the repository's root.
        data_root: Folder of the data set; None leaves the config's.
        max_iters: Length; warm-up and steps follow it. None leaves the config's.
        work_dir: For all that is written; None is `work_dirs/CONFIG` of the repository.
        resume: Go on from the newest good checkpoint in the work dir, if there is one.
        options: More settings by dotted key, as after `--cfg-options`.
        amp: Mixed precision.
        trust_checkpoint: Read start weights that hold more than weights.

    Returns:
        Where everything is, and the figures.

    Raises:
        ConfigError: If config, data or checkpoint cannot work; one line says why.
        EnvironmentFailure: If the machine fails: network, disk, memory.
        DeadRun: If the guard ends the run.
        RunInterrupted: If a signal ended it, with a checkpoint that `resume=True` goes on from.
    """
    options = dict(options or {})
    if data_root is not None:
        options['data_root'] = str(data_root)
    schedule = {} if max_iters is None else {'train_cfg.max_iters': max_iters}
    with trusting(trust_checkpoint):
        cfg = _own(config_of(config, work_dir=work_dir, options=options | schedule))
        run_training(cfg, Flags(amp=amp, resume='auto' if resume else None))
        folder = Path(cfg.work_dir)
        last = newest_readable(folder)[0]
        best = max(folder.glob('best_*.pth'), key=lambda path: path.stat().st_mtime, default=last)
        tested = _own(config_of(config, work_dir=folder, options=options))
        metrics = score(tested, best)
    return TrainedRun(folder, folder / Path(cfg.filename).name, best, last, metrics)


def _own(cfg: Config) -> Config:
    """Give a run a visualizer of its own: MMEngine hands them out by name, folder and all."""
    cfg.visualizer.name = f'visualizer {next(NUMBERS)}'
    return cfg


def run_training(cfg: Config, flags: Flags) -> Runner:
    """Train a config to its end, alone in its work dir.

    Args:
        cfg: Of `launch.load_config` or `launch.config_of`; filled in, in place.
        flags: Of the command line.

    Raises:
        RunInterrupted: If a signal ended the run; all there is to save is saved.
    """
    with locked(cfg.work_dir) as note, writing_to(cfg.work_dir):
        runner = prepare(cfg, flags, [keep_freed_memory(), note])
        try:
            runner.train()
        except RunInterrupted:
            runner.call_hook('after_run')
            raise
    return runner


def prepare(cfg: Config, flags: Flags, notes: Sequence[str | None]) -> Runner:
    """Settle what the config leaves open, and build a runner whose weights and settings are known to fit."""
    notes = [*notes, join_group(cfg)]
    notes += apply_flags(cfg, flags)
    resumed = read_checkpoint(cfg.load_from) if cfg.resume else None
    notes += derive(cfg, ('train', 'val') if cfg.get('val_cfg') else ('train',))
    notes += settle_start_weights(cfg)
    notes += make_exact(cfg)
    if resumed is not None:
        require_whole(resumed, cfg.load_from, cfg)
        notes += require_same_run(cfg, cfg.load_from, flags.resume_anyway)
    runner = remember_settings(build_runner(cfg, notes))
    if resumed is not None:
        require_fit(runner.model, resumed, cfg.load_from)
        runner.register_hook(RequireFittingState(cfg.load_from))
    elif cfg.load_from:
        for line in fit_start(runner):
            runner.logger.info(line)
    return runner


def apply_flags(cfg: Config, flags: Flags) -> list[str]:
    """Write the flags into the config; returns lines for the log.

    Raises:
        ConfigError: If the config does not say what --auto-scale-lr needs, or no checkpoint can be resumed.
    """
    if flags.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ConfigError('--auto-scale-lr needs auto_scale_lr.base_batch_size in the config.')
        cfg.auto_scale_lr.enable = True
    notes = [apply_amp(cfg)] if flags.amp else []
    checkpoint, found = agree_on_checkpoint(flags.resume, cfg.work_dir)
    cfg.resume = checkpoint is not None
    if checkpoint is not None:
        cfg.load_from = checkpoint
    return notes + found

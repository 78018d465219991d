"""Train a model: `python tools/train.py CONFIG`, with MMDetection's flags."""

import argparse
import os
import sys

# Before torch starts its threads: see fallen_trees.cpu.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from mmengine.config import Config
from mmengine.runner import Runner

from fallen_trees.amp import apply_amp
from fallen_trees.checkpoint_reader import trusting
from fallen_trees.cpu import keep_freed_memory
from fallen_trees.derive import derive
from fallen_trees.errors import ConfigError, one_line_errors, writing_to
from fallen_trees.launch import add_common_flags, build_runner, join_group, load_config
from fallen_trees.resume.completeness import RequireFittingState, require_whole
from fallen_trees.resume.exactness import make_exact
from fallen_trees.resume.interrupt_hook import RunInterrupted
from fallen_trees.resume.launched import ends_said
from fallen_trees.resume.resuming import agree_on_checkpoint, remember_settings, require_same_run
from fallen_trees.resume.work_dir_lock import locked
from fallen_trees.start_weights import fit_start, read_checkpoint, require_fit, settle_start_weights


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse MMDetection's training flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--amp', action='store_true', help='mixed precision: bfloat16, or float16 on cards without it')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue: from the given checkpoint, or without one from the newest good one in the work dir',
    )
    parser.add_argument('--resume-anyway', action='store_true', help='continue although settings of the run changed')
    add_common_flags(parser)
    return parser.parse_args(argv)


def apply_flags(cfg: Config, args: argparse.Namespace) -> list[str]:
    """Write the flags into the config; returns lines for the log."""
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ConfigError('--auto-scale-lr needs auto_scale_lr.base_batch_size in the config.')
        cfg.auto_scale_lr.enable = True
    notes = [apply_amp(cfg)] if args.amp else []
    checkpoint, found = agree_on_checkpoint(args.resume, cfg.work_dir)
    cfg.resume = checkpoint is not None
    if checkpoint is not None:
        cfg.load_from = checkpoint
    return notes + found


def prepare(cfg: Config, args: argparse.Namespace, notes: list[str | None]) -> Runner:
    """Settle what the config leaves open, and build a runner whose weights and settings are known to fit."""
    notes = [*notes, join_group(cfg)]
    notes += apply_flags(cfg, args)
    resumed = read_checkpoint(cfg.load_from) if cfg.resume else None
    notes += derive(cfg, ('train', 'val') if cfg.get('val_cfg') else ('train',))
    notes += settle_start_weights(cfg)
    notes += make_exact(cfg)
    if resumed is not None:
        require_whole(resumed, cfg.load_from, cfg)
        notes += require_same_run(cfg, cfg.load_from, args.resume_anyway)
    runner = remember_settings(build_runner(cfg, notes))
    if resumed is not None:
        require_fit(runner.model, resumed, cfg.load_from)
        runner.register_hook(RequireFittingState(cfg.load_from))
    elif cfg.load_from:
        for line in fit_start(runner):
            runner.logger.info(line)
    return runner


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)
    with one_line_errors(), trusting(args.trust_checkpoint):
        cfg = load_config(args)
        with locked(cfg.work_dir) as note, writing_to(cfg.work_dir):
            runner = prepare(cfg, args, [keep_freed_memory(), note])
            try:
                runner.train()
            except RunInterrupted as stop:
                runner.call_hook('after_run')
                return 128 + stop.signum
    return 0


if __name__ == '__main__':
    with ends_said():
        sys.exit(main())

"""Train a model: `python tools/train.py CONFIG`, with MMDetection's flags."""

import argparse
import os
import sys

# Before torch starts its threads: see fallen_trees.cpu.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint

from fallen_trees.amp import apply_amp
from fallen_trees.cpu import join_gloo_group, keep_freed_memory
from fallen_trees.derive import derive
from fallen_trees.errors import ConfigError, one_line_errors
from fallen_trees.interrupt_hook import InterruptHook
from fallen_trees.launch import add_common_flags, build_runner, load_config
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
        help='continue: from the given checkpoint, or without one from the latest in the work dir',
    )
    add_common_flags(parser)
    return parser.parse_args(argv)


def apply_flags(cfg: Config, args: argparse.Namespace) -> str | None:
    """Write the flags into the config; return the checkpoint to resume from, if any."""
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ConfigError('--auto-scale-lr needs auto_scale_lr.base_batch_size in the config.')
        cfg.auto_scale_lr.enable = True
    if args.resume is None:
        return None
    checkpoint = find_latest_checkpoint(cfg.work_dir) if args.resume == 'auto' else args.resume
    cfg.resume = checkpoint is not None
    if checkpoint is not None:
        cfg.load_from = checkpoint
    return checkpoint


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)
    with one_line_errors():
        notes = [keep_freed_memory()]
        cfg = load_config(args)
        if args.amp:
            notes.append(apply_amp(cfg))
        checkpoint = apply_flags(cfg, args)
        resumed = read_checkpoint(checkpoint) if checkpoint else None
        if args.resume and checkpoint is None:
            notes.append(f'--resume: no checkpoint in {cfg.work_dir} yet, so this run starts at the beginning.')
        notes += derive(cfg, ('train', 'val') if cfg.get('val_cfg') else ('train',))
        notes += settle_start_weights(cfg)
        notes.append(join_gloo_group(cfg))
        runner = build_runner(cfg, notes)
        if resumed is not None:
            require_fit(runner.model, resumed, checkpoint)
            del resumed
        elif cfg.load_from:
            for line in fit_start(runner):
                runner.logger.info(line)
        runner.train()
    stopped_by = next((hook.signum for hook in runner.hooks if isinstance(hook, InterruptHook)), None)
    return 128 + stopped_by if stopped_by else 0


if __name__ == '__main__':
    sys.exit(main())

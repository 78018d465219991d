"""From a command line in MMDetection's words to a config that can run; shared by training and testing."""

import logging
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path

import torch
from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config, DictAction
from mmengine.dist import init_dist, is_distributed
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from fallen_trees.config_keys import check_keys, check_variables, merge_options
from fallen_trees.cpu import join_gloo_group
from fallen_trees.derive.config import REPOSITORY
from fallen_trees.errors import ConfigError


def add_common_flags(parser: ArgumentParser) -> None:
    """Add the flags that MMDetection's train and test share."""
    parser.add_argument(
        '--work-dir', help='folder for logs and checkpoints; default work_dirs/CONFIG of the repository'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, as key=value with dotted keys; lists as key="[a,b]" or key=a,b',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read a checkpoint that holds more than weights; it may run code',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by the launcher')


def load_config(args: Namespace) -> Config:
    """Read the config a command names and merge the command's options into it.

    Raises:
        ConfigError: If the config does not exist, does not parse, or it or an option holds a key that nothing reads.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    setup_cache_size_limit_of_dynamo()
    logging.raiseExceptions = False  # on a full disk each line of the log would be a traceback on the screen
    return config_of(args.config, work_dir=args.work_dir, options=args.cfg_options, launcher=args.launcher)


def config_of(
    config: str | Path,
    *,
    work_dir: str | Path | None = None,
    options: Mapping[str, object] | None = None,
    launcher: str = 'none',
) -> Config:
    """Read a config and merge options into it, as a command does, for a program.

    Args:
        config: File, from here or else from the repository's root.
        work_dir: None takes the config's own, or `work_dirs/CONFIG` of the repository.
        options: Settings by dotted key.
        launcher: Of a job of several processes.

    Raises:
        ConfigError: If the config does not exist, does not parse, or it or an option holds a key that nothing reads.
    """
    cfg = read_config(str(config))
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    merge_options(cfg, options)
    check_keys(cfg)
    cfg.launcher = launcher
    default = REPOSITORY / 'work_dirs' / Path(config).stem
    cfg.work_dir = str(work_dir or cfg.get('work_dir') or default)
    return cfg


def read_config(path: str) -> Config:
    """Read a config file, from here or else from the repository's root.

    Raises:
        ConfigError: If it does not exist or is not valid Python with valid bases, or redefines what nothing reads.
    """
    found = next((p for p in (Path(path), REPOSITORY / path) if p.is_file()), None)
    if found is None:
        raise ConfigError(f'the config {path} does not exist.')
    try:
        cfg = Config.fromfile(found)
    except SyntaxError as error:
        raise ConfigError(f'{error.filename or found}, line {error.lineno}: {error.msg}.') from error
    except (FileNotFoundError, KeyError, NameError, TypeError, AttributeError) as error:
        raise ConfigError(f'the config {found} cannot be read: {error}.') from error
    check_variables(cfg)
    return cfg


def join_group(cfg: Config) -> str | None:
    """Join the other processes of a distributed run; MMEngine would do so only when it builds the runner.

    Returns:
        A line for the log, or None.
    """
    note = join_gloo_group(cfg)
    if cfg.launcher != 'none' and not is_distributed():
        # As the runner does; a process group would otherwise choose for it.
        torch.multiprocessing.set_start_method(cfg.env_cfg.get('mp_cfg', {}).get('mp_start_method', 'fork'), force=True)
        init_dist(cfg.launcher, **cfg.env_cfg.get('dist_cfg', {'backend': 'nccl'}))
    return note


def build_runner(cfg: Config, notes: list[str | None]) -> Runner:
    """Build the runner and write to its log what was decided on the way.

    Raises:
        ConfigError: If a part of the config is not what the class behind it takes.
    """
    try:
        runner = Runner.from_cfg(cfg)
    except (TypeError, KeyError) as error:
        if 'unexpected keyword argument' in str(error) or 'registry' in str(error):
            raise ConfigError(f'{cfg.filename}: {error}') from error
        raise
    for note in filter(None, notes):
        runner.logger.info(note)
    return runner

"""`--resume`: which checkpoint a run goes on from, and whether it still is the same run."""

import hashlib
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import broadcast_object_list, get_dist_info, is_distributed, is_main_process
from mmengine.runner import Runner

from fallen_trees.checkpoint_reader import UntrustedError
from fallen_trees.config_nodes import datasets_in
from fallen_trees.errors import ConfigError, _exit_code
from fallen_trees.resume.checkpoint_file import POINTER, Damage, checkpoints_in, damage, read_manifest, set_aside
from fallen_trees.resume.config_diff import Change, changes, fingerprint
from fallen_trees.resume.launched import restarts
from fallen_trees.resume.safe_checkpoint_hook import SafeCheckpointHook
from fallen_trees.start_weights import read_checkpoint

SHOWN = 12  # changes named in an error


def choose_checkpoint(resume: str | None, work_dir: str | Path) -> tuple[str | None, list[str]]:
    """Choose what `--resume` goes on from.

    Args:
        resume: None for a fresh start, 'auto' for the newest good checkpoint of the work dir, or a path.
        work_dir: Of the run. Damaged checkpoints in it are renamed to `*.corrupt`.

    Returns:
        The checkpoint, or None to start anew, and lines for the log.

    Raises:
        ConfigError: If the named checkpoint is damaged, or all in the work dir are.
    """
    if resume is None:
        return None, []
    if resume != 'auto':
        found = damage(Path(resume))
        if found is not None:
            raise ConfigError(
                f'the checkpoint {resume} is damaged: {found.reason}. --resume alone takes the newest good one.'
            )
        return resume, []
    path, damaged = newest_readable(Path(work_dir))
    notes = [f'{item.path.name} is damaged: {item.reason}.' for item in damaged]
    notes += _tidy(Path(work_dir), damaged)
    if path is None and damaged:
        raise ConfigError(
            f'--resume: no checkpoint in {work_dir} is good ({damaged[0].path.name}: {damaged[0].reason}). '
            'Start anew without --resume.'
        )
    if path is None:
        notes.append(f'--resume: no checkpoint in {work_dir} yet, so this run starts at the beginning.')
    return path and str(path), notes


def agree_on_checkpoint(resume: str | None, work_dir: str | Path) -> tuple[str | None, list[str]]:
    """`choose_checkpoint` in one process of the job, for all of them: two could find the folder in two states.

    A job that was started again by its launcher goes on from its own newest checkpoint, if it has saved one.

    Raises:
        SystemExit: In the other processes, when the one could not choose and says why.
    """
    if not is_distributed():
        return _choose_after(restarts(), resume, work_dir)
    answer: list = [None]
    try:
        if is_main_process():
            answer = [_choose_after(restarts(), resume, work_dir)]
    except Exception as error:
        answer = [_exit_code(error) or 3]
        raise
    finally:
        broadcast_object_list(answer)
    if isinstance(answer[0], int):
        raise SystemExit(answer[0])
    return answer[0]


def _choose_after(restart: int, resume: str | None, work_dir: str | Path) -> tuple[str | None, list[str]]:
    if not restart:
        return choose_checkpoint(resume, work_dir)
    own, notes = choose_checkpoint('auto', work_dir)
    if own is None:
        own, notes = choose_checkpoint(resume, work_dir)
    return own, [f'A process of this job died; this is start {restart + 1}.', *notes]


def newest_readable(folder: Path) -> tuple[Path | None, list[Damage]]:
    """Find the newest checkpoint that verifies and can be read, and the damaged ones above it.

    Raises:
        UntrustedError: If one that verifies would have to run code to be read.
    """
    damaged = []
    for path in checkpoints_in(folder):
        found = damage(path)
        if found is None:
            try:
                read_checkpoint(path)
                return path, damaged
            except UntrustedError:
                raise
            except ConfigError as error:
                found = Damage(path, str(error).rstrip('.'))
        damaged.append(found)
    return None, damaged


def _tidy(folder: Path, damaged: list[Damage]) -> list[str]:
    notes = [f'{item.path.name} is set aside as {set_aside(item.path).name}.' for item in damaged]
    pointer = folder / POINTER
    if pointer.is_dir() and not pointer.is_symlink():  # no file could be renamed over it
        notes.append(f'A folder in the place of {POINTER} is set aside as {set_aside(pointer).name}.')
    return notes


def remember_settings(runner: Runner) -> Runner:
    """Have the runner's checkpoints say which settings they come from."""
    for hook in runner.hooks:
        if isinstance(hook, SafeCheckpointHook):
            hook.settings = settings_of(runner.cfg)
    return runner


def settings_of(cfg: Config) -> dict[str, str]:
    """What makes a run the run it is: its derived config, its training annotations, its number of processes."""
    files = [Path(node.get('data_root') or '.', node.ann_file) for node in datasets_in(cfg.train_dataloader)]
    annotations = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}
    return fingerprint(cfg, dict(world_size=get_dist_info()[1], train_annotations=annotations))


def require_same_run(cfg: Config, checkpoint: str, anyway: bool) -> list[str]:
    """Compare the settings of a checkpoint's run with those of now.

    Args:
        cfg: Of now, derived.
        checkpoint: That the run goes on from; without a manifest nothing can be compared.
        anyway: Go on whatever changed (`--resume-anyway`).

    Returns:
        Lines for the log: every change.

    Raises:
        ConfigError: If a change would make it another run.
    """
    before = (read_manifest(Path(checkpoint)) or {}).get('settings')
    if not isinstance(before, dict):
        return [f'{checkpoint} says nothing about the settings of its run; nothing was compared.']
    found = changes(before, settings_of(cfg))
    breaking = [change for change in found if change.breaks]
    if breaking and not anyway:
        raise ConfigError(
            f'this is not the run that {checkpoint} was saved by: {_listed(breaking)}. Undo the change, start a new '
            f'run from these weights (--cfg-options load_from={checkpoint}), or use --resume-anyway.'
        )
    return [f'Changed since the checkpoint: {change}' for change in found]


def _listed(found: list[Change]) -> str:
    more = f'; and {len(found) - SHOWN} more' if len(found) > SHOWN else ''
    return '; '.join(map(str, found[:SHOWN])) + more

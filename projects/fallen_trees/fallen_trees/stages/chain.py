"""All stages, one after the other: checked before the first one starts, stopped by a signal, gone on with later."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from fallen_trees.ablation.grid import Grid
from fallen_trees.derive.config import derive
from fallen_trees.errors import ConfigError
from fallen_trees.stages.found import search_said
from fallen_trees.stages.stage import Stage
from fallen_trees.stages.stages_file import StagesFile


def stages_of(said: StagesFile, folder: Path, options: Mapping[str, object] | None) -> list[Stage]:
    """All stages of a file, each with the one it starts from.

    Args:
        said: The file.
        folder: Of the results.
        options: Of the command line.
    """
    stages: dict[str, Stage] = {}
    for entry in said.stages:
        before = next((stages[name] for name in entry.start if name in stages), None)
        stages[entry.name] = Stage(entry, folder / entry.name, said.options, options or {}, said.tools, before)
    return list(stages.values())


def check(stages: Sequence[Stage]) -> None:
    """Derive every stage as its run will, before hours are spent on the first.

    Raises:
        ConfigError: If one cannot run; names it.
    """
    for stage in stages:
        try:
            cfg = stage.config(found=False)
            derive(cfg, ('train', 'val', 'test'))
            best = cfg.get('default_hooks', {}).get('checkpoint', {}).get('save_best')
            if not isinstance(best, str) or best == 'auto':
                raise ConfigError('default_hooks.checkpoint.save_best must name the figure that chooses the best one, '
                                  f"such as 'coco/segm_mAP'; got {best!r}.")  # fmt: skip
            if stage.entry.search:
                search_said(stage.entry.search)
        except ConfigError as error:
            raise ConfigError(f'stage {stage}: {error}') from error


def require_unchanged(stages: Sequence[Stage], rerun: bool) -> list[str]:
    """Hold what was begun against what the file says now.

    Args:
        stages: All of the file.
        rerun: Set aside what has changed, and all that started from it.

    Returns:
        Lines to say.

    Raises:
        ConfigError: If a stage has changed and is not to be run again.
    """
    lines, gone = [], []
    for stage in stages:
        change = f'{stage.before} runs again' if stage.before in gone else stage.change()
        if not change:
            continue
        if not rerun:
            raise ConfigError(f'{stage} was begun with other settings: {change}. Undo the change, or use '
                              '--rerun-changed: it and the stages that start from it run again.')  # fmt: skip
        kept = stage.set_aside()
        gone.append(stage)
        if kept is not None:
            lines.append(f'{stage}: runs again ({change}); kept as {kept.name}.')
    return lines


def plan_of(stages: Sequence[Stage]) -> list[str]:
    """One line for each stage: what is done, and what is left."""
    lines = []
    for stage in stages:
        step = stage.next_stage()
        left = stage.steps[stage.steps.index(step) :] if step else []
        start = stage.before or stage.source()
        parts = ', '.join(stage.entry.parts) or 'all weights'
        absent = f' ({stage.entry.start[0]} is not there)' if stage.entry.start else ''
        begin = f'starts from {parts} of {start}' if start else f'starts as its config says{absent}'
        lines.append(f'{stage}: {", ".join(left) if left else "done"}; {begin}.')
    return lines


def run_chain(
    stages: Sequence[Stage], timeout_s: float | None, say: Callable[[str], None], after: Callable[[], None]
) -> tuple[int, str | None]:
    """Run what is left of each stage, in order.

    Args:
        stages: That are asked for.
        timeout_s: After which a process is told to end, as a failure.
        say: Gets a line whenever something happens.
        after: Called after every step, to write the table.

    Returns:
        The exit code, 0, 1 where a stage failed, 128 + a signal that stopped it; and why it failed.
    """
    for stage in stages:
        while stage.next_stage() is not None:
            grid = Grid([stage], 1, timeout_s, partial(_say_all, say, stage), after)
            code = grid.run()
            _say_all(say, stage)
            if code and (code != 1 or 'failed' in stage.record):
                return code, grid.failures.get(str(stage))
    return 0, None


def _say_all(say: Callable[[str], None], stage: Stage, *lines: str) -> None:
    """Say lines, and what the stage has to say."""
    for line in lines:
        say(line)
    while stage.lines:
        say(stage.lines.pop(0))

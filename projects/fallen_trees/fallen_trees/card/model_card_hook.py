"""`MODEL_CARD.md` in the work dir of every run that came to its end."""

import errno
import time
from importlib import resources
from pathlib import Path
from string import Template

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from data_prep.atomic import atomic_write
from fallen_trees.card.limits import limits_of
from fallen_trees.card.scene_scores import NOT_YET, SECTION, section
from fallen_trees.card.sections import data_section, recipe_section, summary_of, tags_of, validation_section
from fallen_trees.card.split_facts import split_facts
from fallen_trees.card.start_facts import start_of
from fallen_trees.derive.config import REPOSITORY
from fallen_trees.errors import EnvironmentFailure

CARD, META = 'MODEL_CARD.md', 'card'
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@HOOKS.register_module()
class ModelCardHook(Hook):
    """Write a model card when a run is finished: data, recipe, validation, limits, and a place for scores of scenes.

    What a resumed run cannot know (its start weights, the time before) travels in the checkpoints' `meta.card`. A card
    that cannot be written costs the run nothing: one line in the log says why.

    Raises, out of the training loop:
        EnvironmentFailure: If the disk is full.
    """

    priority = 'LOWEST'  # after the last checkpoint and the last validation

    def __init__(self) -> None:
        self.start: list[str] = []
        self.seconds_before = 0.0
        self._began = time.monotonic()

    def before_train(self, runner: Runner) -> None:
        """Note what the run starts from."""
        self._began = time.monotonic()
        if not runner._resume:
            self.start = start_of(runner.cfg)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Have the checkpoint know what a resumed run could not."""
        checkpoint['meta'][META] = dict(start=list(self.start), seconds=round(self.seconds, 1))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take it up again."""
        known = checkpoint.get('meta', {}).get(META)
        if runner._resume and isinstance(known, dict):
            self.start = [str(line) for line in known.get('start') or []]
            self.seconds_before = float(known.get('seconds') or 0)

    @property
    def seconds(self) -> float:
        """That the run has trained and validated, in all its parts."""
        return self.seconds_before + time.monotonic() - self._began

    def after_train(self, runner: Runner) -> None:
        """Write the card."""
        if not is_main_process():
            return
        path = Path(runner.work_dir, CARD)
        try:
            with atomic_write(path) as file:
                file.write(card_text(runner, self.start, self.seconds, path))
        except Exception as error:  # whatever it is, the run is worth more than its card
            if isinstance(error, OSError) and error.errno in FULL:
                raise EnvironmentFailure(
                    f'the model card {path} could not be written: the disk is full. All checkpoints are saved; free '
                    'space, and the same command with --resume writes the card.'
                ) from error
            reason = ' '.join(str(error).split()) or type(error).__name__
            runner.logger.warning(f'The model card {path} could not be written: {type(error).__name__}: {reason}.')
        else:
            runner.logger.info(f'Model card: {path}.')


def card_text(runner: Runner, start: list[str], seconds: float, path: Path) -> str:
    """The card of a run.

    Args:
        runner: Whose run is over.
        start: Lines of `start_of`.
        seconds: That it took.
        path: Of the card; scores of scenes in a card that is there stay if they are of the same checkpoint.
    """
    cfg, facts = runner.cfg, split_facts(runner.cfg)
    validation, best = validation_section(Path(runner.work_dir), cfg)
    folder = path.parent.resolve()
    if folder.is_relative_to(REPOSITORY):
        folder = folder.relative_to(REPOSITORY)
    command = dict(config=folder / Path(cfg.filename or 'CONFIG').name, checkpoint=folder / (best or 'CHECKPOINT'),
                   card=folder / path.name)  # fmt: skip
    template = resources.files(__package__).joinpath('model_card.md').read_text(encoding='utf-8')
    return Template(template).substitute(
        name=Path(runner.work_dir).name,
        tags=tags_of(cfg, facts),
        dataset=Path(str(cfg.get('data_root') or 'unknown')).name,
        summary=summary_of(cfg, facts),
        data=data_section(facts),
        recipe=recipe_section(runner, start, seconds),
        validation=validation,
        scenes=_kept(path, best) or section(NOT_YET.format(**command)),
        limits='\n'.join(f'- {line}' for line in limits_of(facts)),
    )


def _kept(path: Path, best: str | None) -> str | None:
    """The scores in a card that is there, of the same checkpoint."""
    if best is None or not path.is_file():
        return None
    found = SECTION.search(path.read_text(encoding='utf-8'))
    return found[0] if found and best in found[0] else None

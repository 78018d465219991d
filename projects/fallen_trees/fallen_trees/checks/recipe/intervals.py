"""How often a run validates and saves."""

from collections.abc import Iterator

from mmengine.config import Config

from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.recipe.run_length import RunLength, run_length
from fallen_trees.checks.subject import Subject

SHORT = 1000  # iterations that one can afford to lose, or to judge once, at the end


def validation_interval(subject: Subject) -> Iterator[Finding]:
    """Check that a run is validated on its way: `validation-interval`."""
    name, cfg, length = 'validation-interval', subject.cfg, run_length(subject)
    total = _total(cfg, length)
    interval = cfg.train_cfg.get('val_interval', 1 if length.by_epoch else 1000)
    if not cfg.get('val_cfg'):
        yield Finding(name, Verdict.OK, 'the run is never validated, as the config wants it.')
        return
    times = total // interval + (total % interval > 0)
    figures = dict(interval=interval, validations=times)
    if interval > total and length.iterations > SHORT:
        yield Finding(
            name,
            Verdict.WARNING,
            f'train_cfg.val_interval={interval} is longer than the run ({total}), so it is validated once, at its end, '
            'and no best checkpoint can be chosen; set it to a tenth of the run.',
            figures,
        )
    else:
        yield Finding(name, Verdict.OK, f'{times} validations, every {interval}.', figures)


def checkpoint_interval(subject: Subject) -> Iterator[Finding]:
    """Check that a run that dies can go on from somewhere: `checkpoint-interval`."""
    name, cfg, length = 'checkpoint-interval', subject.cfg, run_length(subject)
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    interval, counts_epochs = hook.get('interval', -1), hook.get('by_epoch', True)
    figures = dict(interval=interval)
    problems = list(_problems(subject, length, interval, counts_epochs, bool(hook.get('save_best'))))
    for message in problems:
        yield Finding(name, Verdict.WARNING, message, figures)
    if not problems:
        yield Finding(name, Verdict.OK, f'a checkpoint every {interval}.', figures)


def _problems(
    subject: Subject, length: RunLength, interval: int, counts_epochs: bool, saves_best: bool
) -> Iterator[str]:
    cfg, key = subject.cfg, 'default_hooks.checkpoint'
    total = _total(cfg, length)
    if counts_epochs and not length.by_epoch:
        yield f'{key}.by_epoch is True, but the run counts iterations, so it saves nothing on its way; set it False.'
        return
    in_iterations = interval * (length.epoch_iterations if counts_epochs else 1)
    if not 0 < in_iterations <= length.iterations:
        if length.iterations > SHORT:
            yield f'{key}.interval={interval} saves nothing before the end ({total}); set it to a tenth of the run.'
        return
    if not counts_epochs and interval % length.accumulation:
        yield (
            f'{key}.interval={interval} is no multiple of accumulative_counts={length.accumulation}: a resumed run '
            'loses the gradients added up so far.'
        )
    every = cfg.train_cfg.get('val_interval', 1 if length.by_epoch else 1000)
    same_unit = counts_epochs == length.by_epoch
    if cfg.get('val_cfg') and same_unit and not saves_best and every <= total and every % interval:
        yield (
            f'{key}.interval={interval} does not divide val_interval={every} and save_best is not set, so the weights '
            'that were validated are not the ones kept.'
        )


def _total(cfg: Config, length: RunLength) -> int:
    return cfg.train_cfg.max_epochs if length.by_epoch else length.iterations

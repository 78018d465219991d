"""Whether the order of training is random, endless where it must be, and can be taken up again."""

from collections.abc import Iterator

from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.recipe.run_length import run_length
from fallen_trees.checks.subject import Subject


def sampler(subject: Subject) -> Iterator[Finding]:
    """Check sampler, batch sampler and seed: `sampler` and `seed`."""
    cfg, length = subject.cfg, run_length(subject)
    loader = cfg.train_dataloader
    node = loader.get('sampler') or {}
    kind, problems = node.get('type', 'none'), []
    if length.by_epoch and kind == 'InfiniteSampler':
        message = (
            'InfiniteSampler never ends, so neither does the first epoch; use DefaultSampler or IterBasedTrainLoop.'
        )
        problems.append((Verdict.ERROR, message))
    if not length.by_epoch and kind == 'DefaultSampler':
        message = (
            'a run that counts iterations and was interrupted loads every earlier batch again with DefaultSampler; use '
            'InfiniteSampler, which skips them.'
        )
        problems.append((Verdict.WARNING, message))
    if node.get('shuffle') is False:
        problems.append(
            (Verdict.WARNING, f'{kind} has shuffle=False: batches are always the same neighbours; set True.')
        )
    if not length.by_epoch and loader.get('batch_sampler'):
        message = f'{loader.batch_sampler.type} cannot skip what an interrupted run has seen; set batch_sampler=None.'
        problems.append((Verdict.WARNING, message))
    for verdict, message in problems:
        yield Finding('sampler', verdict, message)
    if not problems:
        yield Finding('sampler', Verdict.OK, f'{kind}, {length.batch} tiles per update.')
    yield _seed(subject)


def _seed(subject: Subject) -> Finding:
    seed = (subject.cfg.get('randomness') or {}).get('seed')
    if seed is None:
        message = 'randomness.seed is not set, so no run can be repeated, nor gone on with in the same order; set 0.'
        return Finding('seed', Verdict.WARNING, message)
    return Finding('seed', Verdict.OK, f'randomness.seed is {seed}.')

"""All checks of a run to be, each for itself: one that fails is a finding, and the others go on."""

import contextlib
import io
import logging
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mmengine.config import Config

from fallen_trees.annotations.classes import read_coco
from fallen_trees.checks.data import DATA_CHECKS
from fallen_trees.checks.finding import Finding, Verdict, worst
from fallen_trees.checks.recipe import RECIPE_CHECKS
from fallen_trees.checks.subject import Check, Subject
from fallen_trees.config_nodes import datasets_in
from fallen_trees.derive.config import derive, find_data
from fallen_trees.errors import ConfigError


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found.

    Attributes:
        config: File name of the config.
        findings: Worst first, otherwise in the order of the checks.
        seconds: What each check took, by the name of its first finding.
        notes: What was decided when the config was filled in.
        subject: What was looked at; None where the config cannot be filled in.
    """

    config: str
    findings: list[Finding]
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    subject: Subject | None = None

    @property
    def verdict(self) -> Verdict:
        """That of the worst finding, and a command's exit code."""
        return worst(self.findings)

    def count(self, verdict: Verdict) -> int:
        """Number of findings of a verdict."""
        return sum(finding.verdict == verdict for finding in self.findings)

    def to_json(self) -> dict:
        """Everything as plain types."""
        findings = [{**asdict(finding), 'verdict': finding.verdict.name.lower()} for finding in self.findings]
        return dict(
            config=self.config,
            verdict=self.verdict.name.lower(),
            exit_code=int(self.verdict),
            findings=findings,
            seconds={name: round(seconds, 2) for name, seconds in self.seconds.items()},
            notes=self.notes,
        )


def examine(
    cfg: Config,
    more_checks: Iterable[Check] = (),
    *,
    num_samples: int = 32,
    progress: Callable[[str], None] = lambda name: None,
) -> Diagnosis:
    """Fill a config in as a run would, and check it.

    Args:
        cfg: Config with its options merged, before `derive`; it is filled in.
        more_checks: Checks to run before the doctor's own.
        num_samples: Training samples to look at.
        progress: Called with the name of each check before it runs.

    Returns:
        The diagnosis. A config that cannot be filled in ends with the one finding `config`.
    """
    name = Path(cfg.filename or 'config').name
    progress('config')
    try:
        notes = derive(cfg, ('train', 'val') if cfg.get('val_cfg') else ('train',))
    except ConfigError as error:
        return Diagnosis(name, [Finding('config', Verdict.ERROR, _one_line(error))])
    except Exception as error:  # a config can be wrong in ways nobody has met yet
        return Diagnosis(name, [_failed('config', error)])
    findings = list(_test_set(cfg))
    subject = Subject(cfg, num_samples=num_samples)
    findings.append(Finding('config', Verdict.OK, f'filled in from {len(subject.splits)} annotation files.'))
    seconds: dict[str, float] = {}
    for check in (*more_checks, *DATA_CHECKS, *RECIPE_CHECKS):
        progress(_name_of(check))
        start = time.perf_counter()
        found = list(_guarded(check, subject))
        seconds[found[0].check] = time.perf_counter() - start
        findings += found
    findings.sort(key=lambda finding: -finding.verdict)
    return Diagnosis(name, findings, seconds, notes, subject)


def _test_set(cfg: Config) -> Iterator[Finding]:
    """Fill the test loader in too, where it has something to test on; training does not need it."""
    dataset = next(datasets_in(cfg.get('test_dataloader')), None)
    if dataset is None:
        return
    ann_file = find_data(dataset.get('data_root') or cfg.get('data_root') or '.') / dataset.ann_file
    try:
        if ann_file.is_file() and read_coco(ann_file)['images']:
            derive(cfg, ('test',), tuple(cfg.metainfo.classes))
    except ConfigError as error:
        yield Finding('test-set', Verdict.WARNING, f'training can run, tools/test.py cannot: {_one_line(error)}')


def _guarded(check: Check, subject: Subject) -> Iterator[Finding]:
    """Run a check; whatever it raises becomes its finding."""
    count = 0
    try:
        with _quiet():
            for finding in check(subject):
                count += 1
                yield finding
    except Exception as error:
        yield _failed(_name_of(check), error)
        return
    if not count:
        yield Finding(
            _name_of(check), Verdict.ERROR, 'the check itself found nothing to say; this is a mistake of ours.'
        )


def _failed(name: str, error: Exception) -> Finding:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if isinstance(error, ConfigError):
        return Finding(name, Verdict.ERROR, _one_line(error))
    where = f'{Path(frame.filename).name}:{frame.lineno}'
    message = (
        f'could not be checked: {type(error).__name__}: {_one_line(error)} ({where}); what a run does here is unknown.'
    )
    return Finding(name, Verdict.ERROR, message, dict(raised_at=where))


def _name_of(check: Check) -> str:
    return getattr(check, '__name__', type(check).__name__).removeprefix('check_').replace('_', '-')


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())[:400]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep away what libraries say while a model or a data set is built; the table has the terminal for itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)

"""The file that describes a sweep: a config to inherit, what to search, by which figure, within which budget."""

import ast
import re
import runpy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sweep.constraints import Constraint, read_constraint
from sweep.errors import SweepError, require_known
from sweep.pruners import PRUNERS
from sweep.samplers import SAMPLERS
from sweep.space import Space, read_space

KEYS = (
    'objective', 'direction', 'objectives', 'options', 'constraints', 'max_trials', 'max_hours', 'timeout_minutes',
    'sampler', 'pruner', 'seed', 'enqueue', 'max_retries', 'max_failures', 'keep_checkpoints', 'tool',
    'finalists', 'final',
)  # fmt: skip
COUNTS = ('max_retries', 'max_failures', 'seed', 'max_trials', 'finalists')
DIRECTIONS = ('maximize', 'minimize')
MEASURED = ('seconds', 'seconds_per_image', 'memory_mb')  # figures that the sweep takes itself
NAME = re.compile(r'[A-Za-z0-9][\w.-]*')

Named = tuple[str, dict[str, object]]


@dataclass(frozen=True)
class SweepFile:
    """What the file says.

    Attributes:
        path: The file.
        base: The config that it inherits.
        space: What is searched.
        objectives: Figures with 'maximize' or 'minimize'; the first one is what pruning goes by.
        options: Of all trials, values by dotted key.
        constraints: That must hold, or a trial is not trained.
        max_trials: Trainings of the whole study, all workers together.
        max_hours: After which no further trial begins; None for no end.
        timeout_minutes: Of one trial, after which it has failed; None for no end.
        sampler: Name and arguments.
        pruner: Name and arguments.
        seed: Of the sampler; trainings have the seed of their config.
        enqueue: Parameters to be tried first.
        max_retries: How often a trial whose process was killed goes on.
        max_failures: Failures in a row that end the sweep.
        keep_checkpoints: 'best': of a finished trial the best weights alone, and of a pruned one the newest
            checkpoint too; 'all' deletes nothing.
        tool: That trains, called as `TOOL CONFIG --work-dir DIR --resume`.
        finalists: How many of the best trials `finalists.py` trains anew.
        final: Options that change for them, such as all of the data, or a longer run.
    """

    path: Path
    base: Path
    space: Space
    objectives: tuple[tuple[str, str], ...] = (('coco/segm_mAP', 'maximize'),)
    options: Mapping[str, object] = field(default_factory=dict)
    constraints: tuple[Constraint, ...] = ()
    max_trials: int = 20
    max_hours: float | None = None
    timeout_minutes: float | None = None
    sampler: Named = ('tpe', {})
    pruner: Named = ('sha', {})
    seed: int = 0
    enqueue: tuple[Mapping[str, object], ...] = ()
    max_retries: int = 5
    max_failures: int = 3
    keep_checkpoints: str = 'best'
    tool: str = 'tools/train.py'
    finalists: int = 1
    final: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the study, unless the command names it."""
        return self.path.stem


def read_sweep(path: str | Path) -> SweepFile:
    """Read a sweep file: Python with `_base_`, `search_space` and `sweep`; other names must begin with `_`.

    Raises:
        SweepError: If it does not exist or does not parse, or says something that cannot be meant.
    """
    path = Path(path)
    content = _execute(path)
    require_known((key for key in content if not key.startswith('_')), ('search_space', 'sweep'), str(path))
    sweep = content.get('sweep', {})
    if not isinstance(sweep, Mapping):
        raise SweepError(f'{path}: sweep must be a dict; got {sweep!r}.')
    require_known(sweep, KEYS, f'{path}: sweep')
    space = read_space(content.get('search_space'), str(path))
    fields = {
        key: sweep[key] for key in ('max_retries', 'max_failures', 'seed', 'max_trials', 'finalists') if key in sweep
    }
    for key, value in fields.items():
        least = 0 if key in ('max_retries', 'seed') else 1
        if type(value) is not int or value < least:
            raise SweepError(f'{path}: sweep: {key} must be a whole number from {least} on; got {value!r}.')
    for key in ('max_hours', 'timeout_minutes'):
        fields[key] = _amount(sweep.get(key), f'{path}: sweep: {key}')
    if sweep.get('keep_checkpoints', 'best') not in ('best', 'all'):
        raise SweepError(f"{path}: sweep: keep_checkpoints must be 'best' or 'all'; got {sweep['keep_checkpoints']!r}.")
    return SweepFile(
        path=path,
        base=_base(path, content),
        space=space,
        objectives=_objectives(sweep, path),
        options=_options(sweep.get('options', {}), space, path),
        final=_options(sweep.get('final', {}), space, path, 'final'),
        constraints=tuple(read_constraint(item, str(path)) for item in _list(sweep, 'constraints', path)),
        sampler=named(sweep.get('sampler', 'tpe'), SAMPLERS, f'{path}: sweep: sampler'),
        pruner=named(sweep.get('pruner', 'sha'), PRUNERS, f'{path}: sweep: pruner'),
        enqueue=tuple(_enqueued(item, space, path) for item in _list(sweep, 'enqueue', path)),
        keep_checkpoints=sweep.get('keep_checkpoints', 'best'),
        tool=sweep.get('tool', 'tools/train.py'),
        **fields,
    )


def named(given: object, known: Mapping[str, object], place: str) -> Named:
    """Read a sampler or pruner: its name, or a dict of `type` and arguments.

    Raises:
        SweepError: If there is none of this name.
    """
    kwargs = dict(given) if isinstance(given, Mapping) else {'type': given}
    name = str(kwargs.pop('type', None)).lower()
    if name not in known:
        raise SweepError(f'{place} must be one of {", ".join(known)}; got {given!r}.')
    return name, kwargs


def _execute(path: Path) -> dict[str, object]:
    if not path.is_file():
        raise SweepError(f'the sweep file {path} does not exist.')
    try:
        _require_no_repetition(path)
        found = runpy.run_path(str(path))
    except SyntaxError as error:
        raise SweepError(f'{path}, line {error.lineno}: {error.msg}.') from error
    except (NameError, TypeError, AttributeError, KeyError, ValueError) as error:
        if isinstance(error, SweepError):
            raise
        raise SweepError(f'the sweep file {path} cannot be read: {error}.') from error
    return {key: value for key, value in found.items() if not re.fullmatch(r'__\w+__', key)}


def _base(path: Path, content: Mapping[str, object]) -> Path:
    given = content.get('_base_')
    bases = [given] if isinstance(given, str) else given
    if not isinstance(bases, list | tuple) or len(bases) != 1 or not isinstance(bases[0], str):
        raise SweepError(f"{path}: _base_ must name the one config that is tuned, as ['../x.py']; got {given!r}.")
    base = (path.parent / bases[0]).resolve()
    if not base.is_file():
        raise SweepError(f'{path}: _base_ names {base}, which does not exist.')
    return base


def _objectives(sweep: Mapping, path: Path) -> tuple[tuple[str, str], ...]:
    one = [(sweep.get('objective', 'coco/segm_mAP'), sweep.get('direction', 'maximize'))]
    if 'objectives' in sweep and ('objective' in sweep or 'direction' in sweep):
        raise SweepError(f'{path}: sweep: say objective and direction, or objectives; not both.')
    given = sweep.get('objectives', one)
    pairs = list(given.items()) if isinstance(given, Mapping) else given
    fits = isinstance(pairs, list | tuple) and pairs and all(
        isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str) and pair[1] in DIRECTIONS
        for pair in pairs
    )  # fmt: skip
    if not fits or len({name for name, _ in pairs}) < len(pairs):
        raise SweepError(
            f"{path}: sweep: objectives must be figures with a direction, each once, as {{'coco/segm_mAP': 'maximize', "
            f"'seconds_per_image': 'minimize'}}; got {given!r}."
        )
    return tuple((name, direction) for name, direction in pairs)


def _options(given: object, space: Space, path: Path, name: str = 'options') -> dict[str, object]:
    if not isinstance(given, Mapping):
        raise SweepError(f"{path}: sweep: {name} must be a dict, as {{'train_cfg.max_iters': 600}}; got {given!r}.")
    for dimension in space.dimensions:
        for key in dimension.keys & set(given):
            raise SweepError(f"{path}: sweep: {name} set {key}, which '{dimension.name}' searches; leave one of them.")
    return dict(given)


def _enqueued(item: object, space: Space, path: Path) -> dict[str, object]:
    if not isinstance(item, Mapping) or not item:
        raise SweepError(f'{path}: sweep: enqueue must be a list of dicts of parameters; got {item!r}.')
    by_name = {dimension.name: dimension for dimension in space.dimensions}
    require_known(item, by_name, f'{path}: sweep: enqueue')
    for name, value in item.items():
        distribution = by_name[name].distribution
        try:
            fits = distribution._contains(distribution.to_internal_repr(value))
        except (ValueError, TypeError):
            fits = False
        if not fits:
            raise SweepError(f'{path}: sweep: enqueue: {name}={value!r} lies outside the space: {distribution}.')
    return dict(item)


def _list(sweep: Mapping, key: str, path: Path) -> list:
    given = sweep.get(key, ())
    if not isinstance(given, list | tuple):
        raise SweepError(f'{path}: sweep: {key} must be a list; got {given!r}.')
    return list(given)


def _amount(value: object, place: str) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
        raise SweepError(f'{place} must be a number above 0; got {value!r}.')
    return value


def _require_no_repetition(path: Path) -> None:
    """Of a key that stands twice in a dict, Python keeps the last one without a word."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        names = [key.value for key in node.keys if isinstance(key, ast.Constant)] if isinstance(node, ast.Dict) else []
        for name in names:
            if names.count(name) > 1:
                raise SweepError(f"{path}, line {node.lineno}: '{name}' stands twice in one dict; leave it once.")

"""The file that describes an ablation: which runs, over which seeds, scored on what."""

import ast
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fallen_trees.errors import ConfigError
from fallen_trees.launch import read_config

KEYS = ('config', 'options', 'seeds', 'arms', 'tests', 'metrics', 'timeout_minutes', 'unit_minutes', 'tool')
TEST_KEYS = ('options', 'metrics', 'tool', 'args')
FOLDER = re.compile(r'[A-Za-z0-9][\w.-]*')
METRICS = ('coco/segm_mAP', 'coco/segm_mAP_50', 'coco/segm_F1_50', 'coco/segm_recall_50')
VALIDATION = 'val'


@dataclass(frozen=True)
class TestSet:
    """Something the best checkpoint of every unit is scored on.

    Attributes:
        name: Of its folder and its columns.
        options: What differs from the arm's config, by dotted key; nothing means the config's own test split.
        metrics: Figures that the table shows.
        tool: Called as `tools/test.py` is, `TOOL CONFIG CHECKPOINT --work-dir DIR`; it must write DIR/metrics.json.
        args: Further arguments of the tool.
    """

    __test__ = False  # for pytest, this is no test

    name: str
    options: Mapping[str, object] = field(default_factory=dict)
    metrics: tuple[str, ...] = METRICS
    tool: str = 'tools/test.py'
    args: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ablation:
    """What the file says.

    Attributes:
        path: The file.
        config: That every arm starts from, unless it names its own.
        options: Of all arms, by dotted key.
        seeds: Of every arm.
        arms: Options by arm; the first one is what the others are compared with. `config` in an arm names its config.
        tests: Sets that best checkpoints are scored on, besides validation.
        metrics: Figures of the validation that the table shows.
        timeout_minutes: After which one process is ended, as a failure; None waits for ever.
        unit_minutes: What a unit is expected to take, for an estimate before the first is done.
        tool: That trains, called as `TOOL CONFIG --work-dir DIR --resume`.
    """

    path: Path
    config: str
    options: Mapping[str, object]
    seeds: tuple[int, ...]
    arms: Mapping[str, Mapping[str, object]]
    tests: tuple[TestSet, ...]
    metrics: tuple[str, ...]
    timeout_minutes: float | None
    unit_minutes: float | None
    tool: str

    @property
    def name(self) -> str:
        """Of the results' folder."""
        return self.path.stem


def read_ablation(path: str) -> Ablation:
    """Read an ablation file: a Python config, names that begin with an underscore are its own business.

    Raises:
        ConfigError: If it does not exist or does not parse, or says something that cannot be meant.
    """
    cfg = read_config(path)
    said = {key: value for key, value in cfg._cfg_dict.to_dict().items() if not key.startswith('_')}
    where = Path(cfg.filename)
    _require_no_repetition(where)
    _require_known(said, KEYS, str(where))
    for key, kind, form in (('config', str, "'configs/x.py'"), ('arms', Mapping, 'dict(base={}, lr={...})')):
        if not isinstance(said.get(key), kind) or not said[key]:
            raise ConfigError(f'{where}: {key} must be given, as {key} = {form}; got {said.get(key)!r}.')
    for name in (*said['arms'], *said.get('tests', {})):
        if not isinstance(name, str) or not FOLDER.fullmatch(name):
            raise ConfigError(f'{where}: {name!r} will name a folder: letters, digits, "_", "-" and "." alone.')
    return Ablation(
        path=where,
        config=said['config'],
        options=_options(said.get('options', {}), f'{where}: options'),
        seeds=_seeds(said.get('seeds', (0, 1, 2)), where),
        arms={name: _options(arm, f'{where}: arm {name}') for name, arm in said['arms'].items()},
        tests=tuple(_test_set(name, given, where) for name, given in said.get('tests', {}).items()),
        metrics=_words(said.get('metrics', METRICS[:2]), f'{where}: metrics'),
        timeout_minutes=_minutes(said, 'timeout_minutes', where),
        unit_minutes=_minutes(said, 'unit_minutes', where),
        tool=said.get('tool', 'tools/train.py'),
    )


def _test_set(name: str, given: object, where: Path) -> TestSet:
    place = f'{where}: test {name}'
    if name == VALIDATION:
        raise ConfigError(f'{place}: this name is that of the validation; choose another.')
    given = _options(given, place)
    _require_known(given, TEST_KEYS, place)
    words = {key: _words(given[key], f'{place}: {key}') for key in ('metrics', 'args') if key in given}
    return TestSet(name, **{**given, **words, 'options': _options(given.get('options', {}), f'{place}: options')})


def _options(given: object, place: str) -> dict[str, object]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{place}: must be a dict, such as {{'optim_wrapper.optimizer.lr': 1e-4}}; got {given!r}.")
    return dict(given)


def _words(given: object, place: str) -> tuple[str, ...]:
    if not isinstance(given, list | tuple):
        raise ConfigError(f'{place}: must be a list; got {given!r}.')
    return tuple(map(str, given))


def _seeds(given: object, where: Path) -> tuple[int, ...]:
    seeds = tuple(given) if isinstance(given, list | tuple) else ()
    if not seeds or len(set(seeds)) < len(seeds) or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise ConfigError(f'{where}: seeds must be whole numbers from 0 on, each once, as [0, 1, 2]; got {given!r}.')
    return seeds


def _minutes(said: Mapping, key: str, where: Path) -> float | None:
    minutes = said.get(key)
    if minutes is not None and (isinstance(minutes, bool) or not isinstance(minutes, int | float) or minutes <= 0):
        raise ConfigError(f'{where}: {key} must be a number above 0; got {minutes!r}.')
    return minutes


def _require_known(said: Iterable[str], known: tuple[str, ...], place: str) -> None:
    for key in said:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"is '{near[0]}' meant?" if near else f'there are {", ".join(known)}.'
            raise ConfigError(f"{place}: nothing reads the key '{key}'; {hint}")


def _require_no_repetition(path: Path) -> None:
    """Of a key that stands twice in a dict, Python keeps the last one without a word: an arm would be lost."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        names = [key.value for key in node.keys if isinstance(key, ast.Constant)] if isinstance(node, ast.Dict) else []
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"{path}, line {node.lineno}: '{name}' stands twice in one dict; rename one.")

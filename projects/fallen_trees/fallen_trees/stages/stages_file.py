"""The file that describes a chain of stages: which config each trains, and what it takes from those before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fallen_trees.ablation.ablation_file import (
    FOLDER,
    _minutes,
    _options,
    _require_known,
    _require_no_repetition,
    _words,
)  # fmt: skip
from fallen_trees.errors import ConfigError
from fallen_trees.launch import read_config

KEYS = ('stages', 'options', 'timeout_minutes', 'tools')
STAGE_KEYS = (
    'config', 'options', 'start', 'parts', 'frozen', 'anchors', 'search', 'found_times', 'checkpoint', 'metrics',
)  # fmt: skip
TOOLS = {'train': 'tools/train.py', 'test': 'tools/test.py', 'sweep': 'tools/sweep.py'}
CHECKPOINTS = ('best', 'last')


@dataclass(frozen=True)
class Entry:
    """What the file says of a stage.

    Attributes:
        name: Of its folder.
        config: That it trains.
        options: Of this stage, by dotted key.
        start: What it starts from: the name of an earlier stage, or files of which the first that is there is taken;
            empty leaves it to the config.
        parts: Of the model that are handed over, such as `backbone`; none hands over all.
        frozen: Parts that must not have moved when it is done.
        anchors: COCO file, from the data set's folder, whose boxes the anchors are fitted to; empty keeps the config's.
        search: Sweep file whose best values the stage trains with; empty searches nothing.
        found_times: By dotted key, factors on the values that the stage it starts from has found.
        checkpoint: Which one is tested and handed on: 'best' or 'last'.
        metrics: Figures of the table.
    """

    name: str
    config: str
    options: Mapping[str, object] = field(default_factory=dict)
    start: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    anchors: str = ''
    search: str = ''
    found_times: Mapping[str, float] = field(default_factory=dict)
    checkpoint: str = 'best'
    metrics: tuple[str, ...] = ('coco/segm_mAP', 'coco/segm_mAP_50')


@dataclass(frozen=True)
class StagesFile:
    """What the file says.

    Attributes:
        path: The file.
        stages: In the order in which they run.
        options: Of all stages, by dotted key.
        timeout_minutes: After which a process is told to end, as a failure; None waits for ever.
        tools: That train, test and sweep.
    """

    path: Path
    stages: tuple[Entry, ...]
    options: Mapping[str, object]
    timeout_minutes: float | None
    tools: Mapping[str, str]

    @property
    def name(self) -> str:
        """Of the results' folder: that of the file where this is called `stages`."""
        return self.path.resolve().parent.name if self.path.stem == 'stages' else self.path.stem


def read_stages(path: str) -> StagesFile:
    """Read a file of stages: a Python config; names that begin with an underscore are its own business.

    Raises:
        ConfigError: If it does not exist or does not parse, or says something that cannot be meant.
    """
    cfg = read_config(path)
    where = Path(cfg.filename)
    said = {key: value for key, value in cfg._cfg_dict.to_dict().items() if not key.startswith('_')}
    _require_no_repetition(where)
    _require_known(said, KEYS, str(where))
    given = said.get('stages')
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"{where}: stages must be given, as stages = dict(stage0=dict(config='...')); got {given!r}.")
    tools = _options(said.get('tools', {}), f'{where}: tools')
    _require_known(tools, tuple(TOOLS), f'{where}: tools')
    entries: list[Entry] = []
    for name, item in given.items():
        entries.append(_entry(name, item, [entry.name for entry in entries], where))
    return StagesFile(
        path=where,
        stages=tuple(entries),
        options=_options(said.get('options', {}), f'{where}: options'),
        timeout_minutes=_minutes(said, 'timeout_minutes', where),
        tools=TOOLS | tools,
    )


def _entry(name: object, given: object, before: list[str], where: Path) -> Entry:
    place = f'{where}: stage {name}'
    if not isinstance(name, str) or not FOLDER.fullmatch(name):
        raise ConfigError(f'{where}: {name!r} will name a folder: letters, digits, "_", "-" and "." alone.')
    given = _options(given, place)
    _require_known(given, STAGE_KEYS, place)
    if not isinstance(given.get('config'), str):
        raise ConfigError(f"{place}: config must be given, as config='configs/x.py'; got {given.get('config')!r}.")
    if given.get('checkpoint', 'best') not in CHECKPOINTS:
        raise ConfigError(f"{place}: checkpoint must be 'best' or 'last'; got {given['checkpoint']!r}.")
    start = given.get('start', ())
    start = (start,) if isinstance(start, str) else _words(start, f'{place}: start')
    named = [item for item in start if '/' not in item and not item.endswith(('.pth', '.safetensors'))]
    for item in named:
        if item not in before:
            raise ConfigError(f"{place}: start: no stage before it is called '{item}'; there are {before or 'none'}.")
    words = {key: _words(given[key], f'{place}: {key}') for key in ('parts', 'frozen', 'metrics') if key in given}
    dicts = {key: _options(given.get(key, {}), f'{place}: {key}') for key in ('options', 'found_times')}
    return Entry(name, **{**given, **words, **dicts, 'start': start})

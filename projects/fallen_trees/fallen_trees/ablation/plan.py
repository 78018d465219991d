"""What an ablation will run: the config of every arm, checked and derived before the first one starts."""

import copy
import functools
import glob
import hashlib
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pprint import pformat

from mmengine.config import Config

from fallen_trees.ablation.ablation_file import Ablation, TestSet
from fallen_trees.config_keys import check_keys, merge_settings
from fallen_trees.config_nodes import datasets_in, dicts_in
from fallen_trees.derive.config import REPOSITORY, derive
from fallen_trees.errors import ConfigError, EnvironmentFailure
from fallen_trees.launch import load_config
from fallen_trees.resume.checkpoint_file import sha256
from fallen_trees.resume.config_diff import fingerprint
from fallen_trees.start_weights import _is_pretrained, _local_file

# Settings that change no figure. Files stand by their content, not by their place; the seed stands in a unit's name.
SILENT = (
    'randomness.seed', 'train_dataloader.sampler.seed', 'default_hooks.logger', 'default_hooks.visualization',
    'default_hooks.timer', 'default_hooks.checkpoint.interval', 'default_hooks.checkpoint.every_minutes',
    'default_hooks.checkpoint.max_keep_ckpts', 'default_hooks.model_card', 'vis_backends', 'visualizer',
    'log_processor', 'log_level', 'env_cfg',
)  # fmt: skip
SILENT_ENDS = ('data_root', '_evaluator.ann_file', '.num_workers', '.persistent_workers', '.prefetch_factor')
SPLITS = ('train', 'val')

Settings = dict[str, str]


@dataclass(frozen=True)
class TestPlan:
    """One arm on one test set: its config, and what makes its figures the figures they are."""

    __test__ = False

    test_set: TestSet
    cfg: Config
    settings: Settings


@dataclass(frozen=True, eq=False)
class Arm:
    """One arm: its config, still without a seed, and what makes its figures the figures they are."""

    name: str
    cfg: Config
    settings: Settings
    tests: tuple[TestPlan, ...]
    tool: str

    @property
    def metric(self) -> str:
        """The figure of the validation by which the best checkpoint is chosen."""
        return self.cfg.default_hooks.checkpoint.save_best

    @property
    def max_iters(self) -> int | None:
        """Length of a run, None where it is counted in epochs."""
        return self.cfg.train_cfg.get('max_iters')


def plan(ablation: Ablation, only: Sequence[str] | None = None) -> list[Arm]:
    """Derive all arms as their runs will.

    Args:
        ablation: What to run.
        only: Names of the arms that are asked for; None means all.

    Raises:
        ConfigError: If an arm cannot run, says the same as another one, or is not there.
        EnvironmentFailure: If start weights cannot be fetched.
    """
    for name in only or ():
        if name not in ablation.arms:
            raise ConfigError(f"--only: there is no arm '{name}' in {ablation.path}; there are {_listed(ablation)}.")
    arms: list[Arm] = []
    for name in only or ablation.arms:
        try:
            arm = _arm(ablation, name)
        except (ConfigError, EnvironmentFailure) as error:
            raise type(error)(f'arm {name}: {error}') from error
        twin = next((other.name for other in arms if other.settings == arm.settings), None)
        if twin is not None:
            raise ConfigError(f'arm {name} runs the same as arm {twin}: every setting is equal; leave one of them out.')
        arms.append(arm)
    return arms


def seeded(cfg: Config, seed: int) -> Config:
    """A copy of an arm's config for one seed: of weights, augmentation and the order of samples."""
    cfg = copy.deepcopy(cfg)
    cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': seed}
    if 'seed' in cfg.train_dataloader.get('sampler', {}):
        cfg.train_dataloader.sampler.seed = seed
    return cfg


def as_text(cfg: Config) -> str:
    """A config as a file that stands for itself; MMEngine's `pretty_text` says the same and takes a second for it."""
    values = cfg._cfg_dict.to_dict()
    return ''.join(f'{key} = {pformat(value, width=120, sort_dicts=False)}\n' for key, value in values.items())


def digest(settings: Settings) -> str:
    """A short name of settings."""
    return hashlib.sha256('\n'.join(f'{key}={settings[key]}' for key in sorted(settings)).encode()).hexdigest()[:12]


def _listed(ablation: Ablation) -> str:
    return ', '.join(ablation.arms)


def _arm(ablation: Ablation, name: str) -> Arm:
    own = dict(ablation.arms[name])
    cfg = merged(own.pop('config', ablation.config), ablation.options, own)
    if isinstance(cfg.get('load_from'), str):
        cfg.load_from = _matching(cfg.load_from)
    best = cfg.get('default_hooks', {}).get('checkpoint', {}).get('save_best')
    if not isinstance(best, str) or best == 'auto':
        raise ConfigError(
            'default_hooks.checkpoint.save_best must name the figure that chooses the checkpoint to be scored, such '
            f"as 'coco/segm_mAP'; got {best!r}."
        )
    ready = copy.deepcopy(cfg)
    derive(ready, SPLITS)
    settings = settings_of(ready, SPLITS, starts=_start_files(ready), tool=ablation.tool)
    classes = tuple(ready.metainfo.classes)
    return Arm(name, cfg, settings, tuple(plan_test(cfg, item, classes) for item in ablation.tests), ablation.tool)


def merged(config: str, *options: Mapping[str, object]) -> Config:
    """A config with options by dotted key, later ones over earlier ones; not derived yet.

    Raises:
        ConfigError: If the config or an option holds a key that nothing reads.
    """
    flags = Namespace(config=config, cfg_options=None, launcher='none', local_rank=0, work_dir='.')
    cfg = load_config(flags)
    for some in options:
        merge_settings(cfg, some)
    check_keys(cfg)
    return cfg


def _matching(pattern: str) -> str:
    """The one file of a pattern, as `best_*.pth` is one: a checkpoint's name says its iteration."""
    if '*' not in pattern:
        return pattern
    found = glob.glob(pattern) or glob.glob(str(REPOSITORY / pattern))
    if len(found) != 1:
        raise ConfigError(f'load_from={pattern} must match one file; it matches {len(found)}.')
    return found[0]


def plan_test(cfg: Config, test_set: TestSet, classes: tuple[str, ...]) -> TestPlan:
    """What a model is tested on, and what makes the figures the figures they are.

    Raises:
        ConfigError: If the tool is not there, or the config cannot be filled in; names the test set.
    """
    cfg = copy.deepcopy(cfg)
    try:
        merge_settings(cfg, test_set.options)
        check_keys(cfg)
        if not tool_path(test_set.tool).is_file():
            raise ConfigError(f'the tool {test_set.tool} does not exist.')
        ready = copy.deepcopy(cfg)
        derive(ready, ('test',), classes)
    except ConfigError as error:
        raise ConfigError(f'test {test_set.name}: {error}') from error
    asked = dict(tool=test_set.tool, args=test_set.args)
    return TestPlan(test_set, cfg, settings_of(ready, ('test',), **asked))


def tool_path(tool: str) -> Path:
    """Where a tool lies: as given from here, or else from the repository's root."""
    return Path(tool) if Path(tool).is_file() else REPOSITORY / tool


def settings_of(cfg: Config, splits: Sequence[str], **asked: object) -> Settings:
    """What decides the figures of a derived config: its settings, and the content of the files it reads."""
    files = {f'{split}_files': list(map(_sha256, _annotation_files(cfg, split))) for split in splits}
    found = fingerprint(cfg, dict(files, **asked))
    return {key: value for key, value in found.items() if not key.startswith(SILENT) and not key.endswith(SILENT_ENDS)}


def _annotation_files(cfg: Config, split: str) -> Iterator[Path]:
    return (Path(node.get('data_root') or '.', node.ann_file) for node in datasets_in(cfg.get(f'{split}_dataloader')))


def _start_files(cfg: Config) -> list[str]:
    """Checksums of the weights that a run starts from; those that are addresses are fetched."""
    if cfg.get('load_from'):
        return [_sha256(_local_file(cfg.load_from))]
    holders = (node.init_cfg for node in dicts_in(cfg.model) if _is_pretrained(node.get('init_cfg')))
    return [_sha256(_local_file(init_cfg.checkpoint)) for init_cfg in holders]


@functools.cache
def _sha256(path: Path) -> str:
    return sha256(path)

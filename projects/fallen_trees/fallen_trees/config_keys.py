"""Config keys that nothing reads are refused: MMEngine merges them in silence and trains without them."""

import ast
import copy
import difflib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path

from mmdet import registry
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from mmengine.runner.utils import set_random_seed
from torch.utils.data import DataLoader

from fallen_trees.config_nodes import named_dicts_in
from fallen_trees.errors import ConfigError

# Where a dict names a class, its keys are that class's arguments.
CHECKED = ('HOOKS', 'TRANSFORMS', 'DATASETS', 'DATA_SAMPLERS', 'LOOPS', 'METRICS', 'PARAM_SCHEDULERS')
EVERYWHERE = {'type', '_scope_', '_delete_', 'priority'}
# Dicts without a class of their own, by the end of their path.
UNTYPED = {
    'dataloader': {*inspect.signature(DataLoader).parameters, 'num_batch_per_epoch'},
    'randomness': set(inspect.signature(set_random_seed).parameters),
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'dist_cfg': {'backend', 'timeout', 'init_backend'},
    'filter_cfg': {'filter_empty_gt', 'min_size'},
    'paramwise_cfg': {'custom_keys', 'bias_lr_mult', 'norm_decay_mult', 'bias_decay_mult', 'bypass_duplicate'},
}
OPEN = ('custom_keys', 'data_prefix')
# Top-level keys that are read from the whole config: by MMEngine's runner beside its own arguments, and by our tools.
READ_BY_RUNNER = {
    'activation_checkpointing', 'auto_scale_lr', 'compile', 'custom_imports', 'efficient_conv_bn_eval',
    'find_unused_parameters', 'model_wrapper_cfg', 'sync_bn',
}  # fmt: skip
READ_BY_TOOLS = {
    'augment', 'checkpoint_epochs', 'data_root', 'ema_horizon', 'epochs', 'image_size', 'lr_milestones',
    'lr_warmup_updates', 'metainfo', 'plain_pipeline', 'validation_epochs',
}  # fmt: skip


def merge_options(cfg: Config, options: Mapping[str, object] | None) -> None:
    """Merge `--cfg-options` into a config, in place.

    Args:
        cfg: The config.
        options: Values by dotted key, as MMEngine's `DictAction` parses them.

    Raises:
        ConfigError: If a key is neither in the config nor an argument of the class whose dict it would go into, or
            belongs to a variable that was used up when the config was read.
    """
    for dotted in options or {}:
        _require_known(cfg, dotted)
        _require_read(cfg, dotted)
    try:
        cfg.merge_from_dict(dict(options or {}))
    except (TypeError, KeyError) as error:  # a dict where the config has None, an index past a list's end
        raise ConfigError(f'--cfg-options cannot be merged into {cfg.filename}: {error}') from error


def merge_settings(cfg: Config, settings: Mapping[str, object]) -> None:
    """Merge options that stand in a file, not on the command line; the file keeps its own copy of them.

    Raises:
        ConfigError: As `merge_options`, in words that do not speak of a command line.
    """
    try:
        merge_options(cfg, copy.deepcopy(dict(settings)))
    except ConfigError as error:
        raise ConfigError(str(error).removeprefix('--cfg-options ')) from error


def check_keys(cfg: Config) -> None:
    """Look through a whole config for keys that nothing will read.

    Raises:
        ConfigError: If a top-level key is nearly the name of one that MMEngine reads, or a dict that names a class
            holds a key which the class does not take.
    """
    known = set(inspect.signature(Runner).parameters)
    for key in set(cfg.keys()) - known:
        near = _nearest(key, known, cutoff=0.85)
        if near:
            raise ConfigError(f"{cfg.filename}: nothing reads the key '{key}'; is '{near}' meant?")
    for path, node in named_dicts_in(cfg._cfg_dict.to_dict()):
        arguments = _arguments_of(node.get('type'), CHECKED)
        for key in node if arguments else ():
            if key not in arguments | EVERYWHERE:
                raise ConfigError(f"{path}: {node['type']} takes no '{key}'; {_suggest(key, arguments)}")


def check_variables(cfg: Config) -> None:
    """Look for variables that a file defines anew and that its bases had already copied to where they are used.

    `train_pipeline = [...]` below `_base_` alone trains with the base's pipeline; the loader has to be told, too.

    Raises:
        ConfigError: If a dict or list of the file takes the place of a base's and is found nowhere in what is read.
    """
    values = _assigned_in(Path(cfg.filename))
    own = [name for name in values if name in cfg and not _is_read(name) and not _places(cfg, name)]
    for base in _strings_in(values.get('_base_')) if own else ():
        inherited = Config.fromfile(Path(cfg.filename).parent / base)
        for name in own:
            places = _places(inherited, name) if name in inherited and inherited[name] != cfg[name] else []
            if places:
                raise ConfigError(
                    f"{cfg.filename}: the new '{name}' goes nowhere, as {base} has its own copied; add "
                    f'{_as_nested_dict(places[0], name)}.'
                )


def _assigned_in(file: Path) -> dict[str, ast.expr]:
    """What a Python config assigns at its top level; nothing of JSON and YAML, which have no variables."""
    tree = ast.parse(file.read_text(encoding='utf-8') if file.suffix == '.py' else '')
    plain = [node for node in tree.body if isinstance(node, ast.Assign)]
    return {target.id: node.value for node in plain for target in node.targets if isinstance(target, ast.Name)}


def _strings_in(node: ast.expr | None) -> list[str]:
    """Paths of a `_base_`, be it one or a list; other packages' configs (`mmdet::...`) are not opened."""
    inside = ast.walk(node) if node is not None else ()
    texts = [part.value for part in inside if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return [text for text in texts if '::' not in text]


def _as_nested_dict(dotted: str, value: str) -> str:
    """The line of a config that sets a dotted key; a place in a list cannot be set by itself and is only named."""
    if any(part.isdigit() for part in dotted.split('.')):
        return f'it at {dotted}'
    first, *rest = dotted.split('.')
    for part in reversed(rest):
        value = f'dict({part}={value})'
    return f'{first} = {value}'


def _require_known(cfg: Config, dotted: str) -> None:
    node, path = cfg._cfg_dict, ''
    for part in dotted.split('.'):
        if isinstance(node, list | tuple):
            if not part.isdigit() or int(part) >= len(node):
                raise ConfigError(f"--cfg-options {dotted}: {path} is a list of {len(node)}; got '{part}'.")
            node = node[int(part)]
        elif isinstance(node, Mapping):
            if part not in node:
                _require_argument(node, part, path, dotted)
                return
            node = node[part]
        else:  # the value so far is None or a plain value that the option replaces by a dict
            return
        path = f'{path}.{part}'.lstrip('.')


def _require_read(cfg: Config, dotted: str) -> None:
    """Refuse an option for a file's own variable: its value was copied to where it is used, and stays there."""
    name, _, rest = dotted.partition('.')
    if name not in cfg or _is_read(name):
        return
    instead = ', '.join(f'{place}.{rest}' if rest else place for place in _places(cfg, name)[:4])
    raise ConfigError(
        f"--cfg-options {dotted}: '{name}' is a variable of the config file, and nothing reads it any more once the "
        f'file is read; set {instead or "what it stands for"} instead.'
    )


def _is_read(name: str) -> bool:
    return name in READ_BY_RUNNER | READ_BY_TOOLS or name in inspect.signature(Runner).parameters


def _places(cfg: Config, name: str) -> list[str]:
    """Dotted keys under which a dict or list of a file's variables was copied; plain values could stand anywhere."""
    return _places_of(cfg[name], {key: value for key, value in cfg.items() if _is_read(key)})


def _places_of(value: object, node: object, path: str = '') -> list[str]:
    if not isinstance(value, dict | list | tuple) or not value:
        return []
    if node == value:
        return [path]
    children = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list | tuple) else ()
    return [place for key, child in children for place in _places_of(value, child, f'{path}.{key}'.lstrip('.'))]


def _require_argument(node: Mapping, part: str, path: str, dotted: str) -> None:
    """Accept a key that the config does not hold when the dict it belongs to can take it."""
    name = path.rsplit('.', 1)[-1]
    if name in OPEN:
        return
    takes = _arguments_of(node.get('type'), tuple(vars(registry)))
    if takes is None:
        return
    takes |= set(inspect.signature(Runner).parameters) if not path else set()
    for suffix, keys in UNTYPED.items():
        takes |= keys if name.endswith(suffix) else set()
    if part not in takes:
        where = path or 'the config'
        raise ConfigError(
            f"--cfg-options {dotted}: there is no '{part}' in {where}; {_suggest(part, takes | set(node))}"
        )


def _arguments_of(name: object, registries: tuple[str, ...]) -> set[str] | None:
    """Every argument of the classes registered under `name`; None when one of them takes any keyword."""
    names: set[str] = set()
    for registry_name in registries if isinstance(name, str) else ():
        entries = getattr(registry, registry_name, None)
        found = entries.get(name) if isinstance(entries, Registry) else None
        if found is not None:
            own = _keyword_arguments(found)
            if own is None:
                return None
            names |= own
    return names


def _keyword_arguments(target: type | Callable) -> set[str] | None:
    """Argument names of a class or function; `**kwargs` means what the next base takes, or anything at the last."""
    names: set[str] = set()
    for base in inspect.getmro(target) if inspect.isclass(target) else (target,):
        if inspect.isclass(base) and base.__init__ is object.__init__:
            return None
        parameters = inspect.signature(base).parameters.values()
        names |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return names
    return None


def _suggest(key: str, keys: set[str]) -> str:
    near = _nearest(key, keys)
    return f"is '{near}' meant?" if near else 'known are: ' + ', '.join(sorted(keys)) + '.'


def _nearest(key: str, keys: set[str], cutoff: float = 0.6) -> str | None:
    return next(iter(difflib.get_close_matches(key, sorted(keys), n=1, cutoff=cutoff)), None)

"""The weights a run starts from: fetched before anything is built, made to fit, and held against the model."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from data_prep.atomic import atomic_path
from fallen_trees.checkpoint_reader import read_plain
from fallen_trees.config_nodes import dicts_in
from fallen_trees.derive.config import REPOSITORY
from fallen_trees.errors import ConfigError, EnvironmentFailure
from fallen_trees.weights.surgery import first_filters, fit, fit_bands

WITHOUT = (
    'Go on without: --cfg-options load_from=None starts from ImageNet, '
    'load_from=None model.backbone.init_cfg=None from nothing.'
)

# Ends of names: tensors that a model knows without loading them.
COMPUTED = ('relative_position_index', 'num_batches_tracked')


def settle_start_weights(cfg: Config) -> list[str]:
    """Decide what a run starts from, and bring it here.

    A checkpoint in `load_from` (or a resumed run) replaces every weight, so the backbone's own weights are not fetched
    for it. Addresses become local files in torch's cache, checked against the hash in their names. For a backbone of
    other than three `in_channels` a copy with filters for them goes into the work dir and takes the file's place.

    Returns:
        Lines for the log.

    Raises:
        ConfigError: If a local file does not exist.
        EnvironmentFailure: If an address cannot be reached. The message says how to go on without.
    """
    holders = [node for node in dicts_in(cfg.model) if _is_pretrained(node.get('init_cfg'))]
    if cfg.get('load_from') or cfg.get('resume'):
        for node in holders:
            node.init_cfg = None
        holders = []
    if cfg.get('resume'):
        return [f'Resumed from {cfg.load_from}.']
    notes = []
    if cfg.get('load_from'):
        cfg.load_from = str(_local_file(cfg.load_from))
        notes.append(f'Start: {cfg.load_from}.')
    for node in holders:
        path = _local_file(node.init_cfg.checkpoint)
        bands = node.get('in_channels', 3) if node is cfg.model.get('backbone') else 3
        if bands != 3:
            path, note = _with_bands(path, bands, node.init_cfg.get('prefix', ''), Path(cfg.get('work_dir') or '.'))
            notes.append(note)
        node.init_cfg.checkpoint = str(path)
        notes.append(f'Start: {node.type} from {path}.')
    return notes or ['Start: from nothing (random weights).']


def _is_pretrained(init_cfg: object) -> bool:
    return isinstance(init_cfg, ConfigDict) and init_cfg.get('type') == 'Pretrained'


def _with_bands(path: Path, bands: int, prefix: str, folder: Path) -> tuple[Path, str]:
    """Write a copy of a backbone's weights whose first filters take other bands; MMEngine would leave them random."""
    content = read_plain(path)
    content = content if isinstance(content, Mapping) else {}
    found = content.get('state_dict', content.get('model', content))  # as torchvision, Swin and MMEngine write them
    state_dict = {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}
    name = first_filters(state_dict, prefix)
    if name is None:
        raise ConfigError(f'the start weights {path} must hold filters to be made for {bands} bands; there are none.')
    old = state_dict[name].shape[1]
    if old == bands:
        return path, f'{path} is for {bands} bands already.'
    state_dict[name] = fit_bands(state_dict[name], bands)
    out = folder / f'{path.stem}_{bands}_bands.pth'
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as temporary:
        torch.save(dict(meta={}, state_dict=state_dict), temporary)
    return out, f'Bands: {name} of {path} from {old} to {bands} input bands.'


def _local_file(source: str) -> Path:
    if urlparse(source).scheme in ('http', 'https'):
        return _download(source)
    for path in (Path(source), REPOSITORY / source):
        if path.is_file():
            return path
    raise ConfigError(f'the start weights {source} do not exist. {WITHOUT}')


def _download(url: str) -> Path:
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(urlparse(url).path).name)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    hash_prefix = path.stem.rsplit('-', 1)[-1]
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix)
    except (URLError, OSError, RuntimeError) as error:
        reason = getattr(error, 'reason', error)
        raise EnvironmentFailure(
            f'cannot fetch the start weights {url} ({reason}). Put the file at {path}. {WITHOUT}'
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
    return path


def read_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint into the CPU's memory.

    Returns:
        The checkpoint, with `state_dict` and `meta` (empty where the file has none).

    Raises:
        ConfigError: If the file is missing, damaged, holds no weights or would have to run code to be read.
    """
    checkpoint = read_plain(path)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get('state_dict'), Mapping):
        raise ConfigError(f"{path} is no MMEngine checkpoint: it has no 'state_dict'.")
    for name, value in checkpoint['state_dict'].items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ConfigError(f'{path} must hold tensors by name in state_dict; {name!r} is a {type(value).__name__}.')
    meta = checkpoint.get('meta')
    meta = dict(meta) if isinstance(meta, Mapping) else {}
    if not isinstance(meta.get('dataset_meta', {}), Mapping):
        del meta['dataset_meta']
    return {**checkpoint, 'meta': meta}


def misfits(model: torch.nn.Module, state_dict: Mapping[str, torch.Tensor]) -> list[str]:
    """List, in words, every tensor of a model that a checkpoint does not fill, and every one it has no place for."""
    wanted = _tensors_of(model)
    lines = []
    for name, tensor in wanted.items():
        if name not in state_dict:
            lines.append(f'{name} is missing')
        elif state_dict[name].shape != tensor.shape:
            lines.append(f'{name} is {tuple(state_dict[name].shape)}, the model has {tuple(tensor.shape)}')
    return lines + [f'{name} has no place in the model' for name in state_dict if name not in wanted]


def fit_start(runner: Runner) -> list[str]:
    """Make the weights in `load_from` fit the runner's model while MMEngine loads them, and say how much they fill.

    Other classes, queries and input bands are made to fit (see `weights.surgery`); what fits in no way stays random.

    Returns:
        Lines for the log.

    Raises:
        ConfigError: If the file cannot be read, or fits nothing.
    """
    classes = (runner.cfg.get('metainfo') or {}).get('classes')
    lines = describe_start(runner.model, runner.cfg.load_from, classes)
    if len(lines) > 1:
        runner.register_hook(FitWeights(classes))
    return lines


class FitWeights(Hook):
    """Fits a checkpoint to the model before MMEngine loads it, and before any other hook (EMA) copies it."""

    priority = 'VERY_HIGH'

    def __init__(self, classes: Sequence[str] | None) -> None:
        self.classes = classes

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Replace the weights that were read by those that fit; the same every time, whatever the rank."""
        checkpoint['state_dict'] = _fitted(runner.model, checkpoint, self.classes)[0]


def _fitted(
    model: torch.nn.Module, checkpoint: Mapping, classes: Sequence[str] | None
) -> tuple[dict[str, torch.Tensor], list[str]]:
    old = ((checkpoint.get('meta') or {}).get('dataset_meta') or {}).get('classes')
    return fit(checkpoint['state_dict'], _tensors_of(model), old, classes)


def describe_start(model: torch.nn.Module, path: str | Path, classes: Sequence[str] | None = None) -> list[str]:
    """Say what is made to fit, and how much of a model its start weights fill; MMEngine prints only what does not fit.

    Args:
        model: As built.
        path: Of the checkpoint.
        classes: Names of the model's classes, None where unknown.

    Returns:
        One line for each thing made to fit, and a last one with the count.

    Raises:
        ConfigError: If the file cannot be read, or fits nothing.
    """
    state_dict, lines = _fitted(model, read_checkpoint(path), classes)
    wanted = {name: tensor for name, tensor in _tensors_of(model).items() if not name.endswith(COMPUTED)}
    empty = [
        name for name, tensor in wanted.items() if name not in state_dict or state_dict[name].shape != tensor.shape
    ]
    if len(empty) == len(wanted):
        raise ConfigError(f'the start weights {path} fit no tensor of the model. {WITHOUT}')
    names = ', '.join(empty[:4]) + (f' and {len(empty) - 4} more' if len(empty) > 4 else '')
    filled = f'Start weights fill {len(wanted) - len(empty)} of {len(wanted)} tensors; random: {names or "none"}.'
    return [*lines, filled]


def _tensors_of(model: torch.nn.Module) -> Mapping[str, torch.Tensor]:
    """Tensors under the names that checkpoints use, without the wrapper of distributed training."""
    return (model.module if is_model_wrapper(model) else model).state_dict()


def require_fit(model: torch.nn.Module, checkpoint: dict, path: str | Path) -> None:
    """Refuse a checkpoint of another model: MMEngine would load what fits and leave the rest random.

    Raises:
        ConfigError: If a single tensor is missing, left over or of another shape.
    """
    lines = misfits(model, checkpoint['state_dict'])
    if lines:
        more = f' and {len(lines) - 1} more' if len(lines) > 1 else ''
        raise ConfigError(f'the checkpoint {path} is of another model than the config: {lines[0]}{more}.')

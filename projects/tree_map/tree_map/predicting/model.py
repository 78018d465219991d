"""From a config and a checkpoint to a network that is ready. The one file of the room that knows room 2.

The two are read as `tools/test.py` reads them, and refused for the same reasons.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import Config, DictAction
from mmengine.model.utils import revert_sync_batchnorm
from mmengine.registry import init_default_scope

from data_prep.errors import DataError
from data_prep.imagery.rasters import sha256
from fallen_trees.amp import amp_dtype
from fallen_trees.checkpoint_reader import trusting
from fallen_trees.config_keys import check_keys, merge_options
from fallen_trees.config_nodes import datasets_in
from fallen_trees.derive.config import derive, find_data
from fallen_trees.derive.layouts import recognise
from fallen_trees.errors import ConfigError, EnvironmentFailure
from fallen_trees.launch import read_config
from fallen_trees.resume.checkpoint_file import commit, read_manifest
from fallen_trees.scoring.coco_f1_metric import KEY
from fallen_trees.start_weights import read_checkpoint, require_fit
from tree_map.predicting.network import Model
from tree_map.tuning.stored import TUNED_KEY, SceneSettings, read_settings

SCORE_THR = 0.3  # where neither the user nor the checkpoint says one; MMDetection draws from there
CROPPING_HEAD = 'BlockwiseFusionHead'
OF_THE_FILE = ('file', 'sha256', 'bytes', 'or_sha256')  # in a manifest


def load_model(
    config: str | Path,
    checkpoint: str | Path,
    *,
    device: str | None = None,
    amp: bool = False,
    score_thr: float | None = None,
    cfg_options: Mapping[str, object] | None = None,
    trust_checkpoint: bool = False,
) -> Model:
    """Load a config and a checkpoint that fits it.

    Args:
        config: File.
        checkpoint: File.
        device: Such as 'cuda:0'; None takes a GPU where there is one.
        amp: Run in half precision.
        score_thr: None takes what validation chose.
        cfg_options: Settings of the config to override, by dotted key.
        trust_checkpoint: Read a checkpoint that holds more than weights.

    Raises:
        DataError: If one of the two cannot be used, or they do not belong together.
        OSError: If the device fails.
    """
    with _as_data_errors(), trusting(trust_checkpoint):
        cfg = read_config(str(config))
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        merge_options(cfg, cfg_options)
        check_keys(cfg)
        content = read_checkpoint(checkpoint)
        classes = _classes(cfg, content, checkpoint)
        derive(cfg, (), classes)
        tuned = read_settings(content['meta'].get(TUNED_KEY), checkpoint)
        chosen, note = _chosen(content, tuned, score_thr)
        threshold = chosen if score_thr is None else score_thr
        network = _build(cfg, content, checkpoint, threshold, device)
        tiles = (content['meta'].get('dataset_meta') or {}).get('tiles')
        return Model(
            network=network,
            cfg=cfg,
            classes=classes,
            palette=[tuple(colour) for colour in cfg.metainfo.palette],
            score_thr=threshold,
            bands=len((cfg.model.get('data_preprocessor') or {}).get('mean') or (0, 0, 0)),
            tiles=dict(tiles) if tiles else None,
            sha256=sha256(Path(checkpoint).expanduser()),
            chosen_thr=chosen,
            tuned=tuned,
            amp=amp_dtype(next(network.parameters()).device) if amp else None,
            notes=[note] if score_thr is None or tuned else [],
        )


@contextmanager
def _as_data_errors() -> Iterator[None]:
    """Give the errors of room 2 this room's types."""
    try:
        yield
    except EnvironmentFailure as error:
        raise OSError(str(error)) from error
    except (ConfigError, FileNotFoundError) as error:
        raise DataError(str(error)) from error


def _classes(cfg: Config, content: dict, checkpoint: str | Path) -> tuple[str, ...]:
    """Names of the classes, which config and checkpoint must agree on where both say them."""
    meta = content['meta']
    trained = (meta.get('dataset_meta') or {}).get('classes') or meta.get('CLASSES')
    stated = (cfg.get('metainfo') or {}).get('classes')
    stated = stated or (cfg.get('test_dataloader', {}).get('dataset', {}).get('metainfo') or {}).get('classes')
    if trained and stated and tuple(trained) != tuple(stated):
        raise DataError(
            f'the checkpoint {checkpoint} was trained for the classes {list(trained)}, the config states '
            f'{list(stated)}; pass the config that it was trained with'
        )
    count = _class_count(cfg.model)
    names = tuple(trained or stated or (f'class_{number}' for number in range(1, (count or 1) + 1)))
    if count is not None and count != len(names):
        raise DataError(
            f'the checkpoint {checkpoint} was trained for {len(names)} classes ({", ".join(names[:5])}), the model of '
            f'the config has {count}; pass the config that it was trained with'
        )
    return names


def _class_count(node: object) -> int | None:
    """The number of classes that a model's config states, of the first head that states one."""
    if isinstance(node, Mapping):
        own = [node.get(key) for key in ('num_things_classes', 'num_classes') if isinstance(node.get(key), int)]
        return own[0] if own else next(filter(None, map(_class_count, node.values())), None)
    if isinstance(node, list | tuple):
        return next(filter(None, map(_class_count, node)), None)
    return None


def _chosen(content: dict, tuned: SceneSettings | None, asked: float | None) -> tuple[float, str]:
    """The threshold that a checkpoint names, and a line about it."""
    if tuned is not None:
        return tuned.score_thr, tuned.told(asked)
    hub = content.get('message_hub')
    chosen = ((hub or {}).get('runtime_info') or {}).get(KEY) if isinstance(hub, Mapping) else None
    if chosen is None:
        return SCORE_THR, f'Score threshold {SCORE_THR}: the checkpoint names none; --score-thr sets another.'
    return float(chosen), f'Score threshold {chosen:.3f}, chosen on the validation scenes.'


def _build(cfg: Config, content: dict, checkpoint: str | Path, threshold: float, device: str | None) -> torch.nn.Module:
    if (cfg.model.get('panoptic_fusion_head') or {}).get('type') == CROPPING_HEAD:
        cfg.model.test_cfg.update(mask_format='crop', score_thr=threshold)
    try:
        network = revert_sync_batchnorm(MODELS.build(cfg.model))
    except (TypeError, KeyError) as error:
        raise ConfigError(f'{cfg.filename}: {" ".join(str(error).split())}') from error
    require_fit(network, content, checkpoint)
    network.load_state_dict(content['state_dict'])
    try:
        return network.to(device or ('cuda' if torch.cuda.is_available() else 'cpu')).eval()
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise DataError(f'--device {device} cannot be used: {str(error).splitlines()[0]}') from error


def store_settings(checkpoint: Path, settings: SceneSettings, out: Path, *, trust_checkpoint: bool = False) -> None:
    """Write a checkpoint once more, tuned: nothing but its `meta` changes, and the manifest beside it fits again.

    A checkpoint that is not of plain types alone comes out as it was read: without its log histories and configs.

    Args:
        checkpoint: That was tuned.
        settings: What it was tuned to.
        out: Where the tuned one goes; may be the checkpoint itself.
        trust_checkpoint: Read a checkpoint that holds more than weights.

    Raises:
        DataError: If it cannot be read.
        OSError: If the disk is full. The old file is untouched.
    """
    with _as_data_errors(), trusting(trust_checkpoint):
        content = read_checkpoint(checkpoint)
        content['meta'][TUNED_KEY] = settings.as_plain()
        facts = {key: value for key, value in (read_manifest(checkpoint) or {}).items() if key not in OF_THE_FILE}
        commit(out, lambda path: torch.save(content, path), facts)


def annotation_files(cfg: Config) -> dict[str, Path | None]:
    """COCO files that a config's loaders read, by split; None where there is none, or it is not there."""
    files: dict[str, Path | None] = {}
    for split in ('train', 'val', 'test'):
        node = next(datasets_in(cfg.get(f'{split}_dataloader')), {})
        root = find_data(node.get('data_root') or cfg.get('data_root') or '.')
        path = root / (node.get('ann_file') or _found_by_layout(root, split) or '')
        files[split] = path if path.is_file() else None
    return files


def _found_by_layout(root: Path, split: str) -> str | None:
    """The annotation file that a config leaves open."""
    try:
        found = recognise(root).find(root, split)
    except ConfigError:
        return None
    return found[0] if found else None


def dict_of(options: Sequence[str] | None) -> dict[str, object] | None:
    """`key=value` texts as MMEngine reads them on its command lines."""
    if not options:
        return None
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(['--cfg-options', *options]).cfg_options

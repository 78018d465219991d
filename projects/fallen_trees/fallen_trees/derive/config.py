"""Values that follow from others are None in the configs and filled in here, in one place, when the run is known.

data_root                       -> where each loader reads, and the file its evaluator scores against
layout of the data              -> annotation files and folders of images that are None (`layouts`)
classes of the training file    -> metainfo, class counts of heads (things and stuff), class weights, colours
tiles of the training file      -> metainfo, and so every checkpoint: size, GSD, bands
images in shards                -> where pipelines read them (`packed_images`)
augment=False                   -> the pipeline `plain_pipeline` for training
image_size                      -> resize and crop of every pipeline
epochs                          -> train_cfg.max_iters, and intervals of validations and checkpoints (`epochs`)
train_cfg.max_iters             -> LR milestones, begins and ends; momentum of averaged weights
data set of a pipeline          -> tiles that PasteObjects takes from
stages of what is trained       -> DistributedDataParallel looks for weights without a gradient
queries, or COCO's limit        -> detections kept per image
num_workers=0                   -> persistent_workers=False
"""

import copy
from pathlib import Path

from mmengine.config import Config, ConfigDict

from fallen_trees.annotations.classes import classes_in, read_coco, require_classes, require_images, require_instances
from fallen_trees.annotations.map_sets import colours_of, require_maps, things_of
from fallen_trees.annotations.tile_facts import tile_facts
from fallen_trees.config_nodes import datasets_in, dicts_in
from fallen_trees.derive.epochs import fill_in_epochs
from fallen_trees.derive.layouts import fill_in_layout
from fallen_trees.derive.model_classes import counts_stuff, fill_in_model
from fallen_trees.errors import ConfigError
from fallen_trees.loading.packed_images import is_packed, read_packed, require_packed

REPOSITORY = Path(__file__).resolve().parents[4]
EMA_HORIZON = 0.05  # share of the run over which weights are averaged


def derive(cfg: Config, splits: tuple[str, ...], classes: tuple[str, ...] | None = None) -> list[str]:
    """Fill in, in place, every value of a config that follows from another one.

    What a config states itself stays as stated.

    Args:
        cfg: A config of this repository, options already merged.
        splits: The loaders that will run, out of 'train', 'val' and 'test'. Only their files are read.
        classes: What a checkpoint was trained for; None reads them from the training annotations.

    Returns:
        Lines for the log.

    Raises:
        ConfigError: If files are missing or the classes of config, files and checkpoint disagree.
    """
    _derive_augmentation(cfg)
    notes = _derive_data(cfg, splits, classes)
    _derive_sizes(cfg)
    _derive_workers(cfg, splits)
    if 'train' in splits:
        _derive_schedule(cfg)
        _derive_hooks(cfg)
    return notes


def _derive_data(cfg: Config, splits: tuple[str, ...], classes: tuple[str, ...] | None) -> list[str]:
    notes = fill_in_layout(cfg, _roots(cfg), splits)
    files: dict[str, tuple[Path, dict]] = {}
    for split in splits:
        for dataset in datasets_in(cfg.get(f'{split}_dataloader')):
            dataset.data_root = str(find_data(dataset.get('data_root') or cfg.get('data_root') or '.'))
            ann_file = Path(dataset.data_root, dataset.ann_file)
            coco = read_coco(ann_file)
            folder = Path(dataset.data_root, dataset.data_prefix.img)
            if is_packed(folder):
                notes.append(require_packed(coco, folder, ann_file))
                read_packed(cfg, dataset)
            elif not _reads_scenes(dataset):
                require_images(coco, folder, ann_file)
            require_maps(coco, dataset, ann_file)
            files[split] = (ann_file, coco)
        evaluator = cfg.get(f'{split}_evaluator')
        if evaluator is not None and 'ann_file' in evaluator and evaluator.ann_file is None:
            evaluator.ann_file = str(files[split][0])
    metainfo = cfg.get('metainfo') or ConfigDict()
    stated = metainfo.get('classes')
    if classes and stated and tuple(classes) != tuple(stated):
        raise ConfigError(
            f'the checkpoint was trained for the classes {list(classes)}, the config states {list(stated)}; pass the '
            'config that it was trained with.'
        )
    whose = 'the checkpoint does not fit the data: ' if classes and not stated else ''
    classes = classes or stated
    if classes is None:
        ann_file, coco = files['train'] if 'train' in files else next(iter(files.values()))
        classes, found = classes_in(coco, ann_file)
        notes += [*found, f'Classes, from {ann_file}: {", ".join(classes)}.']
    for split, (ann_file, coco) in files.items():
        require_classes(tuple(classes), coco, ann_file, whose)
        if split == 'train':
            require_instances(tuple(classes), coco, ann_file)
            _derive_donors(cfg)
    _set_classes(cfg, tuple(classes), metainfo.get('palette'), *next(iter(files.values()), (None, {})))
    if 'train' in files:
        _set_tiles(cfg, tile_facts(files['train'][1], files['train'][0]))
        notes += fill_in_epochs(cfg, len(files['train'][1]['images']))
    return notes


def _roots(cfg: Config) -> dict[str, Path]:
    """Folder of the data set of each split."""
    roots = {}
    for split in ('train', 'val', 'test'):
        for dataset in datasets_in(cfg.get(f'{split}_dataloader')):
            roots[split] = find_data(dataset.get('data_root') or cfg.get('data_root') or '.')
    return roots


def _reads_scenes(dataset: ConfigDict) -> bool:
    """Whether its tiles have no files of their own (`data_prep tile --pixels none`)."""
    return bool(dataset.get('pipeline')) and dataset.pipeline[0].get('type') == 'LoadImageFromScene'


def find_data(folder: str) -> Path:
    """Find a data folder of a config: as given from here, or else from the repository's root."""
    here = Path(folder)
    return here if here.exists() or here.is_absolute() else REPOSITORY / here


def _set_classes(
    cfg: Config, classes: tuple[str, ...], palette: list | None, ann_file: Path | None, coco: dict
) -> None:
    palette = palette or (colours_of(coco, classes) if coco else None) or [(230, 159, 0)]
    metainfo = dict(classes=classes, palette=[tuple(palette[i % len(palette)]) for i in range(len(classes))])
    things = None
    if coco and any(counts_stuff(node) for node in dicts_in(cfg.model)):
        things = things_of(coco, classes, ann_file)
        metainfo |= dict(thing_classes=things, stuff_classes=classes[len(things) :])
    cfg.metainfo = metainfo
    for split in ('train', 'val', 'test'):
        for dataset in datasets_in(cfg.get(f'{split}_dataloader')):
            dataset.setdefault('metainfo', ConfigDict(metainfo))
    fill_in_model(cfg.model, len(classes), None if things is None else len(things))


def _set_tiles(cfg: Config, facts: dict | None) -> None:
    """Have checkpoints say how the tiles they were trained on were cut; mapping a scene goes by it."""
    for dataset in datasets_in(cfg.get('train_dataloader')) if facts else ():
        dataset.metainfo.setdefault('tiles', facts)


def _derive_augmentation(cfg: Config) -> None:
    """Train on images as they are, if the config says so."""
    if cfg.get('augment', True):
        return
    if cfg.get('plain_pipeline') is None:
        raise ConfigError(f'augment=False needs plain_pipeline in {cfg.filename}: the steps that take its place.')
    for dataset in datasets_in(cfg.get('train_dataloader')):
        dataset.pipeline = copy.deepcopy(cfg.plain_pipeline)


def _derive_donors(cfg: Config) -> None:
    """Have objects pasted out of the training set itself, loaded by the steps before the one that pastes."""
    for dataset in list(datasets_in(cfg.train_dataloader)):
        for number, step in enumerate(dataset.get('pipeline') or []):
            if step.get('donors', 0) is None:
                donors = copy.deepcopy(dataset)
                donors.pipeline = donors.pipeline[:number]
                step['donors'] = donors


def _derive_workers(cfg: Config, splits: tuple[str, ...]) -> None:
    """Workers that are none cannot persist: torch refuses `num_workers=0` otherwise."""
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        if loader is not None and not loader.get('num_workers'):
            loader.persistent_workers = False


def _derive_sizes(cfg: Config) -> None:
    for node in dicts_in([_pipelines(cfg.get(f'{split}_dataloader')) for split in ('train', 'val', 'test')]):
        for key in ('scale', 'crop_size'):
            if key in node and node[key] is None:
                node[key] = tuple(cfg.image_size)


def _derive_schedule(cfg: Config) -> None:
    max_iters = cfg.train_cfg.get('max_iters')
    schedulers = cfg.get('param_scheduler') or []
    open_ended = [node.type for node in schedulers if node.get('end', 0) is None]
    if open_ended and max_iters is None:
        raise ConfigError(
            f'the end of {" and ".join(open_ended)} follows from train_cfg.max_iters, which is not set; '
            'set it, or state begin, end and milestones of each param_scheduler in epochs.'
        )
    warm = 0
    for scheduler in schedulers:
        if scheduler.type == 'LinearLR' and scheduler.get('end', 0) is None:
            warmup = cfg.lr_warmup_updates * cfg.optim_wrapper.get('accumulative_counts', 1)
            # MMEngine's ramp of one iteration never rises
            warm = scheduler.end = max(2, min(warmup, max_iters // 10))
        elif scheduler.get('end', 0) is None:
            scheduler.end = max_iters
        if scheduler.type == 'MultiStepLR' and scheduler.get('milestones', 0) is None:
            scheduler.milestones = [round(share * max_iters) for share in cfg.lr_milestones]
        if scheduler.get('begin', 0) is None:  # what falls from its first iteration on waits for the warm-up
            scheduler.begin = warm


def _derive_hooks(cfg: Config) -> None:
    """Average weights over a share of the run, `ema_horizon`: MMEngine's 5000 iterations are all of a short one."""
    for hook in cfg.get('custom_hooks') or []:
        if hook.get('type') == 'EMAHook' and (hook.get('momentum', 0) is None or hook.get('gamma', 0) is None):
            share, max_iters = cfg.get('ema_horizon', EMA_HORIZON), cfg.train_cfg.get('max_iters')
            if max_iters is None:
                raise ConfigError('momentum of EMAHook follows from train_cfg.max_iters, which is not set; state it.')
            if hook.get('momentum', 0) is None:
                hook.momentum = 1 / max(2, share * max_iters)
            if hook.get('gamma', 0) is None:  # MomentumAnnealingEMA: the same share of what has been run so far
                hook.gamma = max(1, 1 / share - 1)
        if hook.get('type') == 'StagedUnfreezeHook':
            cfg.setdefault('find_unused_parameters', True)


def _pipelines(loader: object) -> list:
    return [dataset.get('pipeline', []) for dataset in dicts_in(loader) if 'pipeline' in dataset]

"""Values that follow from others are None in the configs and filled in here, in one place, when the run is known.

data_root                       -> where each loader reads, and the file its evaluator scores against
classes of the training file    -> metainfo, class counts of heads, class weights
tiles of the training file      -> metainfo, and so every checkpoint: size, GSD, bands
image_size                      -> resize and crop of every pipeline
train_cfg.max_iters             -> LR milestones and ends
queries                         -> detections kept per image
num_workers=0                   -> persistent_workers=False
"""

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, ConfigDict

from fallen_trees.classes import classes_in, read_coco, require_classes, require_images, require_instances
from fallen_trees.errors import ConfigError
from fallen_trees.tile_facts import tile_facts

REPOSITORY = Path(__file__).resolve().parents[3]
NO_OBJECT_WEIGHT = 0.1


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
    notes = _derive_data(cfg, splits, classes)
    _derive_sizes(cfg)
    _derive_workers(cfg, splits)
    if 'train' in splits:
        _derive_schedule(cfg)
    return notes


def _derive_data(cfg: Config, splits: tuple[str, ...], classes: tuple[str, ...] | None) -> list[str]:
    notes: list[str] = []
    files: dict[str, tuple[Path, dict]] = {}
    for split in splits:
        for dataset in _datasets(cfg.get(f'{split}_dataloader')):
            dataset.data_root = str(find_data(dataset.get('data_root') or cfg.get('data_root') or '.'))
            ann_file = Path(dataset.data_root, dataset.ann_file)
            coco = read_coco(ann_file)
            if not _reads_scenes(dataset):
                require_images(coco, Path(dataset.data_root, dataset.data_prefix.img), ann_file)
            files[split] = (ann_file, coco)
        evaluator = cfg.get(f'{split}_evaluator')
        if evaluator is not None and 'ann_file' in evaluator and evaluator.ann_file is None:
            evaluator.ann_file = str(files[split][0])
    metainfo = cfg.get('metainfo') or ConfigDict()
    classes = classes or metainfo.get('classes')
    if classes is None:
        ann_file, coco = files['train'] if 'train' in files else next(iter(files.values()))
        classes, notes = classes_in(coco, ann_file)
        notes.append(f'Classes, from {ann_file}: {", ".join(classes)}.')
    for split, (ann_file, coco) in files.items():
        require_classes(tuple(classes), coco, ann_file)
        if split == 'train':
            require_instances(tuple(classes), coco, ann_file)
    _set_classes(cfg, tuple(classes), metainfo.get('palette'))
    if 'train' in files:
        _set_tiles(cfg, tile_facts(files['train'][1], files['train'][0]))
    return notes


def _reads_scenes(dataset: ConfigDict) -> bool:
    """Whether its tiles have no files of their own (`data_prep tile --pixels none`)."""
    return bool(dataset.get('pipeline')) and dataset.pipeline[0].get('type') == 'LoadImageFromScene'


def find_data(folder: str) -> Path:
    """Find a data folder of a config: as given from here, or else from the repository's root."""
    here = Path(folder)
    return here if here.exists() or here.is_absolute() else REPOSITORY / here


def _set_classes(cfg: Config, classes: tuple[str, ...], palette: list | None) -> None:
    palette = palette or [(230, 159, 0)]
    metainfo = dict(classes=classes, palette=[tuple(palette[i % len(palette)]) for i in range(len(classes))])
    cfg.metainfo = metainfo
    for split in ('train', 'val', 'test'):
        for dataset in _datasets(cfg.get(f'{split}_dataloader')):
            dataset.setdefault('metainfo', ConfigDict(metainfo))
    for node in _dicts(cfg.model):
        for key in ('num_things_classes', 'num_classes'):
            if key in node and node[key] is None:
                node[key] = len(classes)
        if 'class_weight' in node and node.class_weight is None:
            node.class_weight = [1.0] * len(classes) + [NO_OBJECT_WEIGHT]
    _derive_limit(cfg, len(classes))


def _set_tiles(cfg: Config, facts: dict | None) -> None:
    """Have checkpoints say how the tiles they were trained on were cut; mapping a scene goes by it."""
    for dataset in _datasets(cfg.get('train_dataloader')) if facts else ():
        dataset.metainfo.setdefault('tiles', facts)


def _derive_limit(cfg: Config, num_classes: int) -> None:
    """Keep at most one detection per query; more than queries x classes would end the first validation in an error."""
    head, test_cfg = cfg.model.get('panoptic_head'), cfg.model.get('test_cfg')
    if head is None or test_cfg is None:
        return
    if test_cfg.get('max_per_image') is None:
        test_cfg.max_per_image = head.num_queries
    if test_cfg.max_per_image > head.num_queries * num_classes:
        raise ConfigError(
            f'model.test_cfg.max_per_image={test_cfg.max_per_image} asks for more detections than '
            f'{head.num_queries} queries x {num_classes} classes can give. Lower it, or leave it None.'
        )


def _derive_workers(cfg: Config, splits: tuple[str, ...]) -> None:
    """Workers that are none cannot persist: torch refuses `num_workers=0` otherwise."""
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        if loader is not None and not loader.get('num_workers'):
            loader.persistent_workers = False


def _derive_sizes(cfg: Config) -> None:
    for node in _dicts([_pipelines(cfg.get(f'{split}_dataloader')) for split in ('train', 'val', 'test')]):
        for key in ('scale', 'crop_size'):
            if key in node and node[key] is None:
                node[key] = tuple(cfg.image_size)


def _derive_schedule(cfg: Config) -> None:
    max_iters = cfg.train_cfg.get('max_iters')
    open_ended = [node.type for node in cfg.get('param_scheduler') or [] if node.get('end', 0) is None]
    if open_ended and max_iters is None:
        raise ConfigError(
            f'the end of {" and ".join(open_ended)} follows from train_cfg.max_iters, which is not set; '
            'set it, or state begin, end and milestones of each param_scheduler in epochs.'
        )
    for scheduler in cfg.get('param_scheduler') or []:
        if scheduler.type == 'LinearLR' and scheduler.get('end', 0) is None:
            warmup = cfg.lr_warmup_updates * cfg.optim_wrapper.get('accumulative_counts', 1)
            # MMEngine's ramp of one iteration never rises
            scheduler.end = max(2, min(warmup, max_iters // 10))
        if scheduler.type == 'MultiStepLR' and scheduler.get('milestones', 0) is None:
            scheduler.end = max_iters
            scheduler.milestones = [round(share * max_iters) for share in cfg.lr_milestones]


def _datasets(node: object) -> Iterator[ConfigDict]:
    """Every data set of a loader that reads an annotation file, wrapped ones included."""
    return (found for found in _dicts(node) if 'ann_file' in found)


def _pipelines(loader: object) -> list:
    return [dataset.get('pipeline', []) for dataset in _dicts(loader) if 'pipeline' in dataset]


def _dicts(node: object) -> Iterator[ConfigDict]:
    """Every dict inside nested dicts and lists, outermost first."""
    if isinstance(node, dict):
        yield node
    items = node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ()
    for item in items:
        yield from _dicts(item)

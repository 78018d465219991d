"""Faults to plant, each a function of a copy of the drawn data set and a config.

The rows here are those of `docs/why_ap_was_zero.md`; `test_faults` plants each and holds it against what is caught.
"""

import copy
import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from fallen_trees.checks.recipe.model import build_model
from fallen_trees.derive.config import derive

Plant = Callable[[Path, Config], None]
SPLITS = ('train', 'val', 'test')
SGD = dict(type='SGD', lr=1e-4, momentum=0.9, weight_decay=0.05)
WARM_UP = dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=40)


@dataclass(frozen=True)
class Fault:
    """One row of the table.

    Attributes:
        name: What is wrong.
        plant: Puts it into annotations, images or config.
        says: Part of the message of the first detector that names it.
        doctor: Its checks with a warning or an error; `config` alone is a refusal before anything runs.
        check: Codes of `python -m data_prep check` with a warning or an error.
        trained: Rule of the guard, or verdict of the smoke test, on a run that starts with it all the same.
    """

    name: str
    plant: Plant
    says: str
    doctor: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    trained: tuple[str, ...] = ()

    @property
    def first(self) -> str:
        """Where it is caught first; a run refuses by itself what it cannot be filled in with."""
        if self.doctor == ('config',):
            return 'refused at start'
        return 'doctor' if self.doctor else 'check' if self.check else 'guard'

    def row(self) -> str:
        """As Markdown."""
        cells = (', '.join(f'`{name}`' for name in names) for names in (self.doctor, self.check, self.trained))
        return f'| {self.name} | {self.first} | {" | ".join(cells)} | {self.says} |'


def options(**changes: object) -> Plant:
    """Change keys of the config; `__` stands for a dot."""
    return lambda data, cfg: cfg.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})


def files(change: Callable[[dict], None], *splits: str) -> Plant:
    """Change annotation files, all or those of some splits."""

    def plant(data: Path, cfg: Config) -> None:
        for split in splits or SPLITS:
            path = data / f'annotations/instances_{split}.json'
            coco = json.loads(path.read_text())
            change(coco)
            path.write_text(json.dumps(coco))

    return plant


def images(change: Callable[[np.ndarray], np.ndarray]) -> Plant:
    """Change the pixels of all tiles."""

    def plant(data: Path, cfg: Config) -> None:
        source = (data / 'images').resolve()
        (data / 'images').unlink()
        for path in source.glob('*/*.png'):
            target = data / 'images' / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), change(cv2.imread(str(path))))

    return plant


def renamed_in_the_data_set(data, cfg):
    cfg.train_dataloader.dataset.metainfo = dict(classes=('fallen tree',))


def two_classes(coco):
    coco['categories'].append(dict(coco['categories'][0], id=2, name='stump'))
    for number, annotation in enumerate(coco['annotations']):
        annotation['category_id'] = 1 + number % 2


def off_by_one(coco):
    two_classes(coco)
    for annotation in coco['annotations']:
        annotation['category_id'] -= 1


def other_order(data, cfg):
    files(two_classes)(data, cfg)
    files(lambda coco: coco['categories'].reverse(), 'val')(data, cfg)


def category_zero(coco):
    coco['categories'][0]['id'] = 0
    for annotation in coco['annotations']:
        annotation['category_id'] = 0


def xyxy(coco):
    for annotation in coco['annotations']:
        x, y, width, height = annotation['bbox']
        annotation['bbox'] = [x, y, x + width, y + height]


def moved(image):
    return cv2.warpAffine(image, np.float32([[1, 0, 2], [0, 1, 3]]), image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def tree_less(share: float) -> Plant:
    """Let training tiles without a tree be this share of all, by copies of those that there are."""

    def plant(data: Path, cfg: Config) -> None:
        source = (data / 'images').resolve()
        (data / 'images').unlink()
        shutil.copytree(source, data / 'images')

        def change(coco: dict) -> None:
            shown = {annotation['image_id'] for annotation in coco['annotations']}
            empty = [entry for entry in coco['images'] if entry['id'] not in shown]
            more = round(len(shown) * share / (1 - share)) - len(empty)
            for number, entry in zip(range(more), itertools.cycle(empty)):  # noqa: B905
                name = f'{number}_{entry["file_name"]}'
                shutil.copy(source / 'train' / entry['file_name'], data / 'images/train' / name)
                coco['images'].append(dict(entry, id=1000 + number, file_name=name))

        files(change, 'train')(data, cfg)

    return plant


def no_filter(data, cfg):
    steps = [step for step in cfg.train_pipeline if step.type != 'FilterAnnotations']
    cfg.train_dataloader.dataset.pipeline = steps


def frozen(data, cfg):
    still = dict(lr_mult=0.0)
    cfg.optim_wrapper.paramwise_cfg = dict(custom_keys=dict(backbone=still, panoptic_head=still))


def weights(data: Path, cfg: Config, state_dict: dict) -> None:
    cfg.load_from = str(data / 'start.pth')
    torch.save(dict(meta={}, state_dict=state_dict), cfg.load_from)


def other_model(data, cfg):
    weights(data, cfg, MODELS.build(dict(type='MobileNetV2')).state_dict())


def own_weights(cfg: Config) -> dict[str, torch.Tensor]:
    derived = copy.deepcopy(cfg)
    derive(derived, ('train',))
    return build_model(derived).state_dict()


def half_a_backbone(data, cfg):
    late = ('backbone.layer3', 'backbone.layer4')
    weights(data, cfg, {name: value for name, value in own_weights(cfg).items() if not name.startswith(late)})


def cut_short(data, cfg):
    steps = dict(type='MultiStepLR', by_epoch=False, begin=0, end=2300, milestones=[1610, 2070], gamma=0.1)
    cfg.param_scheduler = [WARM_UP, steps]
    cfg.train_cfg.update(max_iters=1200, val_interval=300)
    cfg.default_hooks.checkpoint.interval = 300


FAULTS = (
    Fault('class name differs (config)', options(metainfo__classes=('fallen tree',)), "is 'fallen_tree' meant?",
          ('config',)),
    Fault('class name differs (one data set: 0 instances)', renamed_in_the_data_set, 'never reach the pipeline',
          ('lost-objects', 'tree-less-tiles'), trained=('guard: no-objects',)),
    Fault('no annotation of the class', files(lambda coco: coco.update(annotations=[]), 'train'),
          'a run on it would learn to see nothing', ('config',)),
    Fault('class ids off by one', files(off_by_one), 'they are off by one', ('categories',),
          ('annotation-category-unknown',)),
    Fault('classes in another order in one split', other_order, 'orders the classes', ('config',)),
    Fault('category id 0', files(category_zero), 'many readers take 0 for background', (), ('category-id-zero',)),
    Fault('boxes x1, y1, x2, y2', files(xyxy), 'read as x1, y1, x2, y2', ('boxes',), ('bbox-xyxy',)),
    Fault('masks 3.6 px beside their objects', images(moved), 'outlines of 36 objects fit best', ('label-shift',)),
    Fault('red and blue swapped (config)', options(model__data_preprocessor__bgr_to_rgb=False),
          'must be True for a mean that begins with red', ('channel-order',)),
    Fault('red and blue swapped (files)', images(lambda image: image[..., ::-1]), 'exchanged in the files',
          ('channel-order',)),
    Fault('SGD 1e-4 under clip 0.01', options(optim_wrapper__optimizer=dict(_delete_=True, **SGD)),
          'next to nothing is learnt', ('learning-rate',), trained=('guard: nothing-moves', 'smoke: does not learn')),
    Fault('learning rate x 100', options(optim_wrapper__optimizer__lr=8e-2), 'it may diverge', ('learning-rate',),
          trained=('smoke: does not learn',)),
    Fault('learning rate never falls', lambda data, cfg: cfg.update(param_scheduler=[WARM_UP]),
          'the learning rate never falls', ('lr-schedule',)),
    Fault('schedule of a longer run', cut_short, 'but the run ends at 1200', ('lr-schedule',)),
    Fault('90 % of the tiles without a tree', tree_less(0.9), 'most steps teach nothing',
          ('tree-less-tiles',)),
    Fault('everything frozen', frozen, 'no parameter can change', ('trainable-share',),
          trained=('guard: nothing-moves', 'smoke: does not learn')),
    Fault('start weights of another model', other_model, 'fills 0% of the backbone', ('start-weights',)),
    Fault('start weights for half of the backbone', half_a_backbone, 'the rest would start random',
          ('start-weights',)),
    Fault('validation without an object', files(lambda coco: coco.update(annotations=[]), 'val'),
          'every AP will be -1', ('validation-set',)),
    Fault('validation without an image', files(lambda coco: coco.update(annotations=[], images=[]), 'val'),
          'lists no image', ('config',), ('file-unlisted',)),
    Fault('fewer queries than trees', options(model__panoptic_head__num_queries=2), 'the model has 2 queries',
          ('queries',), trained=('guard: too-few-queries',)),
    Fault('max_per_image above queries x classes', options(model__test_cfg__max_per_image=26),
          'asks for more detections than', ('config',)),
    Fault('fusion head left at 80 classes', options(model__panoptic_fusion_head__num_things_classes=80),
          'num_things_classes is 80', ('config',)),
    Fault('crops that leave masks without a pixel', no_filter, 'leaves objects without a pixel',
          ('empty-masks', 'mask-filter')),
)  # fmt: skip

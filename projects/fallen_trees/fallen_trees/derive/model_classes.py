"""What a model's config leaves open about classes and detections, for any detector of MMDetection.

None means "follows from the data". A head that says nothing at all would count the 80 classes of COCO: that is refused.
"""

import inspect

from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from fallen_trees.config_nodes import dicts_in, named_dicts_in
from fallen_trees.errors import ConfigError

COUNTS = ('num_things_classes', 'num_classes')
NO_OBJECT_WEIGHT = 0.1
COCO_LIMIT = 100  # detections of an image and class that COCO's figures count


def fill_in_model(model: ConfigDict, num_classes: int, num_things: int | None = None) -> None:
    """Fill in, in place, every class count, class weight and limit of detections that is None.

    Args:
        model: Of a config. Stated values stay as stated; the doctor holds them against the data too.
        num_classes: Of the data.
        num_things: How many of them are things; a head whose `num_stuff_classes` is None counts the others as stuff.

    Raises:
        ConfigError: If a head states no count and would take another one by itself, if a head with queries states
            another one, or if the model is asked for more detections than it has queries and classes for.
    """
    for path, node in named_dicts_in(model, 'model'):
        if num_things is not None and counts_stuff(node):
            node.num_things_classes, node.num_stuff_classes = num_things, num_classes - num_things
        for key in COUNTS:
            if key in node and node[key] is None:
                node[key] = num_classes
        if num_things is None and node.get('num_things_classes', num_classes) != num_classes:
            # A fusion head left at 80 would divide each detection's number by 80: masks of other queries, no error.
            raise ConfigError(
                f'{path}.num_things_classes is {node.num_things_classes}, the number of classes is {num_classes}; '
                'leave it None.'
            )
        # Only with queries is "no object" a class of its own that needs a weight below the others'.
        loss = node.get('loss_cls')
        if 'num_things_classes' in node and isinstance(loss, dict) and loss.get('class_weight', 0) is None:
            loss['class_weight'] = [1.0] * num_classes + [NO_OBJECT_WEIGHT]
        _require_count(node, path, num_classes)
    _fill_in_limits(model, num_classes)


def counts_stuff(node: dict) -> bool:
    """Whether a head leaves open which of the classes are stuff."""
    return 'num_stuff_classes' in node and node['num_stuff_classes'] is None


def _require_count(node: ConfigDict, path: str, num_classes: int) -> None:
    kind = node.get('type')
    found = MODELS.get(kind) if isinstance(kind, str) and kind.endswith('Head') else None
    if found is None or any(key in node for key in COUNTS):
        return
    for key in COUNTS:
        count = _default(found, key)
        if count not in (None, 1, num_classes):  # 1: an RPN tells objects from ground, whatever they are
            raise ConfigError(
                f'{path} ({kind}) must count the {num_classes} classes of the data and states no {key}, so it would '
                f'count {count}; write {key}=None, which is filled in.'
            )


def _default(target: type, argument: str) -> int | None:
    """What a class takes for an argument that it is not given; None where it must be given or is unknown."""
    for base in inspect.getmro(target):
        found = inspect.signature(base.__init__).parameters.get(argument)
        if found is not None:
            return found.default if isinstance(found.default, int) else None
    return None


def _fill_in_limits(model: ConfigDict, num_classes: int) -> None:
    """Keep what queries can give, and as many as COCO counts of models without queries."""
    test_cfg, head = model.get('test_cfg') or {}, model.get('panoptic_head') or {}
    for node in dicts_in(test_cfg):
        if 'max_per_img' in node and node['max_per_img'] is None:
            node['max_per_img'] = COCO_LIMIT
    if not head.get('num_queries') or not test_cfg:
        return
    if test_cfg.get('max_per_image') is None:
        test_cfg['max_per_image'] = head['num_queries']
    if test_cfg['max_per_image'] > head['num_queries'] * num_classes:
        # It would end the first validation in an error.
        raise ConfigError(
            f'model.test_cfg.max_per_image={test_cfg["max_per_image"]} asks for more detections than '
            f'{head["num_queries"]} queries x {num_classes} classes can give. Lower it, or leave it None.'
        )

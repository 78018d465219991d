"""Whether every part of the model counts the same classes as the data, and gives instances."""

from collections.abc import Iterator

from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.subject import MAPS, Subject

COUNTS = ('num_things_classes', 'num_classes')


def class_counts(subject: Subject) -> Iterator[Finding]:
    """Check heads, fusion head and class weights: `class-counts`.

    A fusion head left at 80 classes raises nothing: it divides each detection's number by 80 and so gives all of them
    the first query's mask.
    """
    name, classes = 'class-counts', subject.cfg.metainfo.classes
    wrong = list(_wrong(subject.cfg.model, 'model', len(classes), subject.has_maps))
    for message in wrong:
        yield Finding(name, Verdict.ERROR, message, dict(classes=len(classes)))
    if not wrong:
        yield Finding(
            name, Verdict.OK, f'all parts count {len(classes)}: {", ".join(classes)}.', dict(classes=len(classes))
        )


def _wrong(node: object, path: str, count: int, with_stuff: bool) -> Iterator[str]:
    if isinstance(node, dict):
        stuff = node.get('num_stuff_classes', 0) if with_stuff else 0
        for key in COUNTS:
            if key in node and node[key] + stuff != count and _counts_classes(node):
                yield f'{path}.{key} is {node[key]}, the number of classes is {count}; leave it None.'
        weights = node.get('class_weight')
        if isinstance(weights, list | tuple) and len(weights) != count + 1:
            yield (
                f'{path}.class_weight has {len(weights)} values, and with "no object" needs {count + 1}; leave it None.'
            )
        for key, item in node.items():
            yield from _wrong(item, f'{path}.{key}', count, with_stuff)
    elif isinstance(node, list | tuple):
        for number, item in enumerate(node):
            yield from _wrong(item, f'{path}.{number}', count, with_stuff)


def _counts_classes(node: dict) -> bool:
    """Heads count the data's classes; a backbone's own number is that of its pretraining."""
    return 'Head' in str(node.get('type', ''))


def instances_out(subject: Subject) -> Iterator[Finding]:
    """Check that the model is asked for instances, as many as it can give: `instances-out`."""
    if subject.has_maps:
        yield Finding('instances-out', Verdict.OK, MAPS)
        return
    name, model, count = 'instances-out', subject.cfg.model, len(subject.cfg.metainfo.classes)
    test_cfg, wrong = model.get('test_cfg') or {}, []
    for part in ('panoptic_head', 'panoptic_fusion_head'):
        stuff = (model.get(part) or {}).get('num_stuff_classes', 0)
        if stuff:
            wrong.append(f'model.{part}.num_stuff_classes is {stuff}; instances alone need 0.')
    for key, wanted in (('panoptic_on', False), ('instance_on', True)):
        if key in test_cfg and bool(test_cfg[key]) is not wanted:
            wrong.append(f'model.test_cfg.{key} is {test_cfg[key]}; instances alone need {wanted}.')
    queries = (model.get('panoptic_head') or {}).get('num_queries')
    most = test_cfg.get('max_per_image')
    if queries and most and most > queries * count:
        wrong.append(
            f'model.test_cfg.max_per_image={most} is more than {queries} queries x {count} classes give, which ends '
            'the first validation; leave it None.'
        )
    most = most or (test_cfg.get('rcnn') or test_cfg).get('max_per_img')
    for message in wrong:
        yield Finding(name, Verdict.ERROR, message)
    if not wrong:
        yield Finding(name, Verdict.OK, f'instances, at most {most or "as many as found"} of an image.')

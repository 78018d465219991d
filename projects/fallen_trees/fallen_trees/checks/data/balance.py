"""How many tiles show no tree, how many trees a tile shows, and whether the queries suffice for them."""

from collections.abc import Iterator

import numpy as np

from fallen_trees.checks.data.tiles import tiles
from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.subject import Subject
from fallen_trees.config_nodes import dicts_in

MOST_EMPTY = 0.75
FEW_OBJECTS = 10  # in validation; a figure of merit jumps by a tenth with each of them


def check_tree_less_tiles(subject: Subject) -> Iterator[Finding]:
    """Check how often training sees a tile without a tree: `tree-less-tiles`.

    Counted as sampled: repeats of a wrapped data set count, tiles that it filters out do not. Such tiles do not harm
    but dilute: a tiny model after 160 iterations reached a segm AP of 0.92 without them, 0.78 with half of them and
    0.39 with nine in ten, and needed ten times the iterations to catch up.
    """
    train_set = subject.train_set
    counts = [_objects(train_set.get_data_info(index)) for index in range(len(train_set))]
    empty = counts.count(0)
    share = empty / max(1, len(counts))
    figures = dict(tiles=len(counts), tree_less=empty, share=round(share, 3))
    if not counts or empty == len(counts):
        message = f'none of the {len(counts)} tiles that training sees shows an object.'
        yield Finding('tree-less-tiles', Verdict.ERROR, message, figures)
    elif share > MOST_EMPTY:
        message = (
            f'{empty} of {len(counts)} training tiles ({share:.0%}) show no object, so most steps teach nothing '
            'about one: cut '
            'tiles with `data_prep tile --empty-share 0.25`, or balance them with a ClassBalancedDataset; train '
            f'{1 / (1 - share):.0f} times as long otherwise.'
        )
        yield Finding('tree-less-tiles', Verdict.WARNING, message, figures)
    else:
        message = f'{empty} of {len(counts)} training tiles ({share:.0%}) show no object.'
        yield Finding('tree-less-tiles', Verdict.OK, message, figures)


def _objects(info: dict) -> int:
    return sum(not instance.get('ignore_flag') for instance in info.get('instances', ()))


def check_queries(subject: Subject) -> Iterator[Finding]:
    """Check that a tile never shows more objects than the model has queries or may report: `queries`."""
    counts = [len(tile.annotations) for split in subject.splits for tile in tiles(subject, split)]
    counts += [len(fed.sample.gt_instances) for fed in subject.fed]
    half, most, top = (int(value) for value in np.percentile(counts, (50, 95, 100), method='higher'))
    figures: dict = dict(objects_median=half, objects_p95=most, objects_max=top)
    queries = min(
        (node['num_queries'] for node in dicts_in(subject.cfg.model) if node.get('num_queries')), default=None
    )
    limit = (subject.cfg.model.get('test_cfg') or {}).get('max_per_image')
    said = f'a tile shows {half} objects in the median, {most} at the 95th percentile and at most {top}'
    if queries is None:
        yield Finding('queries', Verdict.OK, f'{said}; the model has no queries to run out of.', figures)
        return
    figures |= dict(queries=queries, tiles_beyond=sum(count > queries for count in counts))
    if top > queries:
        message = (
            f'{said}, the model has {queries} queries: what is beyond cannot be found in '
            f'{figures["tiles_beyond"]} tiles. '
            'Cut smaller tiles, or raise model.panoptic_head.num_queries (pretrained ones are then lost).'
        )
        yield Finding('queries', Verdict.WARNING, message, figures)
    elif limit and limit < top:
        message = f'{said}, but model.test_cfg.max_per_image={limit} reports no more than that; leave it None.'
        yield Finding('queries', Verdict.WARNING, message, figures)
    else:
        yield Finding('queries', Verdict.OK, f'{said}; the model has {queries} queries.', figures)


def check_validation_set(subject: Subject) -> Iterator[Finding]:
    """Check that there is something to be measured on: `validation-set`."""
    if 'val' not in subject.splits or not subject.cfg.get('val_cfg'):
        message = 'nothing is validated, so neither a best checkpoint nor a threshold is chosen; name a val_dataloader.'
        yield Finding('validation-set', Verdict.WARNING, message)
        return
    found = tiles(subject, 'val')
    objects = sum(not a.get('iscrowd') for tile in found for a in tile.annotations)
    figures = dict(tiles=len(found), objects=objects)
    if not objects:
        message = f'{subject.ann_file("val")} shows no object on its {len(found)} tiles: every AP will be -1.'
        yield Finding('validation-set', Verdict.ERROR, message, figures)
    elif objects < FEW_OBJECTS:
        message = (
            f'validation has only {objects} objects: its figures are mostly chance. Give it more scenes or blocks.'
        )
        yield Finding('validation-set', Verdict.WARNING, message, figures)
    else:
        message = f'validation has {objects} objects on {len(found)} tiles.'
        yield Finding('validation-set', Verdict.OK, message, figures)

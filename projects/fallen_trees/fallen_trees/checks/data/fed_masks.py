"""What is left of the objects when they reach the network: lost on the way, empty, or next to nothing."""

from collections.abc import Iterator

import numpy as np

from fallen_trees.checks.data.tiles import tiles
from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.subject import MAPS, Subject

TINY_PX = 16  # of area: four pixels of a mask at stride 4
MOST_TINY = 0.1
MOST_NOT_LOADED = 0.05
MOST_CROPPED = 0.7  # the widest healthy jitter, 1.6 times, leaves 39 % of a tile's area in the crop


def check_lost_objects(subject: Subject) -> Iterator[Finding]:
    """Count objects in the file, as loaded, and as fed: `lost-objects`."""
    if subject.feeds_maps_alone:
        yield Finding('lost-objects', Verdict.OK, MAPS)
        return
    written = sum(not a.get('iscrowd') for tile in tiles(subject, 'train') for a in tile.annotations)
    train_set = subject.train_set
    infos = {}
    for index in range(len(train_set)):
        info = train_set.get_data_info(index)
        infos[info['img_id']] = _usable(info)  # repeats of a wrapped data set count once
    loaded = sum(infos.values())
    before = sum(_usable(train_set.get_data_info(int(index))) for index in subject.picked)
    after = sum(len(fed.sample.gt_instances) for fed in subject.fed)
    not_loaded, cropped = 1 - loaded / max(1, written), 1 - after / max(1, before)
    figures: dict = dict(written=written, loaded=loaded, share_not_loaded=round(not_loaded, 3))
    figures |= dict(in_samples=before, fed=after, share_lost_in_pipeline=round(cropped, 3))
    if not_loaded > MOST_NOT_LOADED:
        message = (
            f'{written - loaded} of {written} training objects never reach the pipeline: boxes outside the image '
            'or under a '
            'pixel, area 0, images left out by filter_cfg, or ids that are no category.'
        )
        verdict = Verdict.ERROR if not_loaded > 0.5 else Verdict.WARNING
        yield Finding('lost-objects', verdict, message, figures)
    if before and cropped > MOST_CROPPED:
        message = (
            f'{before - after} of {before} objects of {len(subject.fed)} samples are lost in the pipeline; look '
            'at crop_size, '
            'ratio_range and what FilterAnnotations drops.'
        )
        verdict = Verdict.ERROR if not after else Verdict.WARNING
        yield Finding('lost-objects', verdict, message, figures)
    if not_loaded <= MOST_NOT_LOADED and not (before and cropped > MOST_CROPPED):
        message = (
            f'{loaded} of {written} objects are loaded; of {before} in {len(subject.fed)} samples {after} are fed.'
        )
        yield Finding('lost-objects', Verdict.OK, message, figures)


def _usable(info: dict) -> int:
    return sum(not instance.get('ignore_flag') for instance in info.get('instances', ()))


def check_empty_masks(subject: Subject) -> Iterator[Finding]:
    """Check that every object that is fed has pixels: `empty-masks`.

    An object without one is a label that no prediction can be right about: with three on each tile, a tiny model stood
    at a segm AP of 0.00 after 40 iterations where it reached 0.23 without.
    """
    areas = np.concatenate([_areas(fed.sample.gt_instances) for fed in subject.fed] or [np.zeros(0)])
    empty, tiny = int((areas == 0).sum()), int(((areas > 0) & (areas < TINY_PX)).sum())
    figures = dict(objects=len(areas), empty=empty, tiny=tiny)
    if empty:
        message = (
            f'{empty} of {len(areas)} objects fed in {len(subject.fed)} samples have a mask without a pixel: put '
            'FilterAnnotations(by_mask=True, keep_empty=False) after the crop.'
        )
        verdict = Verdict.ERROR if empty > len(areas) / 2 else Verdict.WARNING
        yield Finding('empty-masks', verdict, message, figures)
    elif tiny > MOST_TINY * len(areas):
        message = (
            f'{tiny} of {len(areas)} objects fed have fewer than {TINY_PX} px: slivers left by crops, or tiles '
            'shown too '
            'small. Set min_gt_mask_area of FilterAnnotations, or enlarge image_size.'
        )
        yield Finding('empty-masks', Verdict.WARNING, message, figures)
    else:
        message = f'all {len(areas)} objects fed have pixels, {tiny} of them fewer than {TINY_PX}.'
        yield Finding('empty-masks', Verdict.OK, message, figures)


def _areas(instances: object) -> np.ndarray:
    masks = np.asarray(instances.masks.masks) if 'masks' in instances else np.zeros((0, 1, 1))
    return masks.reshape(len(masks), -1).sum(axis=1) if len(masks) else np.zeros(0)

"""Whether training and test see objects at one size, and training sees no object without a pixel."""

from collections.abc import Iterator, Sequence
from statistics import median

from mmcv.image import rescale_size

from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.subject import Subject
from fallen_trees.config_nodes import datasets_in
from fallen_trees.loading.load_annotations import loads_annotations

FARTHEST = 1.25  # between the middle of training's scales and test's
CUTS = ('Crop', 'Affine', 'Mosaic', 'CopyPaste', 'Rotate', 'Translate', 'Shear')


def pipeline_of(subject: Subject, split: str) -> list[dict]:
    """Transforms of a split's data set; empty where it has none."""
    dataset = next(datasets_in(subject.cfg.get(f'{split}_dataloader')), None)
    return list(dataset.get('pipeline') or []) if dataset else []


def scale_of_test(subject: Subject) -> Iterator[Finding]:
    """Check that test shows a tile at the scale that was trained: `test-scale`."""
    name, size_wh = 'test-scale', _median_size(subject)
    trained = _scales(pipeline_of(subject, 'train'), size_wh)
    figures = dict(trained=round(trained[1], 3), trained_low=round(trained[0], 3), trained_high=round(trained[2], 3))
    wrong = []
    for split in ('val', 'test'):
        steps = pipeline_of(subject, split)
        if not steps:
            continue
        scale = figures[split] = round(_scales(steps, size_wh)[1], 3)
        if not 1 / FARTHEST <= scale / trained[1] <= FARTHEST:
            wrong.append((split, scale))
    for split, scale in wrong:
        message = (
            f'{split} shows a {size_wh[0]} x {size_wh[1]} px tile at {scale:g} times its size, training at '
            f'{trained[1]:g} ({trained[0]:g} to {trained[2]:g}): give Resize in its pipeline the scale of training, or '
            'None for image_size.'
        )
        yield Finding(name, Verdict.WARNING, message, figures)
    if not wrong:
        yield Finding(
            name, Verdict.OK, f'tiles are trained and tested at about {trained[1]:g} times their size.', figures
        )


def _median_size(subject: Subject) -> tuple[int, int]:
    images = subject.coco('train')['images']
    return int(median(image['width'] for image in images)), int(median(image['height'] for image in images))


def _scales(steps: Sequence[dict], size_wh: tuple[int, int]) -> tuple[float, float, float]:
    """Lowest, middle and highest factor by which a pipeline enlarges a tile."""
    low = middle = high = 1.0
    for step in steps:
        kind = step['type']
        if kind in ('Resize', 'RandomResize', 'RandomChoiceResize', 'FixScaleResize'):
            factors = [_factor(scale, size_wh) for scale in _targets(step)]
            ratio = step.get('ratio_range') or (1.0, 1.0)
            low, high = low * min(factors) * ratio[0], high * max(factors) * ratio[1]
            middle *= median(factors) * (1.0 if ratio[0] <= 1.0 <= ratio[1] else sum(ratio) / 2)
    return low, middle, high


def _targets(step: dict) -> list:
    if step.get('scale_factor') is not None:
        return [step['scale_factor']]
    found = step.get('scales') or step.get('scale')
    several = isinstance(found, list | tuple) and isinstance(found[0], list | tuple)
    return list(found) if several else [found]


def _factor(scale: object, size_wh: tuple[int, int]) -> float:
    if isinstance(scale, int | float):
        return float(scale)
    if isinstance(scale, tuple | list) and len(scale) == 2:
        return rescale_size(size_wh, tuple(scale), return_scale=True)[1]
    return 1.0


def empty_masks(subject: Subject) -> Iterator[Finding]:
    """Check that objects which a crop leaves without a pixel are dropped: `mask-filter`.

    MMDetection's crops keep objects by their box. 1 to 5 % of thin trunks then have an empty mask, and the loss asks
    for them all the same.
    """
    name, steps = 'mask-filter', pipeline_of(subject, 'train')
    cuts = [number for number, step in enumerate(steps) if any(word in step['type'] for word in CUTS)]
    filters = [
        number
        for number, step in enumerate(steps)
        if step['type'] == 'FilterAnnotations' and step.get('by_mask') and step.get('min_gt_mask_area', 1) >= 1
    ]
    with_masks = any(loads_annotations(step) and step.get('with_mask') for step in steps)
    if with_masks and cuts and not any(number > cuts[-1] for number in filters):
        message = (
            f'{steps[cuts[-1]]["type"]} leaves objects without a pixel in training; add after it '
            "dict(type='FilterAnnotations', min_gt_mask_area=16, by_mask=True, keep_empty=False)."
        )
        yield Finding(name, Verdict.WARNING, message)
    else:
        yield Finding(name, Verdict.OK, 'objects without a pixel are dropped.' if cuts else 'nothing cuts objects.')


def empty_tiles(subject: Subject) -> Iterator[Finding]:
    """Check that tiles without an object stay in training: `empty-tiles-kept`."""
    name, dataset = 'empty-tiles-kept', next(datasets_in(subject.cfg.train_dataloader))
    coco = subject.coco('train')
    with_objects = {annotation['image_id'] for annotation in coco['annotations']}
    empty = sum(image['id'] not in with_objects for image in coco['images'])
    figures = dict(tiles=len(coco['images']), without_objects=empty)
    if (dataset.get('filter_cfg') or {}).get('filter_empty_gt') and empty:
        message = (
            f'filter_empty_gt=True drops {empty} of {len(coco["images"])} tiles, so that what bare ground looks like '
            'is never learnt; set train_dataloader.dataset.filter_cfg.filter_empty_gt=False.'
        )
        yield Finding(name, Verdict.WARNING, message, figures)
    else:
        yield Finding(
            name, Verdict.OK, f'{empty} of {len(coco["images"])} tiles have no object and are trained on.', figures
        )

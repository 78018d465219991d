"""Detections matched to truth by COCO's rules, all images, thresholds and areas at once.

    truth, predictions -> arrays ordered by class and image -> pairs that overlap enough -> who hits what

The rules are those of pycocotools (`COCOeval.evaluateImg`), and so are overlaps, computed by its C functions: within an
image and class, detections take their turn from the highest score down; each takes the object it overlaps most among
those that are free and count, or else one that does not count (a crowd, or not in the range of areas looked at); of
equal overlaps it takes the later object. Few detections overlap an object enough at all, and the turns of different
images and classes do not touch each other: so all first turns are one step on arrays, then all second ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from mmdet.datasets.api_wrappers import COCO
from numpy.typing import NDArray
from pycocotools import mask as pycoco

AREA_RANGES = np.array([(0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10)])  # px2: all, small, medium, large
CLOSEST = 1 - 1e-10  # overlap from which on two shapes count as equal


@dataclass(frozen=True)
class Grid:
    """The pairs of class and image in which shapes are compared: group class * images + image, both in order of ids."""

    cat_ids: NDArray
    img_ids: NDArray

    @classmethod
    def of_ids(cls, cat_ids: Sequence[int], img_ids: Sequence[int]) -> 'Grid':
        """Sort the ids and drop double ones, as pycocotools does."""
        return cls(np.unique(cat_ids), np.unique(img_ids))

    def groups(self, cat_ids: NDArray, img_ids: NDArray) -> NDArray[np.int64]:
        """Group of each shape, (N,), from its class and image, which must be among those of the grid."""
        return np.searchsorted(self.cat_ids, cat_ids) * len(self.img_ids) + np.searchsorted(self.img_ids, img_ids)


@dataclass(frozen=True)
class Truths:
    """The G objects of a data set, ordered by group, and as in the file within one.

    Attributes:
        groups: Of a `Grid`, ascending, (G,).
        shapes: RLE of each, or boxes x, y, width, height (G, 4).
        areas: As the annotations state them, px2, (G,).
        crowds: Whether each is a region of many objects, (G,).
        lost: Whether its id is 0: pycocotools takes that for no hit, so such an object is taken and never found, (G,).
    """

    groups: NDArray[np.int64]
    shapes: list[dict] | NDArray[np.float64]
    areas: NDArray[np.float64]
    crowds: NDArray[np.bool_]
    lost: NDArray[np.bool_]

    @classmethod
    def of_coco(cls, coco: COCO, grid: Grid, metric: str) -> 'Truths':
        """Take the objects of the grid's classes and images, for 'segm' or 'bbox'."""
        found = coco.load_anns(coco.get_ann_ids(img_ids=grid.img_ids.tolist(), cat_ids=grid.cat_ids.tolist()))
        groups = grid.groups(
            np.array([a['category_id'] for a in found], grid.cat_ids.dtype),
            np.array([a['image_id'] for a in found], grid.img_ids.dtype),
        )
        order = np.argsort(groups, kind='stable')
        shapes = truth_masks(coco, found) if metric == 'segm' else [a['bbox'] for a in found]
        return cls(
            groups[order],
            ordered(shapes, order) if metric == 'segm' else np.array(shapes, float).reshape(-1, 4)[order],
            np.array([a['area'] for a in found], float)[order],
            np.array([bool(a.get('iscrowd', 0)) for a in found], bool)[order],
            np.array([a['id'] == 0 for a in found], bool)[order],
        )


@dataclass(frozen=True)
class Detections:
    """The D detections of a data set, ordered by group, and within one from the highest score down.

    Attributes:
        groups: Of a `Grid`, ascending, (D,).
        shapes: RLE of each, or boxes x, y, width, height (D, 4).
        areas: Of the masks or boxes, px2, (D,).
        scores: (D,).
        ranks: Place of each in its group, from 0, (D,).
    """

    groups: NDArray[np.int64]
    shapes: list[dict] | NDArray[np.float64]
    areas: NDArray[np.float64]
    scores: NDArray[np.float64]
    ranks: NDArray[np.int64]

    @classmethod
    def of_predictions(
        cls, predictions: Sequence[dict], grid: Grid, cat_ids: Sequence[int], metric: str
    ) -> 'Detections':
        """Take what `CocoMetric.process` keeps of each image.

        Args:
            predictions: Of each image `img_id`, `scores` (n,), `labels` (n,), `bboxes` (n, 4) as x0, y0, x1, y1, and
                for masks `masks` (n RLEs) and maybe `mask_scores` (n,).
            grid: Classes and images looked at.
            cat_ids: Class of each label.
            metric: 'segm' or 'bbox'.

        Raises:
            KeyError: If there are no masks to look at.
            ValueError: If an image is not one of the grid's.
        """
        predictions = [p for p in predictions if len(p['labels'])]
        foreign = {p['img_id'] for p in predictions} - set(grid.img_ids.tolist())
        if foreign:
            raise ValueError(f'predictions must be of images of the annotation file, not of {sorted(foreign)[:5]}.')
        if metric == 'segm' and not all('masks' in p for p in predictions):
            raise KeyError('segm is not in results')
        counts = [len(p['labels']) for p in predictions]
        labels, scores = joined(predictions, 'labels', int), joined(predictions, 'scores', float)
        if metric == 'segm':
            shapes = list(chain.from_iterable(p['masks'] for p in predictions))
            areas = np.concatenate([np.zeros(0), *(pycoco.area(p['masks']) for p in predictions)])
            scores = np.concatenate([np.zeros(0), *(p.get('mask_scores', p['scores']) for p in predictions)])
        else:
            shapes = joined(predictions, 'bboxes', float).reshape(-1, 4)
            shapes[:, 2:] -= shapes[:, :2]
            areas = shapes[:, 2] * shapes[:, 3]
        images = np.repeat(np.array([p['img_id'] for p in predictions], grid.img_ids.dtype), counts)
        groups = grid.groups(np.asarray(cat_ids)[labels], images)
        order = np.lexsort((-scores, groups))
        groups = groups[order]
        ranks = np.arange(len(groups)) - np.searchsorted(groups, groups)
        return cls(groups, ordered(shapes, order), areas[order], scores[order], ranks)


def joined(predictions: Sequence[dict], key: str, dtype: type) -> NDArray:
    """One array of what each image has under a key."""
    return np.concatenate([p[key] for p in predictions]).astype(dtype) if predictions else np.zeros(0, dtype)


def ordered(shapes: list[dict] | NDArray, order: NDArray[np.int64]) -> list[dict] | NDArray:
    """Shapes in another order."""
    return [shapes[n] for n in order.tolist()] if isinstance(shapes, list) else shapes[order]


def truth_masks(coco: COCO, annotations: Sequence[dict]) -> list[dict]:
    """Make RLE of all annotations' outlines, those of an image at once; the same as `coco.annToRLE` of each."""
    masks, outlines = [None] * len(annotations), {}
    for n, annotation in enumerate(annotations):
        rings = annotation['segmentation']
        # pycocotools takes a first ring of four numbers for a box, and with it all that is drawn at once.
        if isinstance(rings, list) and rings and len(rings[0]) > 4:
            outlines.setdefault(annotation['image_id'], []).append(n)
        else:
            masks[n] = coco.annToRLE(annotation)
    for image, members in outlines.items():
        rings = [annotations[n]['segmentation'] for n in members]
        drawn = iter(pycoco.frPyObjects(list(chain(*rings)), coco.imgs[image]['height'], coco.imgs[image]['width']))
        for n, parts in zip(members, rings, strict=True):
            own = [next(drawn) for _ in parts]
            masks[n] = own[0] if len(own) == 1 else pycoco.merge(own)
    return masks


def overlapping_pairs(
    truths: Truths, detections: Detections, lowest: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Find the pairs of a detection and an object of its group whose IoU is not below `lowest`.

    Returns:
        Detection, object and IoU of each pair, (P,) each; for a crowd the share of the detection that lies on it.
    """
    pairs = [(np.zeros(0, int), np.zeros(0, int), np.zeros(0))]
    shared = np.intersect1d(truths.groups, detections.groups)
    bounds = [
        np.searchsorted(x.groups, shared, side).tolist() for x in (detections, truths) for side in ('left', 'right')
    ]
    for d0, d1, t0, t1 in zip(*bounds, strict=True):
        ious = pycoco.iou(detections.shapes[d0:d1], truths.shapes[t0:t1], truths.crowds[t0:t1])
        found = ious >= lowest
        which, whom = found.nonzero()
        pairs.append((which + d0, whom + t0, ious[which, whom]))
    detection, truth, iou = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return detection, truth, iou


@dataclass(frozen=True)
class Matches:
    """What became of each detection, for A ranges of areas and T thresholds.

    Attributes:
        hits: Whether it took an object, (A, T, D).
        ignored: Whether it counts neither as a hit nor as a false alarm, (A, T, D).
        countable: Objects that count, for each class, (A, K).
    """

    hits: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    countable: NDArray[np.int64]


def match(truths: Truths, detections: Detections, grid: Grid, thresholds: NDArray[np.float64]) -> Matches:
    """Match detections to truth at all IoU thresholds, (T,), and for all `AREA_RANGES`."""
    thresholds = np.minimum(thresholds, CLOSEST)
    num_truths, shape = len(truths.groups), (len(thresholds), len(AREA_RANGES))
    unseen = np.append(truths.crowds[:, None] | outside(truths.areas), np.ones((1, shape[1]), bool), 0)
    lasting, lost = np.append(truths.crowds, True), np.append(truths.lost, False)
    taken = np.zeros((num_truths + 1, *shape), bool)
    hits, ignored = np.zeros((2, len(detections.groups), *shape), bool)
    for rows, truth, iou in turns(detections, *overlapping_pairs(truths, detections, thresholds.min()), num_truths):
        free = (iou[:, :, None] >= thresholds)[..., None] & ~taken[truth]
        seen = free & ~unseen[truth][:, :, None]
        usable = np.where(seen.any(1, keepdims=True), seen, free)
        hit, best = usable.any(1), np.take_along_axis(truth[:, :, None, None], usable.argmax(1)[:, None], 1)[:, 0]
        hits[rows] = hit & ~lost[best]
        ignored[rows] = hit & unseen[best, np.arange(shape[1])]
        _, at_threshold, at_area = keeps = (hit & ~lasting[best]).nonzero()
        taken[best[keeps], at_threshold, at_area] = True
    ignored |= ~hits & outside(detections.areas)[:, None]
    classes = truths.groups // len(grid.img_ids)
    countable = np.stack([np.bincount(classes[~column], minlength=len(grid.cat_ids)) for column in unseen[:-1].T])
    return Matches(*(np.ascontiguousarray(x.transpose(2, 1, 0)) for x in (hits, ignored)), countable)


def outside(areas: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each area lies outside of each of the `AREA_RANGES`, (N, A)."""
    return (areas[:, None] < AREA_RANGES[:, 0]) | (areas[:, None] > AREA_RANGES[:, 1])


def turns(
    detections: Detections,
    detection: NDArray[np.int64],
    truth: NDArray[np.int64],
    iou: NDArray[np.float64],
    nothing: int,
):
    """Yield the turns of all groups' detections: the first of each group, then the second, and so on.

    Yields:
        Detections whose turn it is (n,), their objects (n, C), the most wanted first and filled up with `nothing`, and
        the IoU of each (n, C), -1 where there is no object.
    """
    order = np.lexsort((-truth, -iou, detection))
    detection, truth, iou = detection[order], truth[order], iou[order]
    rows, first, row = np.unique(detection, return_index=True, return_inverse=True)
    place = np.arange(len(detection)) - first[row]
    width = int(place.max(initial=0)) + 1
    wanted, overlaps = np.full((len(rows), width), nothing), np.full((len(rows), width), -1.0)
    wanted[row, place], overlaps[row, place] = truth, iou
    groups = detections.groups[rows]
    turn = np.arange(len(rows)) - np.searchsorted(groups, groups)
    for members in np.split(np.argsort(turn, kind='stable'), np.bincount(turn).cumsum()[:-1]) if len(rows) else ():
        yield rows[members], wanted[members], overlaps[members]

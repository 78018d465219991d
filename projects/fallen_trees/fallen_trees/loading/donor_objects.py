"""Objects of other tiles, cut out with a little ground and moved about."""

import logging
import math
import random
from dataclasses import dataclass

import cv2
import numpy as np
from mmdet.registry import DATASETS
from mmdet.structures.mask import BitmapMasks
from mmengine.logging import print_log
from numpy.typing import NDArray

from fallen_trees.loading.random_rot90 import RandomRot90

EDGE = 1.0  # px; an object nearer than this to the edge of its tile may go on beyond it
LOOKS = 10  # at tiles, before none is taken
Edges = tuple[bool, bool, bool, bool]  # left, top, right, bottom


@dataclass(frozen=True)
class Cutout:
    """One object out of its tile.

    Attributes:
        image: (h, w, bands), the object and some ground around it.
        masks: The one mask, of the same size.
        label: Class.
        edges: Which sides of its tile cut it; they are sides of the image, too.
    """

    image: NDArray
    masks: BitmapMasks
    label: int
    edges: Edges = (False, False, False, False)


class DonorTiles:
    """A data set out of which objects are taken.

    Args:
        dataset: Config of a data set whose pipeline gives `img`, `gt_bboxes`, `gt_bboxes_labels` and `gt_masks`.
        parts: Whether objects that an edge of their tile may cut are taken too.
    """

    def __init__(self, dataset: dict, parts: bool) -> None:
        self.dataset, self.parts = DATASETS.build(dataset), parts
        self.dataset.full_init()
        infos = map(self.dataset.get_data_info, range(len(self.dataset)))
        self.tiles = [number for number, info in enumerate(infos) if any(map(self._fits, *_annotated(info)))]
        if not self.tiles:
            advice = 'cut larger tiles' if parts else 'set parts=True or cut larger tiles'
            print_log(
                f'PasteObjects pastes nothing: no object of {self.dataset.ann_file} can be taken; {advice}.',
                'current', logging.WARNING,
            )  # fmt: skip

    def draw(self, other_than: object = None) -> tuple[dict, list[int]] | None:
        """Load a random tile with objects to take.

        Args:
            other_than: `img_id` of a tile that is not wanted.

        Returns:
            The sample as its pipeline gives it, and the numbers of the objects; None if none was found.
        """
        for _ in range(LOOKS if self.tiles else 0):
            number = random.choice(self.tiles)
            if self.dataset.get_data_info(number).get('img_id') != other_than:
                sample = self.dataset[number]
                found = [n for n, item in enumerate(zip(*_loaded(sample), strict=True)) if self._fits(*item)]
                if found:
                    return sample, found
        return None

    def _fits(self, edges: Edges, ignored: bool) -> bool:
        left, top, right, bottom = edges
        through = (left and right) or (top and bottom)  # has one place only
        return not ignored and not through and (self.parts or not any(edges))


def touched_edges(box_xyxy: list[float], size_wh: tuple[int, int]) -> Edges:
    """Which edges of its tile a box touches: what is there may go on beyond."""
    x0, y0, x1, y1 = box_xyxy
    return x0 < EDGE, y0 < EDGE, x1 > size_wh[0] - EDGE, y1 > size_wh[1] - EDGE


def _loaded(sample: dict) -> tuple[list[Edges], list[bool]]:
    """Edges of each object of a loaded sample, and whether it is to be ignored."""
    size_wh, boxes = sample['img'].shape[1::-1], sample['gt_bboxes'].tensor.tolist()
    ignored = sample.get('gt_ignore_flags', np.zeros(len(boxes), bool))
    return [touched_edges(box, size_wh) for box in boxes], list(ignored)


def _annotated(info: dict) -> tuple[list[Edges], list[bool]]:
    """The same of a tile whose pixels are not read."""
    size_wh, items = (info['width'], info['height']), info['instances']
    return [touched_edges(item['bbox'], size_wh) for item in items], [bool(item['ignore_flag']) for item in items]


def cut_out(sample: dict, number: int, margin: int) -> Cutout:
    """Cut one object out of a sample, with so many px of ground around its box where its tile has them."""
    height, width = sample['img'].shape[:2]
    box = x0, y0, x1, y1 = sample['gt_bboxes'].tensor[number].tolist()
    x0, y0 = max(math.floor(x0) - margin, 0), max(math.floor(y0) - margin, 0)
    x1, y1 = min(math.ceil(x1) + margin, width), min(math.ceil(y1) + margin, height)
    masks = sample['gt_masks'][[number]].crop(np.array([x0, y0, x1, y1]))
    label = int(sample['gt_bboxes_labels'][number])
    return Cutout(sample['img'][y0:y1, x0:x1], masks, label, touched_edges(box, (width, height)))


def moved_about(cutout: Cutout, factor: float, mirrored: bool, quarters: int) -> Cutout:
    """Scale, mirror (left to right) and then turn an object with its pixels, counter-clockwise in quarters."""
    bands = cutout.image.shape[2:]
    height, width = (max(1, round(side * factor)) for side in cutout.image.shape[:2])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    image = cv2.resize(cutout.image, (width, height), interpolation=how).reshape(height, width, *bands)
    masks, edges = cutout.masks.resize((height, width)), cutout.edges
    if mirrored:
        image, masks = np.ascontiguousarray(image[:, ::-1]), masks.flip('horizontal')
        edges = edges[2], edges[1], edges[0], edges[3]
    turned = RandomRot90().turn(dict(img=image, gt_masks=masks), quarters)
    edges = edges[quarters:] + edges[:quarters]  # a quarter takes the right edge to the top, the top to the left
    return Cutout(turned['img'], turned['gt_masks'], cutout.label, edges)

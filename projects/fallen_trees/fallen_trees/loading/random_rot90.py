"""Quarter turns: from the air no direction is up."""

import random

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import autocast_box_type
from mmdet.structures.mask import BitmapMasks

from fallen_trees.loading.outline_masks import OutlineMasks


@TRANSFORMS.register_module()
class RandomRot90(BaseTransform):
    """Turn image, boxes and masks by 0, 90, 180 or 270 degrees, each as likely.

    Exact: pixels move, none is interpolated. Sides are swapped for odd turns.

    Required and modified keys: `img`, `img_shape`, and where present `gt_bboxes` and `gt_masks` (BitmapMasks or
    OutlineMasks).

    Args:
        prob: Share of samples that are turned at all; one in four of those keeps its direction.
    """

    def __init__(self, prob: float = 1.0) -> None:
        self.prob = prob

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Turn one sample counter-clockwise by a random number of quarters."""
        quarters = random.randrange(4) if random.random() < self.prob else 0
        return self.turn(results, quarters)

    def turn(self, results: dict, quarters: int) -> dict:
        """Turn one sample counter-clockwise by `quarters` x 90 degrees, as `numpy.rot90` counts them."""
        height, width = results['img'].shape[:2]
        results['img'] = _turn_image(results['img'], quarters)
        results['img_shape'] = results['img'].shape[:2]
        if results.get('gt_bboxes') is not None:
            boxes = results['gt_bboxes']
            boxes.tensor = boxes.tensor.new_tensor(_turn_boxes_xyxy(boxes.tensor.numpy(), quarters, (width, height)))
        if results.get('gt_masks') is not None:
            results['gt_masks'] = _turn_masks(results['gt_masks'], quarters)
        return results

    def __repr__(self) -> str:
        """Show how the transform was set."""
        return f'{type(self).__name__}(prob={self.prob})'


def _turn_image(image: np.ndarray, quarters: int) -> np.ndarray:
    """Turn (H, W, bands): `numpy.rot90`, which needs seven times the time of OpenCV."""
    if quarters % 4 == 0:
        return image
    if image.ndim == 3 and image.shape[2] > 4:  # more than OpenCV turns
        return np.ascontiguousarray(np.rot90(image, quarters))
    codes = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}
    turned = cv2.rotate(image, codes[quarters % 4])
    return turned.reshape(*turned.shape[:2], *image.shape[2:])  # OpenCV drops a single band


def _turn_masks(masks: BitmapMasks, quarters: int) -> BitmapMasks:
    if isinstance(masks, OutlineMasks):
        return masks.turn(quarters)
    turned = np.ascontiguousarray(np.rot90(masks.masks, quarters, axes=(1, 2)))
    return BitmapMasks(turned, *turned.shape[1:])


def _turn_boxes_xyxy(boxes_xyxy: np.ndarray, quarters: int, size_wh: tuple[int, int]) -> np.ndarray:
    """Turn boxes with their image, counter-clockwise: a quarter takes (x, y) to (y, width - x)."""
    width, height = size_wh
    for _ in range(quarters % 4):
        x1, y1, x2, y2 = boxes_xyxy.T
        boxes_xyxy = np.stack([y1, width - x2, y2, width - x1], axis=1)
        width, height = height, width
    return boxes_xyxy

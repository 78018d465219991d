"""Whether trunks are wide enough for the grid that masks are predicted on, at the size the network sees."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.subject import Subject

LEAST_PER_CELL = 1.25  # width in cells: 5 px at stride 4, from where a grid of 4 px keeps nine tenths of a trunk
ENOUGH = 8  # objects; below them nothing is said
LEAST_AREA_PX = 16
THRESHOLDS = np.linspace(0.1, 0.6, 6)


def check_mask_pitch(subject: Subject) -> Iterator[Finding]:
    """Check the width of objects against the pitch of the mask grid: `mask-pitch`.

    The ceiling is the IoU of each mask with itself after area-averaging onto the grid and back (bilinear), at the best
    threshold: what a network that predicts coverage cannot surpass. Straight trunks 3, 4, 5 and 6 px wide end at about
    0.7, 0.8, 0.9 and 0.94.
    """
    if 'roi_head' in subject.cfg.model:
        yield _per_box(subject)
        return
    stride = mask_stride(subject)
    masks = [mask for fed in subject.fed for mask in _masks(fed.sample.gt_instances) if mask.sum() >= LEAST_AREA_PX]
    if len(masks) < ENOUGH:
        message = f'undecided: only {len(masks)} objects in {len(subject.fed)} samples; look at more.'
        yield Finding('mask-pitch', Verdict.OK, message, dict(objects=len(masks)))
        return
    widths = np.array([width_px(mask) for mask in masks])
    width, needed = float(np.median(widths)), LEAST_PER_CELL * stride
    ceiling = float(np.median([grid_ceiling(mask, stride) for mask in masks]))
    figures = dict(
        objects=len(masks),
        width_px=round(width, 2),
        width_p10_px=round(float(np.percentile(widths, 10)), 2),
        stride_px=stride,
        iou_ceiling=round(ceiling, 3),
    )
    said = f'objects are {width:.1f} px wide (median) where masks are predicted every {stride} px'
    if width < needed:
        size = 'x'.join(str(side) for side in subject.cfg.get('image_size') or ()) or 'the scale of Resize'
        message = (
            f'{said}, so that a perfect prediction reaches an IoU of about {ceiling:.2f}: show tiles '
            f'{needed / width:.1f} times '
            f'as large (image_size, now {size}), or cut smaller tiles and show them at the same size.'
        )
        yield Finding('mask-pitch', Verdict.WARNING, message, figures | dict(enlarge=round(needed / width, 2)))
    else:
        message = f'{said}; a perfect prediction reaches an IoU of about {ceiling:.2f}.'
        yield Finding('mask-pitch', Verdict.OK, message, figures)


def _per_box(subject: Subject) -> Finding:
    """A model that draws each mask on a grid of its own, as large as its box: enlarging tiles changes nothing."""
    cells = (subject.cfg.model.get('train_cfg') or {}).get('rcnn', {}).get('mask_size', 28)
    boxes = [fed.sample.gt_instances.bboxes for fed in subject.fed]
    sides = np.concatenate([np.asarray(box.tensor if hasattr(box, 'tensor') else box).reshape(-1, 4) for box in boxes])
    pitch = float(np.median((sides[:, 2:] - sides[:, :2]).max(axis=1))) / cells if len(sides) else 0.0
    message = (
        f'does not apply: masks are drawn on {cells} x {cells} cells of each box, whatever image_size; a cell of the '
        f'median object is {pitch:.1f} px on its longer side.'
    )
    return Finding('mask-pitch', Verdict.OK, message, dict(objects=len(sides), pitch_px=round(pitch, 2)))


def mask_stride(subject: Subject) -> int:
    """Pixels of the input between two cells of the predicted masks; 4 where the model does not say."""
    strides = (subject.cfg.model.get('panoptic_head') or {}).get('strides')
    return int(min(strides)) if strides else 4


def _masks(instances: object) -> list[NDArray[np.uint8]]:
    return list(np.asarray(instances.masks.masks)) if 'masks' in instances else []


def width_px(mask: NDArray[np.uint8]) -> float:
    """Mean width of a mask: its area over the longer side of the smallest rectangle around it."""
    rows, columns = np.nonzero(mask)
    (_, sides, _) = cv2.minAreaRect(np.stack([columns, rows], axis=1).astype(np.float32))
    return float(len(rows) / (max(sides) + 1))  # from pixel centres to their far edges


def grid_ceiling(mask: NDArray[np.uint8], stride: int) -> float:
    """IoU of a mask with what is left of it on a grid of `stride` px, at the best threshold.

    Args:
        mask: (H, W) of 0 and 1.
        stride: Side of a cell, in pixels.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = (int(side[0]) // stride * stride for side in (rows, columns))
    crop = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 2 * stride).astype(np.float32)
    crop = np.pad(crop, [(0, -side % stride) for side in crop.shape])
    small = cv2.resize(crop, (crop.shape[1] // stride, crop.shape[0] // stride), interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, crop.shape[::-1], interpolation=cv2.INTER_LINEAR)
    inside = crop > 0
    ious = [(inside & (back > t)).sum() / (inside | (back > t)).sum() for t in THRESHOLDS]
    return float(max(ious))

"""Drawing on plain arrays: instance masks in colours, boxes with captions. Knows no file and no COCO."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from data_prep.show.captions import caption_places, put_text

# Okabe and Ito's colours, which colour-blind eyes tell apart, without black: it is what tiles are filled with.
PALETTE = np.array(
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)],
    np.uint8,
)
CROWD = np.array((200, 200, 200), np.uint8)
FILL, HATCH_PX, NEAR_PX, GAP_PX = 0.45, 4, 8, 6


def instance_colours(boxes_xyxy: np.ndarray, crowds: np.ndarray) -> np.ndarray:
    """Choose a colour for each instance, another one than those of the instances next to it where there is one left.

    Args:
        boxes_xyxy: (N, 4) in pixels.
        crowds: (N,) bool; crowds are grey.

    Returns:
        (N, 3) uint8; the same boxes give the same colours.
    """
    boxes = np.asarray(boxes_xyxy, float).reshape(-1, 4)
    chosen = np.arange(len(boxes)) % len(PALETTE)
    for n, (x0, y0, x1, y1) in enumerate(boxes):
        before = boxes[:n] + (-NEAR_PX, -NEAR_PX, NEAR_PX, NEAR_PX)
        near = (before[:, 0] < x1) & (before[:, 2] > x0) & (before[:, 1] < y1) & (before[:, 3] > y0)
        taken = np.bincount(chosen[:n][near], minlength=len(PALETTE))
        chosen[n] = min(range(len(PALETTE)), key=lambda c, n=n, taken=taken: (taken[c], (c - n) % len(PALETTE)))
    return np.where(np.asarray(crowds, bool)[:, None], CROWD, PALETTE[chosen])


def mask_boxes(masks: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) x0, y0, x1, y1 around masks (N, H, W), half-open; zeros for an empty mask."""
    boxes = np.zeros((len(masks), 4))
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows):
            box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def mask_panel(
    image: np.ndarray, masks: Iterable[np.ndarray | None], colours: np.ndarray, crowds: np.ndarray
) -> np.ndarray:
    """Lay masks over an image: filled half through with a full outline, crowds hatched.

    Args:
        image: (H, W, 3) uint8; pixels outside all masks come out as they are.
        masks: N of (H, W) bool, or None for an instance without one; may be a generator, so that they need not all be
            in memory.
        colours: (N, 3) uint8.
        crowds: (N,) bool.

    Returns:
        (H, W, 3) uint8, a new array.
    """
    panel = image.copy()
    hatch = (np.add.outer(np.arange(image.shape[0]), np.arange(image.shape[1])) // HATCH_PX) % 2 == 0
    for mask, colour, crowd in zip(masks, colours, crowds, strict=True):
        if mask is None:
            continue
        filled = mask & hatch if crowd else mask
        panel[filled] = np.rint(panel[filled] * (1 - FILL) + colour * FILL)
        panel[outline(mask)] = colour
    return panel


def outline(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask (H, W) with a side on its edge; the picture's own border is no edge."""
    padded = np.pad(mask, 1, mode='edge')
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def box_panel(image: np.ndarray, boxes_xyxy: np.ndarray, colours: np.ndarray, captions: Sequence[str]) -> np.ndarray:
    """Draw boxes with a caption each.

    Args:
        image: (H, W, 3) uint8.
        boxes_xyxy: (N, 4) in pixels, half-open.
        colours: (N, 3) uint8.
        captions: N texts; an empty one is not drawn.

    Returns:
        (H, W, 3) uint8, a new array.

    Raises:
        MissingPackage: If matplotlib, which draws the text, is not installed.
    """
    panel = image.copy()
    height, width = image.shape[:2]
    for (x0, y0, x1, y1), colour in zip(boxes_xyxy, colours, strict=True):
        left, right = (int(np.clip(x, 0, width - 1)) for x in (np.floor(x0), np.ceil(x1) - 1))
        top, bottom = (int(np.clip(y, 0, height - 1)) for y in (np.floor(y0), np.ceil(y1) - 1))
        panel[top : bottom + 1, [left, right]] = colour
        panel[[top, bottom], left : right + 1] = colour
    if not any(captions):
        return panel
    places = caption_places(boxes_xyxy, captions, (width, height))
    return put_text(panel, [(x, y, text, colour) for (x, y), text, colour in
                              zip(places, captions, colours, strict=True) if text])  # fmt: skip


def side_by_side(panels: Sequence[np.ndarray]) -> np.ndarray:
    """Join panels (H, W, 3) of one height from left to right, with a white gap between them."""
    gap = np.full((panels[0].shape[0], GAP_PX, 3), 255, np.uint8)
    return np.hstack([part for panel in panels for part in (panel, gap)][:-1])


def draw_panels(
    image: np.ndarray,
    masks: np.ndarray,
    labels: Sequence[int],
    names: Sequence[str],
    *,
    boxes_xyxy: np.ndarray | None = None,
    crowds: np.ndarray | None = None,
    notes: Sequence[str] | None = None,
) -> np.ndarray:
    """Image, masks and boxes side by side, for whoever has plain arrays: a data set, a train pipeline, a prediction.

    Args:
        image: (H, W, 3) uint8.
        masks: (N, H, W) bool.
        labels: N indexes into ``names``.
        names: Classes.
        boxes_xyxy: (N, 4) in pixels; None takes those around the masks.
        crowds: (N,) bool; None means that none is one.
        notes: N texts after the class names, such as a visible share or a score.

    Returns:
        (H, 3 W + 2 * GAP_PX, 3) uint8.

    Raises:
        MissingPackage: If matplotlib is not installed.
    """
    masks = np.asarray(masks, bool).reshape(-1, *image.shape[:2])
    boxes = mask_boxes(masks) if boxes_xyxy is None else np.asarray(boxes_xyxy, float).reshape(-1, 4)
    crowds = np.zeros(len(masks), bool) if crowds is None else np.asarray(crowds, bool)
    captions = [names[label] for label in labels]
    if notes is not None:
        captions = [f'{name} {note}'.strip() for name, note in zip(captions, notes, strict=True)]
    colours = instance_colours(boxes, crowds)
    return side_by_side([image, mask_panel(image, masks, colours, crowds), box_panel(image, boxes, colours, captions)])

"""Pictures of what the network is really fed: samples after the whole pipeline, in the order of channels it gets them.

If trees are blue here, they are for the network; a mask that lies beside its trunk here teaches it the ground.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from mmdet.structures import DetDataSample
from numpy.typing import NDArray

from fallen_trees.checks.data.fed_colours import as_ordered
from fallen_trees.checks.subject import Fed, Subject
from fallen_trees.pictures.panel_visualizer import draw_panel

CARD_PX, GAP_PX = 320, 6
BOX_COLOUR = (255, 255, 255)


def fed_image(subject: Subject, fed: Fed) -> NDArray[np.uint8]:
    """One sample as RGB (H, W, 3), if the network is given RGB: what it takes for red is red.

    Values are shown as they come to the data preprocessor, cut to 0..255: images that were normalised before are black.
    Of more than three bands the first three are shown, of fewer the first in grey.
    """
    pixels = as_ordered(subject, fed.inputs)
    pixels = pixels[..., :3] if pixels.shape[-1] >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)
    return np.ascontiguousarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def fed_masks(sample: DetDataSample) -> NDArray[np.uint8]:
    """Masks (N, H, W) of one sample."""
    instances = sample.gt_instances
    return np.asarray(instances.masks.masks) if 'masks' in instances else np.zeros((0, *sample.img_shape), np.uint8)


def fed_boxes(fed: Fed) -> NDArray[np.float32]:
    """Boxes (N, 4) x1, y1, x2, y2 of one sample, in pixels of its image.

    Pipelines of validation load annotations after the resize, in the pixels of the file; they are brought to the image.
    """
    boxes, masks = fed.sample.gt_instances.get('bboxes'), fed_masks(fed.sample)
    if boxes is None:
        return np.zeros((0, 4), np.float32)
    scale_yx = np.divide(fed.inputs.shape[1:], masks.shape[1:]) if len(masks) else np.ones(2)
    return getattr(boxes, 'tensor', boxes).numpy() * np.tile(scale_yx[::-1], 2)


def draw_fed(subject: Subject, fed: Fed, caption: str = '') -> NDArray[np.uint8]:
    """One sample with its masks outlined and its boxes in thin white, under a caption; RGB, enlarged."""
    image, sample = fed_image(subject, fed), fed.sample
    zoom = max(1, round(2 * CARD_PX / max(image.shape[:2])))  # so that outlines on a card are a pixel wide
    panel = draw_panel(image, list(fed_masks(sample)), caption or f'{len(sample.gt_instances)} objects', zoom)
    top = panel.shape[0] - image.shape[0] * zoom
    for x1, y1, x2, y2 in np.rint(fed_boxes(fed) * zoom).astype(int):
        cv2.rectangle(panel, (int(x1), int(y1) + top), (int(x2), int(y2) + top), BOX_COLOUR, 1)
    return panel


def contact_sheet(subject: Subject, *, columns: int = 6, most: int = 24) -> bytes:
    """Samples in rows on one PNG, those with objects first.

    Args:
        subject: Its samples are drawn.
        columns: Samples in a row.
        most: Samples on the sheet at most.

    Returns:
        The bytes of a PNG.

    Raises:
        ValueError: If there is no sample.
    """
    _, sheet = next(contact_sheets(subject, columns=columns, most=most), (None, None))
    if sheet is None:
        raise ValueError('the training set is empty: there is nothing to draw')
    return sheet


def contact_sheets(subject: Subject, *, columns: int = 6, most: int = 24) -> Iterator[tuple[str, bytes]]:
    """All samples on as many sheets as it takes, those with objects first.

    Args:
        subject: Its samples are drawn.
        columns: Samples in a row.
        most: Samples on one sheet.

    Yields:
        A file name, `contact_sheet.png` and from the second on `contact_sheet_2.png`, and the bytes of a PNG.
    """
    ordered = sorted(subject.fed, key=lambda fed: not len(fed.sample.gt_instances))
    for number, first in enumerate(range(0, len(ordered), most), 1):
        sheet = join([_card(draw_fed(subject, fed)) for fed in ordered[first : first + most]], columns)
        yield ('contact_sheet.png' if number == 1 else f'contact_sheet_{number}.png'), to_png(sheet)


def _card(panel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring a picture to the width of a card."""
    size_wh = CARD_PX, max(1, round(panel.shape[0] * CARD_PX / panel.shape[1]))
    return cv2.resize(panel, size_wh, interpolation=cv2.INTER_AREA)


def join(cards: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Lay pictures in rows on white, each in a cell as large as the largest."""
    height, width = (max(card.shape[axis] for card in cards) + GAP_PX for axis in (0, 1))
    columns = min(columns, len(cards))
    sheet = np.full((-(-len(cards) // columns) * height, columns * width, 3), 255, np.uint8)
    for number, card in enumerate(cards):
        y, x = number // columns * height, number % columns * width
        sheet[y : y + card.shape[0], x : x + card.shape[1]] = card
    return sheet


def to_png(picture: NDArray[np.uint8]) -> bytes:
    """Encode RGB (H, W, 3) as PNG."""
    return cv2.imencode('.png', picture[..., ::-1])[1].tobytes()

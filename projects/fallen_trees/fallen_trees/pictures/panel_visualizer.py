"""Pictures to judge a model by: image, truth and prediction side by side, each object outlined in a colour of its own.

    | image | truth: 12 | prediction: 11 (score >= 0.3) |

MMDetection's visualizer writes a box and a label on every object, which on tiles of many thin objects hides them all.
"""

import colorsys

import cv2
import mmcv
import numpy as np
from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.dist import master_only
from pycocotools import mask as pycoco

MIN_SIDE = 512  # px; smaller tiles are enlarged, so that an outline does not cover what it outlines
CAPTION_HEIGHT = 28
GAP = 4


@VISUALIZERS.register_module()
class PanelVisualizer(DetLocalVisualizer):
    """MMDetection's visualizer with another picture: panels of outlined masks."""

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: DetDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        pred_score_thr: float = 0.3,
        step: int = 0,
    ) -> None:
        """Draw one sample and show it, write it to `out_file`, or hand it to the back ends.

        Args:
            name: Of the picture in the back ends.
            image: RGB, (H, W, 3); of more bands the first three are shown, of fewer the first in grey.
            data_sample: With `gt_instances` and `pred_instances`, whose masks are (N, H, W) or a list of COCO's RLE.
            draw_gt: Whether there is a panel of the truth.
            draw_pred: Whether there is a panel of the predictions.
            show: Whether to open a window.
            wait_time: Seconds that the window stays.
            out_file: Where to write the picture instead.
            pred_score_thr: Predictions below this score are not drawn.
            step: Of the run, for the back ends.
        """
        image = image[..., :3] if image.shape[-1] >= 3 else image[..., [0, 0, 0]]
        picture = self.picture(image, data_sample or DetDataSample(), draw_gt, draw_pred, pred_score_thr)
        self.set_image(picture)
        if show:
            self.show(picture, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(picture[..., ::-1], out_file)
        elif not show:
            self.add_image(name, picture, step)

    def picture(
        self, image: np.ndarray, sample: DetDataSample, draw_gt: bool, draw_pred: bool, score_thr: float
    ) -> np.ndarray:
        """What is drawn of one sample; arguments as those of `add_datasample`.

        Returns:
            RGB, (H, W, 3) uint8.
        """
        zoom = zoom_of(image)
        panels = [draw_panel(image, [], 'image', zoom)]
        if draw_gt and 'gt_instances' in sample:
            masks = list(_masks(sample.gt_instances))
            panels.append(draw_panel(image, masks, f'truth: {len(masks)}', zoom))
        if draw_pred and 'pred_instances' in sample:
            found = sample.pred_instances
            masks = list(_masks(found[found.scores >= score_thr].cpu()))
            caption = f'prediction: {len(masks)} (score >= {score_thr:.2f})'
            panels.append(draw_panel(image, masks, caption, zoom))
        return side_by_side(panels)


def zoom_of(image: np.ndarray) -> int:
    """How many times an image is enlarged."""
    return max(1, round(MIN_SIDE / max(image.shape[:2])))


def side_by_side(panels: list[np.ndarray]) -> np.ndarray:
    """Join panels of one height, with a gap."""
    return np.hstack([np.pad(panel, ((0, 0), (0, GAP), (0, 0))) for panel in panels])[:, :-GAP]


def draw_panel(image: np.ndarray, masks: list[np.ndarray], caption: str, zoom: int) -> np.ndarray:
    """Enlarge an image and outline masks on it, under a caption.

    Args:
        image: RGB, (H, W, 3).
        masks: Each (H, W), zero where the object is not.
        caption: One line.
        zoom: How many times larger than the image.

    Returns:
        RGB, (H x zoom + CAPTION_HEIGHT, W x zoom, 3).
    """
    panel = cv2.resize(np.ascontiguousarray(image), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    for number, mask in enumerate(masks):
        enlarged = cv2.resize(mask.astype(np.uint8), panel.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        outlines = cv2.findContours(enlarged, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]
        # Steps of the golden ratio put neighbours in number far apart in hue, however many there are.
        colour = [round(255 * value) for value in colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.9, 1.0)]
        cv2.drawContours(panel, outlines, -1, colour, thickness=2, lineType=cv2.LINE_AA)
    bar = np.zeros((CAPTION_HEIGHT, panel.shape[1], 3), panel.dtype)
    cv2.putText(bar, caption, (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([bar, panel])


def _masks(instances: object) -> np.ndarray:
    masks = instances.masks if 'masks' in instances else []
    if isinstance(masks, list):
        return np.stack([pycoco.decode(mask) for mask in masks]) if masks else np.zeros((0, 0, 0), np.uint8)
    return np.asarray(masks.to_ndarray() if hasattr(masks, 'to_ndarray') else masks)

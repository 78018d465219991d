"""Pictures of semantic and panoptic results: image, truth and prediction, every pixel in the colour of its class.

| image | truth | prediction: 93 % of pixels right |
| legend: the classes that truth or prediction shows |

The colours are the data set's own.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from mmdet.registry import VISUALIZERS
from mmdet.structures import INSTANCE_OFFSET, DetDataSample
from numpy.typing import NDArray

from fallen_trees.pictures.panel_visualizer import PanelVisualizer, draw_panel, side_by_side, zoom_of

OPACITY = 0.65  # of the colours over the image
LEGEND_CELL = 190, 22  # px, width and height
NO_CLASS = -1


@VISUALIZERS.register_module()
class MapVisualizer(PanelVisualizer):
    """PanelVisualizer for samples with `pred_sem_seg` or `pred_panoptic_seg`; other samples are drawn as it draws them.

    Colours and names are the data set's (`palette` and `classes` of its metainfo). Segments have a white edge, void is
    left uncoloured.
    """

    def picture(
        self, image: np.ndarray, sample: DetDataSample, draw_gt: bool, draw_pred: bool, score_thr: float
    ) -> np.ndarray:
        """What is drawn of one sample; as PanelVisualizer's, but for samples with a predicted map."""
        found = predicted_map(sample, len(self.dataset_meta['classes']))
        if found is None:
            return super().picture(image, sample, draw_gt, draw_pred, score_thr)
        zoom, truth = zoom_of(image), true_map(sample) if draw_gt else None
        panels = [draw_panel(image, [], 'image', zoom)]
        if truth is not None:
            panels.append(self._panel(image, truth, 'truth', zoom))
        if draw_pred:
            panels.append(self._panel(image, found, f'prediction{_right(truth, found)}', zoom))
        shown = np.unique(np.concatenate([found[0].ravel(), truth[0].ravel() if truth is not None else []]))
        picture = side_by_side(panels)
        return np.vstack([picture, self._legend([int(label) for label in shown if label >= 0], picture.shape[1])])

    def _panel(self, image: NDArray[np.uint8], maps: tuple[NDArray, NDArray], caption: str, zoom: int) -> np.ndarray:
        classes, segments = maps
        palette = np.array(self.dataset_meta['palette'], np.float32)
        colours = image.astype(np.float32)
        inside = classes >= 0
        colours[inside] = (1 - OPACITY) * colours[inside] + OPACITY * palette[classes[inside]]
        panel = draw_panel(colours.round().astype(np.uint8), [], caption, zoom)
        numbers = cv2.resize(segments.astype(np.float32), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
        edge = (np.diff(numbers, axis=0, prepend=numbers[:1]) != 0) | (
            np.diff(numbers, axis=1, prepend=numbers[:, :1]) != 0
        )
        panel[-len(edge) :][edge] = 255
        return panel

    def _legend(self, labels: Sequence[int], width: int) -> np.ndarray:
        columns = max(1, width // LEGEND_CELL[0])
        rows = -(-len(labels) // columns)
        bar = np.zeros((rows * LEGEND_CELL[1], width, 3), np.uint8)
        for place, label in enumerate(labels):
            x, y = place % columns * LEGEND_CELL[0], place // columns * LEGEND_CELL[1]
            colour = self.dataset_meta['palette'][label]
            cv2.rectangle(bar, (x + 3, y + 3), (x + 19, y + LEGEND_CELL[1] - 4), [int(c) for c in colour], -1)
            cv2.rectangle(bar, (x + 3, y + 3), (x + 19, y + LEGEND_CELL[1] - 4), (255, 255, 255), 1)
            text = self.dataset_meta['classes'][label]
            cv2.putText(bar, text, (x + 25, y + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
        return bar


def predicted_map(sample: DetDataSample, num_classes: int) -> tuple[NDArray, NDArray] | None:
    """Class and segment of each pixel that were predicted, both (H, W); class -1 is none. None without a map."""
    if 'pred_panoptic_seg' in sample:
        ids = sample.pred_panoptic_seg.sem_seg.cpu().numpy()[0].astype(np.int64)
        classes = ids % INSTANCE_OFFSET
        return np.where(classes < num_classes, classes, NO_CLASS), ids
    if 'pred_sem_seg' in sample:
        classes = sample.pred_sem_seg.sem_seg.cpu().numpy()[0].astype(np.int64)
        return classes, classes
    return None


def true_map(sample: DetDataSample) -> tuple[NDArray, NDArray] | None:
    """Class and segment of each pixel by the truth, as `predicted_map`."""
    if 'gt_sem_seg' not in sample:
        return None
    numbers = sample.gt_sem_seg.sem_seg.cpu().numpy()[0].astype(np.int64)
    void = numbers == sample.gt_sem_seg.get('ignore_index', NO_CLASS)
    labels = sample.metainfo.get('all_segment_labels')
    classes = numbers if labels is None else np.append(labels, NO_CLASS)[numbers]
    return np.where(void, NO_CLASS, classes), numbers


def _right(truth: tuple[NDArray, NDArray] | None, found: tuple[NDArray, NDArray]) -> str:
    """How many of the scored pixels have the right class."""
    scored = truth[0] >= 0 if truth is not None else np.zeros(0, bool)
    if not scored.any():
        return ''
    return f': {100 * np.mean(truth[0][scored] == found[0][scored]):.0f} % of pixels right'

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, encode_mask_results
from mmengine.structures import InstanceData

from fallen_trees.pictures.panel_visualizer import CAPTION_HEIGHT, GAP, PanelVisualizer, draw_panel

GREY = np.full((64, 128, 3), 90, np.uint8)


def mask(*slices):
    result = np.zeros((64, 128), np.uint8)
    result[slices] = 1
    return result


def coloured(panel):
    """Pixels that are neither grey, black nor white: outlines."""
    pixels = panel[CAPTION_HEIGHT:].astype(int)
    return (pixels.max(-1) - pixels.min(-1)) > 60


def test_outlines_lie_on_the_edge_of_the_mask_and_inside_stays_visible():
    panel = draw_panel(GREY, [mask(slice(20, 40), slice(30, 90))], 'x', zoom=4)
    assert panel.shape == (64 * 4 + CAPTION_HEIGHT, 128 * 4, 3)
    rows, columns = np.nonzero(coloured(panel))
    assert (rows.min(), rows.max()) == (pytest.approx(80, abs=2), pytest.approx(160, abs=2))
    assert (columns.min(), columns.max()) == (pytest.approx(120, abs=2), pytest.approx(360, abs=2))
    assert not coloured(panel)[90:150, 130:350].any()


def test_neighbours_have_colours_of_their_own():
    masks = [mask(slice(2, 10), slice(10 * n, 10 * n + 6)) for n in range(8)]
    panels = [draw_panel(GREY, masks[: n + 1], 'x', zoom=1) for n in range(8)]
    colours = {tuple(p[CAPTION_HEIGHT + 2, 10 * n + 3]) for n, p in enumerate(panels)}
    assert len(colours) == 8


@pytest.mark.parametrize('as_rle', [False, True])
def test_a_picture_has_three_panels_and_draws_only_certain_predictions(tmp_path, as_rle):
    sample = DetDataSample()
    sample.gt_instances = InstanceData(masks=BitmapMasks([mask(slice(5, 20), slice(5, 60))], 64, 128))
    found = np.stack([mask(slice(5, 20), slice(5, 60)), mask(slice(40, 60), slice(70, 120))]).astype(bool)
    masks = encode_mask_results(found) if as_rle else torch.from_numpy(found)
    sample.pred_instances = InstanceData(masks=masks, scores=torch.tensor([0.9, 0.2]))
    visualizer = PanelVisualizer(name='panels')
    visualizer.add_datasample('x', GREY, sample, out_file=str(tmp_path / 'x.png'), pred_score_thr=0.3)
    picture = cv2.imread(str(tmp_path / 'x.png'))
    width = 128 * 4
    assert picture.shape == (64 * 4 + CAPTION_HEIGHT, 3 * width + 2 * GAP, 3)
    image, truth, prediction = (picture[:, n * (width + GAP) :][:, :width] for n in range(3))
    assert not coloured(image).any()
    assert coloured(truth).any()
    assert np.array_equal(coloured(truth), coloured(prediction))  # the second prediction is below the threshold


def test_a_sample_without_objects_is_drawn(tmp_path):
    sample = DetDataSample()
    sample.gt_instances = InstanceData(masks=BitmapMasks(np.zeros((0, 64, 128), np.uint8), 64, 128))
    sample.pred_instances = InstanceData(masks=[], scores=torch.zeros(0))
    PanelVisualizer(name='empty').add_datasample('x', GREY, sample, out_file=str(tmp_path / 'x.png'))
    assert cv2.imread(str(tmp_path / 'x.png')) is not None

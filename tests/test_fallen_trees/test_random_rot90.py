import random

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from fallen_trees.loading.random_rot90 import RandomRot90


def sample(height=5, width=8):
    masks = np.zeros((2, height, width), np.uint8)
    masks[0, 1:3, 2:7] = 1
    masks[1, 0:5, 0:1] = 1
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    image[masks[0] > 0] = 255
    boxes = HorizontalBoxes(torch.tensor([[2.0, 1, 7, 3], [0, 0, 1, 5]]))
    return dict(
        img=image, img_shape=(height, width), gt_bboxes=boxes, gt_masks=BitmapMasks(masks, height, width)
    )  # fmt: skip


@pytest.mark.parametrize('quarters', range(4))
def test_image_masks_and_boxes_turn_together(quarters):
    turned = RandomRot90().turn(sample(), quarters)
    assert turned['img_shape'] == turned['img'].shape[:2] == ((8, 5) if quarters % 2 else (5, 8))
    masks = turned['gt_masks'].masks
    assert (turned['img'][masks[0] > 0] == 255).all()
    assert turned['gt_masks'].get_bboxes(HorizontalBoxes).tensor.tolist() == turned['gt_bboxes'].tensor.tolist()


def test_four_quarters_give_the_sample_back():
    turned = sample()
    for _ in range(4):
        turned = RandomRot90().turn(turned, 1)
    assert (turned['img'] == sample()['img']).all()
    assert (turned['gt_masks'].masks == sample()['gt_masks'].masks).all()
    assert turned['gt_bboxes'].tensor.tolist() == sample()['gt_bboxes'].tensor.tolist()


def test_all_four_directions_come_and_prob_holds_them_back():
    random.seed(0)
    original = sample()['img']
    seen = set()
    for _ in range(60):
        image = RandomRot90()(sample())['img']
        seen |= {q for q in range(4) if np.array_equal(image, np.rot90(original, q))}
    assert seen == {0, 1, 2, 3}
    assert all(np.array_equal(RandomRot90(prob=0.0)(sample())['img'], original) for _ in range(20))


def test_a_tile_without_objects_turns_too():
    empty = sample()
    empty['gt_bboxes'] = HorizontalBoxes(torch.zeros(0, 4))
    empty['gt_masks'] = BitmapMasks(np.zeros((0, 5, 8), np.uint8), 5, 8)
    turned = RandomRot90().turn(empty, 1)
    assert turned['gt_masks'].masks.shape == (0, 8, 5)
    assert turned['gt_bboxes'].tensor.shape == (0, 4)

"""Masks cut into crops, as runs, against pycocotools and NumPy on the full masks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as pycoco

from fallen_trees.heads.crop_rle import MaskRuns, runs_of_crops

BITS = arrays.arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 11), st.integers(1, 11)), elements=st.booleans())


def runs_of(masks, size):
    """Cut (N, H, W) into crops of size x size, those without a pixel left out, in an order of no meaning."""
    pieces, (count, height, width) = [], masks.shape
    for y in reversed(range(0, height, size)):
        for x in range(0, width, size):
            crops = np.zeros((count, size, size), bool)
            part = masks[:, y : y + size, x : x + size]
            crops[:, : part.shape[1], : part.shape[2]] = part
            owners = np.flatnonzero(crops.any((1, 2)))
            place = [torch.full((len(owners),), corner) for corner in (x, y)]
            pieces.append(runs_of_crops(torch.from_numpy(crops[owners]), torch.from_numpy(owners), *place, height))
    return MaskRuns.joined(pieces, count, (height, width))


def encoded(masks):
    return [pycoco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]


def check(masks, size):
    runs = runs_of(masks, size)
    assert runs.rles() == encoded(masks)
    assert np.array_equal(runs.dense(), masks)
    assert np.array_equal(runs.areas(), masks.sum((1, 2)))
    for mask, box, crop in zip(masks, runs.boxes(), runs.crops(), strict=True):
        rows, columns = np.nonzero(mask)
        if len(rows):
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        else:
            assert box.tolist() == [0, 0, 0, 0]
        x0, y0, x1, y1 = box.astype(int)
        assert np.array_equal(crop, mask[y0:y1, x0:x1])


@given(BITS, st.integers(1, 5))
def test_any_mask_is_what_pycocotools_makes_of_it(masks, size):
    check(masks, size)


@pytest.mark.parametrize('size', [1, 3, 4, 12, 20])
def test_full_columns_and_full_masks_are_one_run(size):
    masks = np.zeros((5, 12, 12), bool)
    masks[1] = True
    masks[2, :, 3:6] = True
    masks[3, 4:, 2], masks[3, :3, 3] = True, True  # foot of one column, head of the next
    masks[4, -1, -1] = True
    check(masks, size)


def test_the_end_of_one_mask_and_the_start_of_the_next_stay_two():
    masks = np.zeros((2, 6, 6), bool)
    masks[0, :4, 2] = True
    masks[1, 4:, 2] = True
    check(masks, 3)


def test_masks_larger_than_a_32_bit_square_keep_their_place():
    crop, place = torch.ones(1, 2, 3, dtype=bool), torch.tensor([59_000])
    runs = MaskRuns.joined([runs_of_crops(crop, torch.tensor([0]), place, place, 60_000)], 1, (60_000, 60_000))
    assert runs.boxes().tolist() == [[59_000, 59_000, 59_003, 59_002]]
    (rle,) = runs.rles()
    assert pycoco.area(rle) == 6
    assert pycoco.toBbox(rle).tolist() == [59_000, 59_000, 3, 2]


def test_no_mask_at_all_is_no_error():
    runs = MaskRuns.joined([], 0, (5, 5))
    assert (runs.rles(), runs.crops()) == ([], [])
    assert runs.boxes().shape == (0, 4)
    assert runs.dense().shape == (0, 5, 5)

"""Eight views of a window are turned back exactly, and merged by agreement of masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tree_map.predicting.network import Instances
from tree_map.predicting.views import VIEWS, merged, seen_from, turned_back


def cropped(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], (columns[0], rows[0])


def instances(masks, scores=None, labels=None):
    crops = [cropped(mask) for mask in masks]
    return Instances(
        [crop for crop, _ in crops],
        np.array([origin for _, origin in crops], np.int64).reshape(-1, 2),
        np.array(scores if scores is not None else [0.9] * len(masks)),
        np.array(labels if labels is not None else [0] * len(masks), np.int64),
    )


def whole(found, size_hw):
    masks = np.zeros((len(found), *size_hw), bool)
    for full, mask, (x, y) in zip(masks, found.masks, found.origins_xy, strict=True):
        full[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return masks


@given(st.integers(3, 20), st.integers(3, 20), st.sampled_from(VIEWS), st.integers(0, 1000))
def test_what_a_view_shows_is_put_back_where_it_was(height, width, view, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.2
    mask[seed % height, seed % width] = True
    shown = seen_from(mask[..., None], view)[..., 0]
    back = turned_back(instances([shown]), view, (height, width))
    assert np.array_equal(whole(back, (height, width))[0], mask)


def test_the_views_are_eight_different_ones():
    picture = np.arange(12).reshape(3, 4, 1)
    assert len({seen_from(picture, view).tobytes() + bytes(seen_from(picture, view).shape) for view in VIEWS}) == 8


def bar(x, y, width, height, size=40):
    mask = np.zeros((size, size), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def test_views_that_agree_become_one_tree_by_vote():
    seen = [
        instances([bar(5, 5, 20, 4)], [0.8]),
        instances([bar(5, 5, 20, 4)], [0.8]),
        instances([bar(5, 6, 22, 4)], [0.2]),
    ]
    tree = merged(seen, (40, 40), 0.5)
    assert np.array_equal(whole(tree, (40, 40)), [bar(5, 5, 20, 4)])
    assert tree.scores == pytest.approx([0.6])


def test_trees_that_cross_stay_two_and_one_view_is_not_enough():
    cross = [bar(5, 18, 30, 4), bar(18, 5, 4, 30)]
    seen = [instances(cross), instances(cross[::-1]), instances([*cross, bar(0, 0, 3, 3)])]
    assert len(merged(seen, (40, 40), 0.5)) == 2
    assert len(merged(seen, (40, 40), 0.25)) == 3


def test_classes_are_not_merged():
    seen = [instances([bar(5, 5, 20, 4)], labels=[0]), instances([bar(5, 5, 20, 4)], labels=[1])]
    found = merged(seen, (40, 40), 0.1)
    assert found.labels.tolist() == [0, 1] and found.scores == pytest.approx([0.45, 0.45])


def test_two_masks_of_one_view_stay_two():
    seen = [instances([bar(5, 5, 20, 4), bar(5, 5, 19, 4)])] * 2
    assert len(merged(seen, (40, 40), 0.1)) == 2


def test_views_without_anything_give_nothing():
    assert len(merged([instances([])] * 8, (40, 40), 0.5)) == 0

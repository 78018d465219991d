"""PQ equals cases by hand, with void, crowds, stuff in pieces and segments that match just so or just not."""

import numpy as np
import pytest
import torch
from mmdet.structures import INSTANCE_OFFSET, DetDataSample
from mmengine.structures import PixelData

from fallen_trees.scoring.panoptic_quality import PanopticQualityMetric, match_segments, qualities

CLASSES, THINGS = ('car', 'person', 'road', 'sky'), ('car', 'person')
VOID = 4  # what MMDetection's fusion head calls a pixel of no segment: the number of classes


def strip(*runs):
    """A map of one row: (value, length) pairs."""
    return np.concatenate([np.full(length, value) for value, length in runs])[None]


def score(truth, labels, crowds, found):
    made = PanopticQualityMetric()
    made.dataset_meta = dict(classes=CLASSES, thing_classes=THINGS)
    for one in zip(truth, labels, crowds, found, strict=True):
        sample = DetDataSample(
            metainfo=dict(all_segment_labels=np.array(one[1]), segment_crowds=np.array(one[2], bool)),
            gt_sem_seg=PixelData(sem_seg=torch.from_numpy(one[0].astype(np.int16))[None]),
            pred_panoptic_seg=PixelData(sem_seg=torch.from_numpy(one[3].astype(np.int32))[None]),
        )
        made.process({}, [sample.to_dict()])
    return made.evaluate(len(truth))


def thing(label, instance):
    return label + instance * INSTANCE_OFFSET


def test_a_scene_by_hand():
    truth = strip((0, 10), (1, 10), (2, 20), (-1, 4))  # two cars, road, void
    # The first car found on 8 of its pixels (IoU 8 / 10), the second cut in two halves of 5 (IoU 0.5: no pair), road
    # found on all 20 and on the void (IoU 1: void counts in no union).
    found = strip((thing(0, 1), 8), (VOID, 2), (thing(0, 2), 5), (thing(0, 3), 5), (2, 24))
    figures = score([truth], [[0, 0, 2]], [[0, 0, 0]], [found])
    car = 0.8 / (1 + 2 / 2 + 1 / 2)  # a pair, two wrong, one missed
    assert figures['panoptic/PQ/car'] == pytest.approx(car)
    assert figures['panoptic/PQ/road'] == 1
    assert figures['panoptic/PQ'] == pytest.approx((car + 1) / 2)
    assert (figures['panoptic/PQ_things'], figures['panoptic/PQ_stuff']) == (pytest.approx(car), 1)
    assert figures['panoptic/SQ_things'] == pytest.approx(0.8)
    assert figures['panoptic/RQ_things'] == pytest.approx(1 / 2.5)
    assert 'panoptic/PQ/sky' not in figures  # nowhere: no part of any mean


def test_all_right_is_1_and_nothing_found_is_0():
    truth = strip((0, 6), (1, 6))
    perfect = strip((thing(0, 1), 6), (2, 6))
    assert score([truth], [[0, 2]], [[0, 0]], [perfect])['panoptic/PQ'] == 1
    nothing = score([truth], [[0, 2]], [[0, 0]], [strip((VOID, 12))])
    assert (nothing['panoptic/PQ'], nothing['panoptic/SQ'], nothing['panoptic/RQ']) == (0, 0, 0)


def test_the_right_place_with_the_wrong_class_is_wrong_and_missed():
    figures = score([strip((0, 6))], [[0]], [[0]], [strip((thing(1, 1), 6))])
    assert figures['panoptic/PQ/car'] == figures['panoptic/PQ/person'] == 0


def test_crowds_are_never_missed_and_excuse_what_lies_on_them():
    truth = strip((0, 10), (1, 10))  # a crowd of cars, a car
    on_crowd = score([truth], [[0, 0]], [[1, 0]], [strip((thing(0, 1), 9), (VOID, 1), (thing(0, 2), 10))])
    assert on_crowd['panoptic/PQ/car'] == 1  # the one on the crowd is neither pair nor wrong
    unseen = score([truth], [[0, 0]], [[1, 0]], [strip((VOID, 10), (thing(0, 2), 10))])
    assert unseen['panoptic/PQ/car'] == 1
    other_class = score([truth], [[0, 0]], [[1, 0]], [strip((thing(1, 1), 10), (thing(0, 2), 10))])
    assert other_class['panoptic/PQ/person'] == 0  # a crowd of cars excuses no person


def test_what_is_half_void_is_wrong_and_what_is_more_is_not():
    truth = strip((-1, 6), (0, 10))
    half, more = strip((thing(1, 1), 6), (VOID, 10)), strip((thing(1, 1), 12), (VOID, 4))
    assert 'panoptic/PQ/person' not in score([truth], [[0]], [[0]], [half])  # all of it on void: excused
    assert score([truth], [[0]], [[0]], [more])['panoptic/PQ/person'] == 0  # exactly half: wrong


def test_images_are_summed_before_they_are_divided():
    truth = strip((0, 10))
    found = [strip((thing(0, 1), 10)), strip((thing(0, 1), 6), (VOID, 4)), strip((VOID, 10))]
    figures = score([truth] * 3, [[0]] * 3, [[0]] * 3, found)
    assert figures['panoptic/PQ'] == pytest.approx((1 + 0.6) / 2.5)


def test_an_image_without_segments_counts_what_is_found_there():
    figures = score([strip((-1, 4)), strip((0, 4))], [[], [0]], [[], [0]], [strip((VOID, 4)), strip((thing(0, 1), 4))])
    assert figures['panoptic/PQ'] == 1


def test_pairs_agree_with_comparing_every_two_segments():
    rng = np.random.default_rng(1)
    truth = np.kron(rng.integers(-1, 6, (6, 6)), np.ones((5, 5), int))
    labels, crowds = rng.integers(0, 4, 6), np.array([0, 0, 1, 0, 0, 0], bool)
    found = np.where(rng.random(truth.shape) < 0.85, truth, rng.integers(-1, 6, truth.shape))
    counts = match_segments(truth, labels, crowds, found, labels, 4)
    expected = np.zeros((4, 4))
    hit = set()
    for one in range(6):
        for other in range(6):
            inside, void = ((truth == one) & (found == other)).sum(), ((truth == -1) & (found == other)).sum()
            iou = inside / ((truth == one).sum() + (found == other).sum() - inside - void)
            if labels[one] == labels[other] and not crowds[one] and iou > 0.5:
                expected[labels[one], :2] += iou, 1
                hit |= {('true', one), ('found', other)}
    for number in range(6):
        expected[labels[number], 3] += ('true', number) not in hit and not crowds[number]
        mine = found == number
        free = (mine & (truth == -1)).sum() + sum(
            (mine & (truth == n)).sum() for n in range(6) if crowds[n] and labels[n] == labels[number]
        )
        expected[labels[number], 2] += ('found', number) not in hit and free <= 0.5 * mine.sum()
    np.testing.assert_allclose(counts, expected)
    assert counts[:, 1].sum() >= 3
    assert np.isnan(qualities(np.zeros((1, 4)))).all()

"""AP against numbers counted by hand, and against pycocotools, which sees the same boxes as masks; pairs."""

import contextlib
import io

import numpy as np
import pytest
from boxed_scene import boxed_scene
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tree_map.scoring import precision
from tree_map.scoring.matching import IOU_THRESHOLDS, overlaps_of, pairs_of
from tree_map.scoring.scores import ScoreSettings
from tree_map.scoring.units import units_of

SIDE = 24
ONE, TWO, FAR = (0, 0, 10, 2), (0, 4, 10, 6), (0, 20, 10, 22)


def values(*scenes, score_thr=0.0, weights=None):
    """All figures of the module by name."""
    units = units_of(scenes, min_scenes=1)
    pairs = [pairs_of(scene, score_thr) for scene in scenes]
    weights = np.ones((1, units.count)) if weights is None else np.array(weights, float)
    figures = precision.figures(scenes, pairs, units, ScoreSettings(score_thr=score_thr))
    return {figure.name.rpartition('/')[2]: figure.of(weights) for figure in figures}


def rle(box):
    pixels = np.zeros((SIDE, SIDE), np.uint8, order='F')
    x0, y0, x1, y1 = box[:4]
    pixels[y0:y1, x0:x1] = 1
    return mask.encode(pixels)


def coco_precision(scenes):
    """AP at each threshold and class, -1 where no tree is labelled, as pycocotools has it.

    It ignores trees by their area: an ignored one gets the area 0 here, outside the range.
    """
    names, images, labels, results = ['a', 'b', 'tree'], [], [], []
    for number, scene in enumerate(scenes, 1):
        images.append({'id': number, 'width': SIDE, 'height': SIDE})
        for frame, area in ((scene.truth, 50), (scene.ignored, 0)):
            for box, name in zip(frame.bounds.to_numpy(int), frame['class'], strict=True):
                labels.append({'id': len(labels) + 1, 'image_id': number, 'category_id': names.index(name) + 1,
                               'area': area, 'iscrowd': 0, 'segmentation': rle(box), 'bbox': [0, 0, 1, 1]})  # fmt: skip
        for row, box in zip(scene.found.to_dict('records'), scene.found.bounds.to_numpy(int), strict=True):
            results.append({'id': len(results) + 1, 'image_id': number, 'category_id': names.index(row['class']) + 1,
                            'score': row['score'], 'segmentation': rle(box), 'area': 50, 'iscrowd': 0,
                            'bbox': [0, 0, 1, 1]})  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        coco = []
        for entries in (labels, results):
            coco.append(COCO())
            coco[-1].dataset = {'images': images, 'annotations': entries,
                                'categories': [{'id': n, 'name': name} for n, name in enumerate(names, 1)]}  # fmt: skip
            coco[-1].createIndex()
        ran = COCOeval(*coco, 'segm')
        ran.params.maxDets, ran.params.areaRng, ran.params.areaRngLbl = [10000], [[1, 1e5]], ['all']
        ran.evaluate()
        ran.accumulate()
    return ran.eval['precision'][:, :, :, 0, 0]  # threshold, recall, class


def coco_means(scenes):
    found = coco_precision(scenes)
    means = {}
    for name, places in (('AP', slice(None)), ('AP50', slice(0, 1)), ('AP75', slice(5, 6))):
        known = found[places][found[places] > -1]
        means[name] = known.mean() if known.size else np.nan
    return means


def test_one_false_alarm_between_two_hits_counted_by_hand():
    scene = boxed_scene([ONE, TWO], [(ONE, 0.9), (FAR, 0.8), (TWO, 0.7)])
    found = values(scene)
    # Precision 1 up to recall 0.5 (51 of 101 recalls), 2/3 beyond.
    assert found['AP50'] == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-12)
    assert found['AP'] == pytest.approx(found['AP50']) and found['AP75'] == found['AP50']
    assert (found['precision'], found['recall'], found['F1']) == (pytest.approx(2 / 3), 1, pytest.approx(0.8))


def test_average_over_thresholds_counted_by_hand():
    # 9 of 10 m in both: IoU 9 / 11 = 0.818, enough at 0.5 .. 0.8, seven of ten thresholds.
    assert values(boxed_scene([ONE], [((1, 0, 11, 2), 0.5)]))['AP'] == pytest.approx(0.7)


def test_only_the_threshold_decides_precision_recall_and_f1():
    scene = boxed_scene([ONE, TWO], [(ONE, 0.9), (FAR, 0.3), (TWO, 0.2)])
    low, high = values(scene), values(scene, score_thr=0.9)
    assert (high['precision'], high['recall'], high['F1']) == (1, 0.5, pytest.approx(2 / 3))
    assert low['recall'] == 1 and low['AP'] == high['AP']


def test_perfect_is_one_and_nothing_found_is_zero():
    boxes = [ONE, TWO, (*FAR, 'b')]
    perfect = values(boxed_scene(boxes, [(box, 0.5) for box in boxes]))
    assert all(value == pytest.approx(1) for value in perfect.values())
    nothing = values(boxed_scene(boxes, []))
    assert nothing['AP'] == nothing['recall'] == nothing['F1'] == 0 and np.isnan(nothing['precision'])


def test_shuffled_trees_score_near_zero():
    rng = np.random.default_rng(0)
    low = rng.integers(0, 980, (400, 2, 2))
    truth, found = ([(x, y, x + 12, y + 2) for x, y in low[:, side]] for side in (0, 1))
    scene = boxed_scene(truth, [(box, score) for box, score in zip(found, rng.random(400), strict=True)], side=1000)
    shuffled = values(scene)
    assert max(shuffled['AP50'], shuffled['F1']) < 0.02


def test_no_label_and_no_tree_give_no_figure():
    assert all(np.isnan(value) for value in values(boxed_scene([], [])).values())
    only_false = values(boxed_scene([], [(ONE, 0.5)]))
    assert np.isnan(only_false['AP']) and only_false['precision'] == only_false['F1'] == 0


def test_a_found_tree_of_another_class_is_no_hit():
    found = values(boxed_scene([(*ONE, 'a')], [((*ONE, 'b'), 0.9)]))
    assert found['AP'] == found['F1'] == 0


def test_an_ignored_tree_is_neither_missed_nor_a_false_alarm():
    plain = boxed_scene([ONE], [(ONE, 0.9)])
    scene = boxed_scene([ONE], [(ONE, 0.9), (TWO, 0.95), (FAR, 0.3)], ignored=[TWO])
    assert values(plain)['precision'] == 1
    pairs = pairs_of(scene, 0.5)
    assert pairs.found.tolist() == [1] and pairs.truth.tolist() == [0] and pairs.ignored.tolist() == [0]
    found = values(scene, score_thr=0.5)
    assert found['AP'] == pytest.approx(1) and found['precision'] == found['recall'] == 1
    assert values(scene)['precision'] == 0.5  # FAR is a false alarm, TWO is not


def test_a_labelled_tree_goes_before_an_ignored_one_and_of_equals_the_later():
    scene = boxed_scene([(0, 0, 9, 2)], [(ONE, 0.5)], ignored=[ONE])
    assert pairs_of(scene, 0.0).iou.tolist() == [0.9] and values(scene)['recall'] == 1
    between = boxed_scene([ONE, (2, 0, 12, 2)], [((1, 0, 11, 2), 0.9), ((2, 0, 12, 2), 0.8)])
    assert pairs_of(between, 0.0).truth.tolist() == [1, 0]  # the first has an IoU of 9 / 11 with either
    ours, theirs = values(between), coco_means([between])
    assert all(ours[name] == pytest.approx(theirs[name], abs=1e-9) for name in theirs)


def test_pairs_are_one_to_one_surest_first():
    scene = boxed_scene([ONE, (0, 0, 10, 3)], [(ONE, 0.4), ((0, 0, 10, 3), 0.8), ((0, 0, 9, 2), 0.9)])
    pairs = pairs_of(scene, 0.0)
    # The surest takes ONE (IoU 0.9), the second its own; the third finds both taken.
    assert pairs.found.tolist() == [0, 1] and pairs.truth.tolist() == [0, 1]
    assert pairs.iou == pytest.approx([0.9, 1.0])
    assert pairs_of(scene, 0.0, iou_thr=0.95).found.tolist() == [1, 2]


def test_touching_is_not_overlapping():
    assert len(overlaps_of(boxed_scene([ONE], [((10, 0, 20, 2), 0.5), ((0, 2, 10, 4), 0.5)])).iou) == 0


def test_equal_scores_of_many_trees_as_pycocotools_has_them():
    found = [(box, 0.5) for box in ((0, 0, 10, 2), FAR, TWO, (0, 12, 10, 14), (0, 8, 9, 10))]
    scene = boxed_scene([ONE, TWO, (0, 8, 10, 10)], found, side=SIDE)
    ours, theirs = values(scene, scene), coco_means([scene, scene])
    assert all(ours[name] == pytest.approx(theirs[name], abs=1e-9) for name in theirs)


def boxes(count):
    low, long = st.integers(0, 12), st.integers(1, 10)
    box = st.tuples(low, low, long, st.integers(1, 4), st.sampled_from(['a', 'b'])).map(
        lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3], b[4])
    )
    return st.lists(box, max_size=count)


@st.composite
def scored(draw):
    """A scene in which found boxes are often labelled ones, moved a little, and scores are often equal."""
    truth, ignored = draw(boxes(6)), draw(boxes(2))
    found = draw(boxes(4))
    for x0, y0, x1, y1, name in truth + ignored:
        if draw(st.booleans()):
            move = draw(st.integers(-1, 1))
            found.append((max(x0 + move, 0), y0, max(x1 + move, 1), y1, name))
    return boxed_scene(truth, [(box, draw(st.integers(1, 5)) / 8) for box in found], ignored, side=SIDE)


@settings(max_examples=60)
@given(st.lists(scored(), min_size=1, max_size=3))
def test_pycocotools_gives_the_same(scenes):
    ours, theirs = values(*scenes), coco_means(scenes)
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


@settings(max_examples=40)
@given(scored(), scored(), st.integers(0, 3), st.integers(1, 3))
def test_a_unit_with_a_weight_counts_as_so_many_scenes(first, second, one, two):
    # Equal scores apart: of copies of a scene the trees would come by turns, of a weight one after another.
    for scene, shift in ((first, 0.0), (second, 0.01)):
        scene.found['score'] = np.linspace(1, 0.1, len(scene.found)) - shift
    weighted = values(first, second, weights=[[one, two], [1, 1]])
    copied = values(*[first] * one, *[second] * two)
    for name, value in weighted.items():
        assert value[0] == pytest.approx(copied[name][0], abs=1e-9, nan_ok=True), name
        assert value[1] == pytest.approx(values(first, second)[name][0], abs=1e-12, nan_ok=True), name


def test_many_replicates_are_computed_in_parts_alike(monkeypatch):
    rng = np.random.default_rng(1)
    scenes = [boxed_scene([ONE, TWO], [(ONE, rng.random()), (FAR, rng.random())]) for _ in range(9)]
    weights = rng.multinomial(9, np.full(9, 1 / 9), 50)
    whole = values(*scenes, weights=weights)['AP']
    monkeypatch.setattr(precision, 'MAX_CELLS', 60)
    assert np.array_equal(values(*scenes, weights=weights)['AP'], whole) and len(set(whole)) > 5


def test_the_curve_ends_at_recall_and_precision_of_all():
    scene = boxed_scene([ONE, TWO], [(ONE, 0.9), (FAR, 0.9), (TWO, 0.7), ((0, 30, 10, 32), 0.1)])
    curve = precision.curve(precision.ranked([scene], units_of([scene]))[0])
    assert curve == {'recall': [0.5, 1, 1], 'precision': [0.5, pytest.approx(2 / 3), 0.5], 'score': [0.9, 0.7, 0.1]}


def test_thresholds_are_those_of_coco():
    assert COCOeval(iouType='segm').params.iouThrs.tolist() == IOU_THRESHOLDS.tolist()
    assert COCOeval(iouType='segm').params.recThrs.tolist() == precision.RECALLS.tolist()

"""Two images, three trees, and detections whose figures can be counted by hand."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub

from fallen_trees.coco_f1_metric import CocoF1Metric, best_threshold, counts_at, use_chosen_threshold


def square(x, side=20):
    mask = np.zeros((64, 64), bool)
    mask[10 : 10 + side, x : x + side] = True
    return mask


def rings(x, side=20):
    return [[x, 10, x + side, 10, x + side, 10 + side, x, 10 + side]]


@pytest.fixture
def truth(tmp_path):
    """Image 1 has trees at x = 0 and x = 40, image 2 has one at x = 20, image 3 none."""
    places = [(1, 0), (1, 40), (2, 20)]
    annotations = [
        dict(id=n, image_id=i, category_id=1, iscrowd=0, area=400, bbox=[x, 10, 20, 20], segmentation=rings(x))
        for n, (i, x) in enumerate(places, 1)
    ]
    images = [dict(id=i, file_name=f'{i}.png', width=64, height=64) for i in (1, 2, 3)]
    file = tmp_path / 'truth.json'
    file.write_text(
        json.dumps(dict(images=images, annotations=annotations, categories=[dict(id=1, name='fallen_tree')]))
    )
    return file


def figures(truth, detections, **settings):
    """Run the metric on {image: [(x, score), ...]}."""
    MessageHub.get_instance('f1_test')
    metric = CocoF1Metric(ann_file=str(truth), metric='segm', **settings)
    metric.dataset_meta = dict(classes=('fallen_tree',))
    for img_id in (1, 2, 3):
        found = detections.get(img_id, [])
        masks = np.stack([square(x) for x, _ in found]) if found else np.zeros((0, 64, 64), bool)
        instances = dict(
            masks=torch.from_numpy(masks),
            scores=torch.tensor([score for _, score in found]),
            labels=torch.zeros(len(found), dtype=torch.long),
            bboxes=torch.zeros(len(found), 4),
        )
        metric.process({}, [dict(img_id=img_id, ori_shape=(64, 64), pred_instances=instances)])
    return metric.evaluate(3)


# By score: hit .9, hit .8, false alarm .6 (second on the same tree), hit .5, false alarm .3 on the empty image.
DETECTIONS = {1: [(0, 0.9), (2, 0.6), (42, 0.5)], 2: [(22, 0.8)], 3: [(5, 0.3)]}


def test_the_best_threshold_is_the_one_counted_by_hand(truth):
    # F1 at .9, .8, .6, .5, .3: 2/4, 4/5, 4/6, 6/7, 6/8
    result = figures(truth, DETECTIONS)
    assert result['coco/score_threshold'] == pytest.approx(0.5)
    assert result['coco/segm_F1_50'] == pytest.approx(6 / 7, abs=1e-3)
    assert result['coco/segm_precision_50'] == pytest.approx(3 / 4)
    assert result['coco/segm_recall_50'] == 1.0
    assert 'coco/segm_mAP_50' in result


def test_a_given_threshold_is_used(truth):
    result = figures(truth, DETECTIONS, score_threshold=0.7)
    assert (result['coco/segm_precision_50'], result['coco/segm_recall_50']) == (1.0, pytest.approx(2 / 3, abs=1e-3))
    assert result['coco/score_threshold'] == 0.7


def test_the_choice_goes_where_checkpoints_keep_it(truth):
    figures(truth, DETECTIONS)
    assert MessageHub.get_current_instance().get_info('score_threshold') == pytest.approx(0.5)


def test_masks_that_miss_by_half_are_no_hits(truth):
    # Shifted by 8 of 20 px: IoU 12 / 28 = .43
    assert figures(truth, {1: [(8, 0.9)]}, score_threshold=0.5)['coco/segm_F1_50'] == 0


def test_nothing_found_is_zero_and_no_error():
    nothing = np.zeros(0), np.zeros(0, bool), 3
    assert best_threshold(*nothing) == 0.5
    assert counts_at(0.5, *nothing) == dict(F1=0, precision=0, recall=0)
    assert counts_at(0.5, np.zeros(0), np.zeros(0, bool), 0) == dict(F1=0, precision=0, recall=0)


def test_a_cut_never_lies_inside_a_tie():
    scores, hits = np.array([0.9, 0.9, 0.2]), np.array([True, False, False])
    assert best_threshold(scores, hits, 1) == 0.9
    assert counts_at(0.9, scores, hits, 1)['precision'] == 0.5


def test_testing_takes_the_threshold_of_the_checkpoint_unless_the_config_states_one():
    def config(**evaluator):
        hooks = dict(visualization=dict(type='DetVisualizationHook'))
        return Config(dict(test_evaluator=dict(type='CocoF1Metric', **evaluator), default_hooks=hooks))

    checkpoint = dict(message_hub=dict(runtime_info=dict(score_threshold=0.42)))
    cfg = config()
    assert '0.42' in use_chosen_threshold(cfg, checkpoint)
    assert cfg.test_evaluator.score_threshold == cfg.default_hooks.visualization.score_thr == 0.42
    stated = config(score_threshold=0.7)
    use_chosen_threshold(stated, checkpoint)
    assert stated.test_evaluator.score_threshold == 0.7
    assert use_chosen_threshold(config(), {}) is None

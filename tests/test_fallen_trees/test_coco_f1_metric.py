"""Two images, three trees, and detections whose figures can be counted by hand."""

import json

import numpy as np
import pytest
import torch
from mmdet.datasets.api_wrappers import COCO
from mmengine.config import Config
from mmengine.logging import MessageHub
from pycocotools import mask as pycoco

from fallen_trees.coco_f1_metric import (
    BACKENDS,
    CocoF1Metric,
    as_detections,
    average_precision,
    best_threshold,
    counts_at,
    match_masks,
    use_chosen_threshold,
)
from fallen_trees.dump_results import DumpRleResults
from fallen_trees.errors import ConfigError


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


def rectangle(size_hw, x, y, w, h):
    mask = np.zeros(size_hw, np.uint8, order='F')
    mask[max(0, y) : y + h, max(0, x) : x + w] = 1
    return dict(pycoco.encode(mask), counts=pycoco.encode(mask)['counts'].decode())


def guesses(coco, seed=0, per_object=4):
    """Predictions as of a model that is often a little off: each object often, shifted, some in another class."""
    rng, cat_ids = np.random.default_rng(seed), coco.get_cat_ids()
    for image in coco.imgs.values():
        found = []
        for truth in coco.load_anns(coco.get_ann_ids(img_ids=[image['id']])):
            x, y, w, h = (int(value) for value in truth['bbox'])
            for dx, dy in rng.normal(0, 0.08, (per_object, 2)):
                box = x + int(dx * w), y + int(dy * h), max(1, w), max(1, h)
                label = cat_ids.index(truth['category_id']) if rng.random() < 0.9 else int(rng.integers(len(cat_ids)))
                found.append((rectangle((image['height'], image['width']), *box), box, label, rng.random()))
        boxes = np.array([[x, y, x + w, y + h] for _, (x, y, w, h), _, _ in found], float).reshape(-1, 4)
        yield dict(
            img_id=image['id'], bboxes=boxes, masks=[f[0] for f in found],
            labels=np.array([f[2] for f in found], int), scores=np.array([f[3] for f in found])
        )  # fmt: skip


@pytest.fixture(scope='module')
def random_truth(tmp_path_factory):
    """20 images of 12 boxes in two classes, one in ten a crowd."""
    rng, annotations = np.random.default_rng(0), []
    for image in range(1, 21):
        for _ in range(12):
            box = [int(v) for v in (*rng.integers(0, 90, 2), *rng.integers(6, 60, 2))]
            annotations.append(
                dict(id=len(annotations) + 1, image_id=image, category_id=int(rng.integers(1, 3)), bbox=box,
                     iscrowd=int(rng.random() < 0.1), area=box[2] * box[3], segmentation=rectangle((160, 160), *box))
            )  # fmt: skip
    file = tmp_path_factory.mktemp('truth') / 'truth.json'
    images = [dict(id=i, file_name=f'{i}.png', width=160, height=160) for i in range(1, 22)]
    categories = [dict(id=1, name='a'), dict(id=2, name='b')]
    file.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    return file


def check_backends_agree(file):
    coco = COCO(str(file))
    predictions, cat_ids, img_ids = list(guesses(coco)), coco.get_cat_ids(), coco.get_img_ids()
    for metric in ('segm', 'bbox'):
        stats = []
        for _, evaluate in BACKENDS.values():
            found = coco.loadRes(as_detections(predictions, cat_ids, metric))
            evaluation = evaluate(coco, found, metric)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            stats.append(evaluation.stats[:12])
        assert np.allclose(*stats, atol=1e-6, rtol=0)
        assert 0.05 < stats[0][0] < 0.95
        limited = [
            average_precision(
                coco, as_detections(predictions, cat_ids, metric), cat_ids, img_ids, metric, limit=3, backend=name
            )
            for name in BACKENDS
        ]
        assert limited[0] == pytest.approx(limited[1], abs=1e-6)
    return coco, predictions


def all_figures(file, predictions, backend, **settings):
    MessageHub.get_instance('f1_test')
    metric = CocoF1Metric(ann_file=str(file), metric=['bbox', 'segm'], backend=backend, **settings)
    metric.dataset_meta = dict(classes=[c['name'] for c in metric._coco_api.dataset['categories']])
    for p in predictions:
        found = {key: torch.from_numpy(p[key]) for key in ('bboxes', 'scores', 'labels')} | dict(masks=p['masks'])
        metric.process({}, [dict(img_id=p['img_id'], ori_shape=(160, 160), pred_instances=found)])
    return metric.evaluate(len(predictions))


def test_both_back_ends_give_the_same_figures(random_truth):
    _, predictions = check_backends_agree(random_truth)
    one, other = (all_figures(random_truth, predictions, name) for name in BACKENDS)
    assert one == pytest.approx(other, abs=1e-6)
    assert 0.1 < one['coco/segm_mAP_50'] < 1
    assert not any(key.endswith('mAP_all') for key in one)


def test_both_back_ends_give_the_same_figures_on_real_photos(real_data):
    (file,) = real_data.glob('coco_permissive33/*.json')
    check_backends_agree(file)


def test_detections_on_a_crowd_are_neither_hits_nor_false_alarms(random_truth):
    coco = COCO(str(random_truth))
    crowds = [a for a in coco.anns.values() if a['iscrowd']]
    alone = dict(scores=np.ones(1), bboxes=np.zeros((1, 4)))
    found = [dict(alone, img_id=a['image_id'], labels=np.array([a['category_id'] - 1]), masks=[a['segmentation']])
             for a in crowds]  # fmt: skip
    scores, hits, num_truths = match_masks(coco, found, [1, 2], coco.get_img_ids())
    assert len(crowds) > 5
    # A crowd may lie on an object as well, which is then a hit.
    assert len(scores) == hits.sum() < len(crowds)
    assert num_truths == len(coco.anns) - len(crowds)


@pytest.mark.parametrize('backend', BACKENDS)
def test_more_than_100_detections_count_in_figures_of_their_own(truth, backend):
    # 120 false alarms above the hit on the tree of image 2; those on image 1 are found first.
    wrong = [(0, 0.9 - n / 1000) for n in range(120)]
    result = figures(truth, {1: [(0, 0.95), (40, 0.94)], 2: [*wrong, (20, 0.5)]}, backend=backend)
    # Recall 2/3 at precision 1 is 67 of COCO's 101 points; the third tree is found at precision 3/123.
    assert result['coco/segm_mAP'] == result['coco/segm_mAP_50'] == pytest.approx(67 / 101, abs=1e-3)
    assert result['coco/segm_mAP_all'] == pytest.approx((67 + 34 * 3 / 123) / 101, abs=1e-3)


@pytest.mark.parametrize('backend', BACKENDS)
def test_a_model_that_finds_nothing_has_figures_too(truth, backend):
    result = figures(truth, {}, backend=backend)
    assert result['coco/segm_mAP'] == result['coco/segm_mAP_50'] == result['coco/segm_F1_50'] == 0


def test_recalls_keep_the_limits_in_their_names(truth):
    assert CocoF1Metric(ann_file=str(truth), metric='segm').proposal_nums == [1, 10, 100]
    asked = CocoF1Metric(ann_file=str(truth), metric='segm', metric_items=['mAP', 'AR@300'])
    assert asked.proposal_nums == [100, 300, 1000]
    assert CocoF1Metric(ann_file=str(truth), proposal_nums=(1, 200)).proposal_nums == [1, 200]


def test_back_ends_that_cannot_answer_are_refused(truth):
    with pytest.raises(ConfigError, match="faster, pycocotools, not 'other'"):
        CocoF1Metric(ann_file=str(truth), backend='other')
    with pytest.raises(ConfigError, match='must hold 100'):
        CocoF1Metric(ann_file=str(truth), backend='pycocotools', proposal_nums=(1, 200))


@pytest.mark.parametrize('as_rle', [True, False])
def test_predictions_are_kept_as_rle_without_the_truth(tmp_path, as_rle):
    bits, rle = square(3), rectangle((64, 64), 3, 10, 20, 20)
    found = dict(masks=[rle] if as_rle else torch.from_numpy(bits)[None], scores=torch.ones(1))
    dump = DumpRleResults(out_file_path=str(tmp_path / 'x.pkl'))
    dump.process({}, [dict(img_id=1, gt_instances=dict(), pred_instances=found)])
    (kept,) = dump.results
    assert sorted(kept) == ['img_id', 'pred_instances']
    assert np.array_equal(pycoco.decode(kept['pred_instances']['masks'][0]), bits)

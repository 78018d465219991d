"""Figures that can be counted by hand, and figures of random data sets, which must be those of pycocotools."""

import copy
import json

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.datasets.api_wrappers import COCO, COCOeval
from mmdet.evaluation.metrics import CocoMetric
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from pycocotools import mask as pycoco

from fallen_trees.dump_results import DumpRleResults
from fallen_trees.errors import ConfigError
from fallen_trees.scoring.coco_f1_metric import BACKENDS, IOU, CocoF1Metric, use_chosen_threshold
from fallen_trees.scoring.coco_figures import accumulate, mean
from fallen_trees.scoring.coco_matching import Detections, Grid, Truths, match, truth_masks
from fallen_trees.scoring.score_threshold import best_threshold, counts_at

COCO_THRESHOLDS = np.linspace(0.5, 0.95, 10)


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
    # By 5 px: .6, which is enough for one of three trees.
    assert figures(truth, {1: [(5, 0.9)]}, score_threshold=0.5)['coco/segm_F1_50'] == 0.5


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
    """Predictions of a model that is often a little off: several for each object, some of another class; scores tie."""
    rng, cat_ids = np.random.default_rng(seed), coco.get_cat_ids()
    for image in coco.imgs.values():
        found = []
        for truth in coco.load_anns(coco.get_ann_ids(img_ids=[image['id']])):
            x, y, w, h = (int(value) for value in truth['bbox'])
            for dx, dy in rng.normal(0, 0.08, (per_object, 2)):
                box = x + int(dx * w), y + int(dy * h), max(1, w), max(1, h)
                label = cat_ids.index(truth['category_id']) if rng.random() < 0.9 else int(rng.integers(len(cat_ids)))
                found.append((rectangle((image['height'], image['width']), *box), box, label, round(rng.random(), 1)))
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


def as_detections(predictions, cat_ids, metric):
    """Predictions as COCO loads them."""
    for p in predictions:
        shapes = p['masks'] if metric == 'segm' else [[x, y, u - x, v - y] for x, y, u, v in p['bboxes'].tolist()]
        for label, score, shape in zip(p['labels'], p['scores'], shapes, strict=True):
            place = dict(segmentation=shape) if metric == 'segm' else dict(bbox=shape)
            yield dict(image_id=p['img_id'], category_id=cat_ids[label], score=float(score), **place)


def by_pycocotools(coco, predictions, metric, limits=(1, 10, 100), thresholds=COCO_THRESHOLDS):
    """COCOeval after all its steps; it writes into the truth, which is therefore a copy."""
    truth = copy.deepcopy(coco)
    found = truth.loadRes(list(as_detections(predictions, coco.get_cat_ids(), metric)))
    evaluation = COCOeval(truth, found, metric)
    evaluation.params.maxDets, evaluation.params.iouThrs = list(limits), thresholds
    evaluation.evaluate()
    evaluation.accumulate()
    if len(limits) == 3:
        evaluation.summarize()
    return evaluation


def by_us(coco, predictions, metric, limits=(1, 10, 100)):
    cat_ids = coco.get_cat_ids()
    grid = Grid.of_ids(cat_ids, coco.get_img_ids())
    truths = Truths.of_coco(coco, grid, metric)
    detections = Detections.of_predictions(predictions, grid, cat_ids, metric)
    matches = match(truths, detections, grid, COCO_THRESHOLDS)
    return detections, matches, accumulate(detections, matches, grid, COCO_THRESHOLDS, limits)


def check_equal_to_pycocotools(coco, predictions, metric, limits=(1, 10, 100)):
    """All of precision and recall, the 12 figures, and what F1 counts: not close, equal."""
    theirs = by_pycocotools(coco, predictions, metric, limits)
    detections, matches, figures = by_us(coco, predictions, metric, limits)
    assert np.array_equal(figures.precision, theirs.eval['precision'])
    assert np.array_equal(figures.recall, theirs.eval['recall'])
    if len(theirs.stats):
        # Where 100 is no limit, pycocotools reports -1 in the first place.
        assert figures.stats()[1:].tolist() == theirs.stats[1:].tolist()
        assert figures.stats()[0] == (theirs.stats[0] if 100 in limits else mean(theirs.eval['precision'][..., 0, -1]))
    unlimited = by_pycocotools(coco, predictions, metric, limits=[10**6], thresholds=np.array([IOU]))
    found = [e for e in unlimited.evalImgs if e is not None and e['aRng'] == [0, 1e10]]
    wanted = [
        (score, hit > 0)
        for e in found
        for score, hit, ignored in zip(e['dtScores'], e['dtMatches'][0], e['dtIgnore'][0], strict=True)
        if not ignored
    ]
    half = int(np.flatnonzero(figures.thresholds == IOU)[0])
    counted = ~matches.ignored[0, half]
    ours = zip(detections.scores[counted].tolist(), matches.hits[0, half, counted].tolist(), strict=True)
    assert sorted(ours) == sorted(wanted)
    return figures


def all_figures(file, predictions, backend='batched', metric=('bbox', 'segm'), cls=CocoF1Metric, **settings):
    MessageHub.get_instance('f1_test')
    if cls is CocoF1Metric:
        settings['backend'] = backend
    metric = cls(ann_file=str(file), metric=list(metric), **settings)
    metric.dataset_meta = dict(classes=[c['name'] for c in metric._coco_api.dataset['categories']])
    for p in predictions:
        found = {key: torch.from_numpy(p[key]) for key in ('bboxes', 'scores', 'labels')} | dict(masks=p['masks'])
        metric.process({}, [dict(img_id=p['img_id'], ori_shape=(160, 160), pred_instances=found)])
    return metric.evaluate(len(predictions))


def test_all_back_ends_give_the_same_figures(random_truth):
    predictions = list(guesses(COCO(str(random_truth))))
    batched, *others = (all_figures(random_truth, predictions, name) for name in BACKENDS)
    assert 0.1 < batched['coco/segm_mAP_50'] < 1
    assert not any(key.endswith('mAP_all') for key in batched)
    assert all(other == batched for other in others)


@pytest.mark.parametrize('metric', ['segm', 'bbox'])
@pytest.mark.parametrize('limits', [(1, 10, 100), (1, 2, 3), (3,)])
def test_figures_equal_those_of_pycocotools(random_truth, metric, limits):
    coco = COCO(str(random_truth))
    figures = check_equal_to_pycocotools(coco, list(guesses(coco)), metric, limits=limits)
    assert 0.05 < figures.average_precision(limits[-1]) < 0.95


def test_figures_equal_those_of_pycocotools_on_real_photos(real_data):
    (file,) = real_data.glob('coco_permissive33/*.json')
    coco = COCO(str(file))
    for metric in ('segm', 'bbox'):
        assert 0.05 < check_equal_to_pycocotools(coco, list(guesses(coco)), metric).stats()[0] < 0.95


# Numbers from short lists, so that scores, overlaps and areas often tie, and stand at the edges of COCO's ranges.
BOXES = st.tuples(*[st.sampled_from([0, 8, 16, 40]) for _ in 'xy'], *[st.sampled_from([8, 16, 32, 96]) for _ in 'wh'])
OBJECTS = st.tuples(st.integers(1, 4), st.integers(0, 1), BOXES, st.integers(0, 4))
FOUND = st.tuples(st.integers(1, 4), st.integers(0, 1), BOXES, st.sampled_from([0.1, 0.5, 0.9]))


def data_set(objects, first_id=1, size=160):
    """Four images and two classes whose ids are not in order; one object in five is a crowd, some are polygons."""
    coco, annotations = COCO(), []
    for image, label, (x, y, w, h), kind in objects:
        rings = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        shape = rings * 2 if kind == 1 else rings if kind == 2 else rectangle((size, size), x, y, w, h)
        annotations.append(
            dict(id=len(annotations) + first_id, image_id=image, category_id=(7, 3)[label], iscrowd=int(kind == 0),
                 bbox=[x, y, w, h], area=w * h - kind, segmentation=shape)
        )  # fmt: skip
    coco.dataset = dict(
        images=[dict(id=i, file_name=f'{i}.png', width=size, height=size) for i in (4, 2, 1, 3)],
        categories=[dict(id=7, name='a'), dict(id=3, name='b')],
        annotations=annotations,
    )
    coco.createIndex()
    return coco


def found_on(images, found, size=160):
    for image in images:
        own = [f for f in found if f[0] == image]
        yield dict(
            img_id=image,
            labels=np.array([label for _, label, _, _ in own], int),
            scores=np.array([score for *_, score in own], np.float32),
            bboxes=np.array([[x, y, x + w, y + h] for _, _, (x, y, w, h), _ in own], np.float32).reshape(-1, 4),
            masks=[rectangle((size, size), *box) for _, _, box, _ in own],
        )


@settings(max_examples=120, deadline=None)
@given(st.lists(OBJECTS, max_size=14), st.lists(FOUND, min_size=1, max_size=20), st.integers(0, 1),
       st.sampled_from([(1, 10, 100), (1, 2, 3)]))  # fmt: skip
def test_figures_equal_those_of_pycocotools_whatever_the_data(objects, found, first_id, limits):
    coco = data_set(objects, first_id)
    predictions = list(found_on((3, 1, 4), found)) + list(found_on((2,), found))
    for metric in ('segm', 'bbox'):
        check_equal_to_pycocotools(coco, predictions, metric, limits=limits)


def test_outlines_are_drawn_as_pycocotools_draws_them_one_by_one():
    one, other, line = [1, 1, 30, 1, 30, 9], [40.5, 3, 60, 3, 60, 20.5, 41, 20], [[5, 50, 20, 60]]
    uncompressed = dict(size=[64, 80], counts=[10, 5, 64 * 80 - 15])
    shapes = [[one], [other], [one, other], [other, *line], uncompressed, rectangle((64, 80), 3, 4, 5, 6)]
    annotations = [dict(id=n, image_id=n % 2, segmentation=shape) for n, shape in enumerate(shapes, 1)]
    coco = COCO()
    coco.imgs = {0: dict(height=64, width=80), 1: dict(height=64, width=80)}
    drawn = truth_masks(coco, annotations)
    wanted = [coco.annToRLE(annotation) for annotation in annotations]
    assert [pycoco.decode(m).tolist() for m in drawn] == [pycoco.decode(m).tolist() for m in wanted]
    assert all(pycoco.decode(m).any() for m in drawn)
    for draw in (coco.annToRLE, lambda annotation: truth_masks(coco, [*annotations, annotation])):
        with pytest.raises(TypeError):
            draw(dict(id=9, image_id=1, segmentation=line))


@pytest.mark.parametrize('found', [[], [(1, 0, (0, 0, 8, 8), 0.5)]])
def test_no_truth_is_no_error(found):
    _, _, figures = by_us(data_set([]), list(found_on((1, 2), found)), 'segm')
    assert figures.stats().tolist() == [-1] * 12


def test_the_12_names_limits_and_classes_are_those_of_cocometric(random_truth):
    predictions = list(guesses(COCO(str(random_truth))))
    items = ['mAP', 'mAP_75', 'mAP_s', 'AR@100', 'AR@1000', 'AR_m@1000']
    asked = dict(
        classwise=True,
        metric_items=items,
        proposal_nums=(2, 100, 50),
        iou_thrs=np.array([0.3, 0.4, 0.6, 0.65, 0.7, 0.75]),
    )
    ours = all_figures(random_truth, predictions, **asked)
    stock = all_figures(random_truth, predictions, cls=CocoMetric, **asked)
    assert {key: ours[key] for key in stock} == pytest.approx(stock, nan_ok=True)
    assert {'coco/a_precision', 'coco/segm_AR_m@1000', 'coco/bbox_mAP_75'} <= set(stock)
    # F1 is that at IoU 0.5, which is not among the thresholds.
    assert ours['coco/segm_F1_50'] == all_figures(random_truth, predictions)['coco/segm_F1_50'] > 0


def test_unknown_items_foreign_images_and_missing_masks_are_said(random_truth):
    predictions = list(guesses(COCO(str(random_truth))))
    with pytest.raises(KeyError, match='"AP" is not supported'):
        all_figures(random_truth, predictions, metric_items=['AP'])
    with pytest.raises(ValueError, match=r'not of \[99\]'):
        all_figures(random_truth, [*predictions, predictions[0] | dict(img_id=99)])
    metric = CocoF1Metric(ann_file=str(random_truth), metric='segm')
    metric.dataset_meta = dict(classes=['a', 'b'])
    boxes = {key: torch.from_numpy(predictions[0][key]) for key in ('bboxes', 'scores', 'labels')}
    metric.process({}, [dict(img_id=1, ori_shape=(160, 160), pred_instances=boxes)])
    with pytest.raises(KeyError, match='segm is not in results'):
        metric.evaluate(1)


@pytest.mark.parametrize('format_only', [True, False])
def test_files_are_written_where_they_are_asked_for(random_truth, tmp_path, format_only):
    coco = COCO(str(random_truth))
    predictions = list(guesses(coco))
    asked = dict(outfile_prefix=str(tmp_path / 'found'), format_only=format_only)
    figures = all_figures(random_truth, predictions, **asked)
    assert (figures == {}) == format_only
    written = json.loads((tmp_path / 'found.segm.json').read_text())
    assert [d['score'] for d in written] == [float(score) for p in predictions for score in p['scores']]
    assert sorted(path.name for path in tmp_path.iterdir()) == ['found.bbox.json', 'found.segm.json']


def test_proposals_are_those_of_cocometric(random_truth):
    predictions = list(guesses(COCO(str(random_truth))))
    ours = all_figures(random_truth, predictions, metric=['proposal', 'segm'])
    stock = all_figures(random_truth, predictions, metric=['proposal', 'segm'], cls=CocoMetric)
    assert {key: ours[key] for key in stock} == stock
    assert 'coco/AR@300' in stock and 'coco/segm_F1_50' in ours


def test_without_an_annotation_file_the_truth_comes_with_the_samples(random_truth):
    coco, figures = COCO(str(random_truth)), []
    predictions = list(guesses(coco))
    for cls in (CocoF1Metric, CocoMetric):
        metric = cls(metric=['bbox', 'segm'], proposal_nums=(1, 10, 100))
        metric.dataset_meta = dict(classes=['a', 'b'])
        for p in predictions:
            truths = coco.load_anns(coco.get_ann_ids(img_ids=[p['img_id']]))
            instances = [
                dict(bbox_label=t['category_id'] - 1, mask=dict(t['segmentation']), ignore_flag=t['iscrowd'],
                     bbox=[t['bbox'][0], t['bbox'][1], t['bbox'][0] + t['bbox'][2], t['bbox'][1] + t['bbox'][3]])
                for t in truths
            ]  # fmt: skip
            found = {key: torch.from_numpy(p[key]) for key in ('bboxes', 'scores', 'labels')} | dict(masks=p['masks'])
            sample = dict(img_id=p['img_id'], ori_shape=(160, 160), pred_instances=found, instances=instances)
            metric.process({}, [sample])
        figures.append(metric.evaluate(len(predictions)))
    assert figures[1].items() <= figures[0].items()
    assert figures[1]['coco/segm_mAP_50'] > 0.1


def test_masks_may_have_scores_of_their_own(truth):
    masks = torch.from_numpy(np.stack([square(0), square(30)]))
    found = dict(masks=masks, labels=torch.zeros(2, dtype=torch.long), bboxes=torch.zeros(2, 4),
                 scores=torch.tensor([0.4, 0.6]), mask_scores=torch.tensor([0.9, 0.1]))  # fmt: skip
    metric = CocoF1Metric(ann_file=str(truth), metric='segm')
    metric.dataset_meta = dict(classes=('fallen_tree',))
    metric.process({}, [dict(img_id=1, ori_shape=(64, 64), pred_instances=found)])
    # One of three trees is found, and the false alarm comes behind it.
    assert metric.evaluate(1)['coco/segm_mAP_50'] == pytest.approx(34 / 101, abs=1e-3)


def test_the_next_validation_starts_from_the_same_truth(random_truth):
    predictions = list(guesses(COCO(str(random_truth))))
    metric = CocoF1Metric(ann_file=str(random_truth), metric=['bbox', 'segm'])
    metric.dataset_meta = dict(classes=['a', 'b'])
    twice = []
    for _ in range(2):
        for p in predictions:
            found = {key: torch.from_numpy(p[key]) for key in ('bboxes', 'scores', 'labels')} | dict(masks=p['masks'])
            metric.process({}, [dict(img_id=p['img_id'], ori_shape=(160, 160), pred_instances=found)])
        twice.append(metric.evaluate(len(predictions)))
    assert twice[0] == twice[1] == all_figures(random_truth, predictions)


def one_of_two(rank, file, meeting, queue):
    """Half of the images; the other process has the other half."""
    dist.init_process_group('gloo', init_method=f'file://{meeting}', rank=rank, world_size=2)
    predictions = list(guesses(COCO(str(file))))
    metric = CocoF1Metric(ann_file=str(file), metric=['bbox', 'segm'])
    metric.dataset_meta = dict(classes=['a', 'b'])
    # A sampler deals images in turn, and gives the first once more where they do not divide by two.
    for p in [*predictions, predictions[0]][rank::2]:
        found = {key: torch.from_numpy(p[key]) for key in ('bboxes', 'scores', 'labels')} | dict(masks=p['masks'])
        metric.process({}, [dict(img_id=p['img_id'], ori_shape=(160, 160), pred_instances=found)])
    queue.put((rank, metric.evaluate(len(predictions))))
    dist.destroy_process_group()


def test_two_processes_have_the_figures_of_one(random_truth, tmp_path):
    queue = mp.get_context('fork').SimpleQueue()
    mp.start_processes(one_of_two, (random_truth, tmp_path / 'meeting', queue), nprocs=2, start_method='fork')
    wanted = all_figures(random_truth, list(guesses(COCO(str(random_truth)))))
    assert dict(queue.get() for _ in range(2)) == {0: wanted, 1: wanted}


def test_detections_on_a_crowd_are_neither_hits_nor_false_alarms(random_truth):
    coco = COCO(str(random_truth))
    crowds = [a for a in coco.anns.values() if a['iscrowd']]
    alone = dict(scores=np.ones(1), bboxes=np.zeros((1, 4)))
    found = [dict(alone, img_id=a['image_id'], labels=np.array([a['category_id'] - 1]), masks=[a['segmentation']])
             for a in crowds]  # fmt: skip
    _, matches, _ = by_us(coco, found, 'segm')
    hits, counted = matches.hits[0, 0], ~matches.ignored[0, 0]
    assert len(crowds) > 5
    # A crowd may lie on an object as well, which is then a hit.
    assert counted.sum() == (hits & counted).sum() < len(crowds)
    assert matches.countable[0].sum() == len(coco.anns) - len(crowds)


def test_an_annotation_with_the_id_0_is_warned_of(tmp_path, caplog):
    coco = data_set([(1, 0, (0, 0, 32, 32), 4)], first_id=0)
    (tmp_path / 'truth.json').write_text(json.dumps(coco.dataset))
    metric = CocoF1Metric(ann_file=str(tmp_path / 'truth.json'), metric='bbox')
    metric.dataset_meta = dict(classes=['a', 'b'])
    found = dict(labels=torch.zeros(1, dtype=int), scores=torch.ones(1), bboxes=torch.tensor([[0.0, 0, 32, 32]]))
    metric.process({}, [dict(img_id=1, ori_shape=(160, 160), pred_instances=found)])
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    assert metric.evaluate(1)['coco/bbox_mAP'] == 0
    logger.removeHandler(caplog.handler)
    assert 'id 0' in caplog.text


@pytest.mark.parametrize('backend', BACKENDS)
def test_more_than_100_detections_count_in_figures_of_their_own(truth, backend):
    # 120 false alarms above the hit on the tree of image 2; those on image 1 are found first.
    wrong = [(0, 0.9 - n / 1000) for n in range(120)]
    result = figures(truth, {1: [(0, 0.95), (40, 0.94)], 2: [*wrong, (20, 0.5)]}, backend=backend)
    # Recall 2/3 at precision 1 is 67 of COCO's 101 points; the third tree is found at precision 3/123.
    assert result['coco/segm_mAP'] == result['coco/segm_mAP_50'] == pytest.approx(67 / 101, abs=1e-3)
    assert result['coco/segm_mAP_all'] == pytest.approx((67 + 34 * 3 / 123) / 101, abs=1e-3)


@pytest.mark.parametrize('backend', ['batched', 'pycocotools'])
def test_the_first_figure_counts_100_and_the_second_the_third_limit(truth, backend):
    wrong = [(0, 0.9 - n / 1000) for n in range(120)]
    found = {1: [(0, 0.95), (40, 0.94)], 2: [*wrong, (20, 0.5)]}
    result = figures(truth, found, backend=backend, proposal_nums=(1, 100, 300))
    assert result['coco/segm_mAP'] == pytest.approx(67 / 101, abs=1e-3)
    assert result['coco/segm_mAP_50'] == pytest.approx((67 + 34 * 3 / 123) / 101, abs=1e-3)


def test_of_equal_overlaps_the_later_object_is_taken():
    # At IoU 0.8 the first detection may have either object, the second one only the first.
    objects = [(1, 0, (0, 0, 10, 10), 4), (1, 0, (2, 0, 10, 10), 4)]
    found = [(1, 0, (1, 0, 10, 10), 0.9), (1, 0, (0, 0, 10, 10), 0.5)]
    for turned, recall in ((objects, 1.0), (objects[::-1], 0.5)):
        reached = check_equal_to_pycocotools(data_set(turned), list(found_on((1,), found)), 'segm').recall
        assert reached[6, 1, 0, -1] == recall


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
    with pytest.raises(ConfigError, match="batched, pycocotools, faster, not 'other'"):
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

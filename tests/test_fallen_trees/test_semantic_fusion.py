"""Semantic results are the published formula's and Hugging Face's, in any memory; figures are those by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData

from fallen_trees.errors import ConfigError
from fallen_trees.heads.fusion_head import BlockwiseFusionHead
from fallen_trees.heads.semantic_fusion import SemanticFusionHead, best_class
from fallen_trees.scoring.semantic_iou_metric import SemanticIoUMetric, semantic_figures

CLASSES, QUERIES = 5, 25


def logits(size, seed=0, classes=CLASSES, queries=QUERIES):
    """Of two images: classes (2, queries, classes + 1), masks (2, queries, h, w) as smooth as a network's.

    The queries share the classes out, so that each wins somewhere.
    """
    generator = torch.Generator().manual_seed(seed)
    masks = F.interpolate(4 * torch.randn(2, queries, 8, 8, generator=generator), size, mode='bicubic')
    sure = 5.0 * F.one_hot(torch.arange(queries) % (classes + 1), classes + 1)
    return sure + torch.randn(2, queries, classes + 1, generator=generator), masks


def samples(ori_shape, img_shape, padded):
    meta = dict(ori_shape=ori_shape, img_shape=img_shape, batch_input_shape=padded)
    return [DetDataSample(metainfo=meta) for _ in range(2)]


def head(kind=SemanticFusionHead, **test_cfg):
    settings = dict(panoptic_on=False, instance_on=False, semantic_on=True) | test_cfg
    return kind(num_things_classes=CLASSES, num_stuff_classes=0, test_cfg=settings)


def maps(results):
    return [result['sem_results'].sem_seg[0].long() for result in results]


@pytest.mark.parametrize('target', [(384, 384), (301, 517), (720, 405), (97, 64)])
def test_maps_are_those_of_hugging_face(target):
    """Its processor enlarges masks to 384 x 384 px before it weighs them, so that is the network's size here."""
    transformers = pytest.importorskip('transformers')
    classes, masks = logits((96, 96))
    outputs = SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks)
    processor = transformers.Mask2FormerImageProcessor()
    theirs = processor.post_process_semantic_segmentation(outputs, target_sizes=[target] * 2)
    ours = maps(head().predict(classes, masks, samples(target, (384, 384), (384, 384)), rescale=True))
    for one, other in zip(ours, theirs, strict=True):
        assert len(other.unique()) == CLASSES
        assert torch.equal(one, other)


def by_formula(classes, masks, ori_shape, img_shape, padded):
    """As the formula stands, with whole tensors in double precision."""
    masks = F.interpolate(masks.double()[None], padded, mode='bilinear', align_corners=False)
    masks = masks[0, :, : img_shape[0], : img_shape[1]].sigmoid()
    scores = torch.einsum('qc,qhw->chw', classes.double().softmax(-1)[:, :-1], masks)
    return F.interpolate(scores[None], ori_shape, mode='bilinear', align_corners=False)[0]


@pytest.mark.parametrize('memory_mb', [256, 0.05, 0.001])
def test_padding_is_cut_off_and_memory_changes_nothing(memory_mb):
    sizes = (90, 140), (60, 93), (64, 96)
    classes, masks = logits((16, 24), seed=3)
    found = maps(head(mask_memory_mb=memory_mb).predict(classes, masks, samples(*sizes), rescale=True))
    for image, one in enumerate(found):
        scores = by_formula(classes[image], masks[image], *sizes)
        assert one.shape == sizes[0]
        lost = scores.max(0).values - scores.gather(0, one[None])[0]  # a tie may go either way
        assert lost.max() < 1e-6 and (one == scores.argmax(0)).float().mean() > 0.9999


def test_without_rescaling_the_map_has_the_networks_size():
    classes, masks = logits((16, 24))
    found = head().predict(classes, masks, samples((90, 140), (60, 93), (64, 96)))
    assert maps(found)[0].shape == (60, 93)


def test_no_object_never_wins_and_equal_scores_go_to_the_first_class():
    nothing = torch.zeros(2, QUERIES, CLASSES + 1)
    nothing[..., -1] = 50
    found = maps(head().predict(nothing, logits((16, 24))[1], samples((32, 48), (64, 96), (64, 96)), rescale=True))
    assert found[0].eq(0).all()
    assert best_class(torch.zeros(300, 2, 2), (2, 2)).dtype == torch.int16


def test_instances_can_be_made_at_the_same_time():
    classes, masks = logits((16, 24))
    both = head(instance_on=True, max_per_image=5, score_thr=0.0)
    alone = head(BlockwiseFusionHead, instance_on=True, semantic_on=False, max_per_image=5, score_thr=0.0)
    view = samples((90, 140), (60, 93), (64, 96))
    one, other = (made.predict(classes, masks, view, rescale=True)[0] for made in (both, alone))
    assert torch.equal(one['ins_results'].scores, other['ins_results'].scores) and 'sem_results' in one
    with pytest.raises(NotImplementedError, match='SemanticFusionHead'):
        head(BlockwiseFusionHead).predict(classes, masks, view)


# By hand: class 0 has 4 pixels, 3 of them found, and one of class 1 is called it: 3 / 5. Class 1 has 3, 2 found: 2 / 4.
# Class 2 is nowhere in the truth and predicted on one scored pixel: 0 / 1. Class 3 is nowhere at all.
TRUTH = [[0, 0, 0, 0], [1, 1, 1, 255]]
FOUND = [[0, 0, 0, 1], [1, 1, 0, 2]]


def metric(classes=('a', 'b', 'c', 'd'), **kwargs):
    made = SemanticIoUMetric(**kwargs)
    made.dataset_meta = dict(classes=classes)
    return made


def sample(truth, found, **more):
    made = DetDataSample(gt_sem_seg=PixelData(sem_seg=torch.tensor([truth], dtype=torch.int16), **more))
    made.pred_sem_seg = PixelData(sem_seg=torch.tensor([found], dtype=torch.uint8))
    return made.to_dict()


def test_figures_by_hand():
    made = metric()
    made.process({}, [sample(TRUTH, FOUND), sample([[255, 255]], [[2, 0]])])  # a second image that is all void
    figures = made.evaluate(2)
    assert figures['semantic/IoU/a'] == pytest.approx(3 / 5)
    assert figures['semantic/IoU/b'] == pytest.approx(2 / 4)
    assert 'semantic/IoU/c' not in figures  # predicted on void alone
    assert 'semantic/IoU/d' not in figures
    assert figures['semantic/mIoU'] == pytest.approx((3 / 5 + 2 / 4) / 2)
    assert figures['semantic/mAcc'] == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert figures['semantic/aAcc'] == pytest.approx(5 / 7)


def test_a_class_predicted_where_it_is_not_counts_as_0():
    made = metric()
    made.process({}, [sample([[0, 0]], [[0, 2]])])
    figures = made.evaluate(1)
    assert (figures['semantic/IoU/a'], figures['semantic/IoU/c']) == (0.5, 0.0)
    assert figures['semantic/mIoU'] == 0.25 and figures['semantic/mAcc'] == 0.5


def test_pixels_of_all_images_are_summed_before_they_are_divided():
    made = metric()
    made.process({}, [sample([[0] * 10], [[0] * 10]), sample([[0, 1]], [[1, 1]])])
    assert made.evaluate(2)['semantic/IoU/a'] == pytest.approx(10 / 11)


def test_sums_agree_with_counting_pixel_by_pixel():
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 6, 4000), rng.integers(0, 6, 4000)
    truth[rng.random(4000) < 0.1] = 255
    confusion = np.zeros((6, 6), int)
    for one, other in zip(truth, found, strict=True):
        if one != 255:
            confusion[one, other] += 1
    figures = semantic_figures(confusion, list('abcdef'))
    scored = truth != 255
    for label, name in enumerate('abcdef'):
        is_it, called_it = (truth == label) & scored, (found == label) & scored
        assert figures[f'IoU/{name}'] == pytest.approx((is_it & called_it).sum() / (is_it | called_it).sum())


def test_nothing_scored_is_no_figure():
    assert all(math.isnan(value) for value in semantic_figures(np.zeros((2, 2), int), ['a', 'b']).values())


@pytest.mark.parametrize(
    ('broken', 'said'),
    [
        (sample([[0, 1]], [[0, 1, 1]]), 'must be of one size'),
        (sample([[0, 9]], [[0, 1]]), 'labels from 0 to 3 and 255 for void; it holds 0 to 9'),
        ({k: v for k, v in sample(TRUTH, FOUND).items() if k != 'gt_sem_seg'}, 'has no label map'),
    ],
)
def test_truth_that_cannot_be_scored_is_refused(broken, said):
    with pytest.raises(ConfigError, match=said):
        metric().process({}, [broken])

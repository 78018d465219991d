"""Instances from mask logits: the same as MMDetection's head makes, in less memory."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models import MaskFormerFusionHead
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from pycocotools import mask as pycoco

from fallen_trees.errors import ConfigError
from fallen_trees.heads.block_masks import BLOCK, axis, enlarge, enlarged_runs, positive_blocks, whole_groups
from fallen_trees.heads.fusion_head import BlockwiseFusionHead

QUERIES, CLASSES = 12, 2
# padded input, network's image, file's image; (height, width)
SIZES = {
    'same size': ((128, 192), (128, 192), (128, 192)),
    'padding': ((128, 192), (100, 161), (100, 161)),
    'file larger, odd': ((128, 192), (128, 181), (259, 367)),
    'file smaller': ((128, 192), (120, 192), (77, 123)),
    'file much smaller': ((128, 192), (128, 192), (10, 15)),
    'width and height apart': ((96, 192), (96, 192), (300, 61)),
}


def logs(queries=QUERIES, h=32, w=48, seed=0):
    """Logits (queries, h, w) as of thin trunks at any angle; the first query finds nothing, the second everything."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:h, :w]
    centre_y, centre_x, angle, length, width = rng.uniform(
        (0, 0, 0, 3, 0.6), (h, w, np.pi, h / 2, 2), (queries, 5)
    ).T[..., None, None]  # fmt: skip
    along = (x - centre_x) * np.cos(angle) + (y - centre_y) * np.sin(angle)
    across = (y - centre_y) * np.cos(angle) - (x - centre_x) * np.sin(angle)
    logits = 4 - 4 * np.maximum(abs(along) / length, abs(across) / width).clip(0, 3)
    logits += rng.normal(0, 0.3, logits.shape)
    logits[0], logits[1] = -abs(logits[0]), abs(logits[1])
    return torch.from_numpy(logits.astype(np.float32))


def sample(padded, image, file):
    return DetDataSample(metainfo=dict(batch_input_shape=padded, img_shape=image, ori_shape=file))


def predict(kind, masks, sizes, rescale=True, classes=None, **settings):
    """Results of one image, by MMDetection's head or ours."""
    settings = dict(panoptic_on=False, instance_on=True, max_per_image=QUERIES) | settings
    head = kind(CLASSES, 0, test_cfg=ConfigDict(settings))
    if classes is None:
        classes = torch.randn(len(masks), CLASSES + 1, generator=torch.Generator().manual_seed(0)) * 3
    if kind is MaskFormerFusionHead:
        masks = F.interpolate(masks[None], sizes[0], mode='bilinear', align_corners=False)[0]
    return head.predict(classes[None], masks[None], [sample(*sizes)], rescale=rescale)[0]


def check_same(ours, stock, masks, sizes):
    """Equal, but for pixels whose logit is zero up to rounding."""
    assert len(ours) == len(stock) > 0
    assert torch.equal(ours.labels, stock.labels)
    assert torch.allclose(ours.scores, stock.scores, atol=1e-5)
    assert torch.equal(ours.bboxes, stock.bboxes)
    unsure = (enlarge(masks, sizes).abs() < 1e-4).any(0)
    assert unsure.float().mean() < 0.02
    found = np.stack([pycoco.decode(mask) for mask in ours.masks]).astype(bool)
    assert found.any()
    assert not (found != stock.masks.numpy())[:, ~unsure.numpy()].any()


@pytest.mark.parametrize('rescale', [True, False])
@pytest.mark.parametrize('enlarged', [False, True], ids=['decoder logits', 'input logits'])
@pytest.mark.parametrize('sizes', SIZES.values(), ids=SIZES)
def test_instances_are_mmdetections(sizes, enlarged, rescale):
    masks = logs()
    stock = predict(MaskFormerFusionHead, masks, sizes, rescale)['ins_results']
    given_masks = F.interpolate(masks[None], sizes[0], mode='bilinear', align_corners=False)[0] if enlarged else masks
    ours = predict(BlockwiseFusionHead, given_masks, sizes, rescale)['ins_results']
    check_same(ours, stock, masks, sizes if rescale else sizes[:2])


def test_a_working_memory_of_one_block_at_a_time_changes_nothing():
    masks, sizes = logs(), SIZES['file larger, odd']
    stock = predict(MaskFormerFusionHead, masks, sizes)['ins_results']
    check_same(predict(BlockwiseFusionHead, masks, sizes, mask_memory_mb=0)['ins_results'], stock, masks, sizes)


def test_autocast_does_not_reach_the_masks():
    masks, sizes = logs(), SIZES['padding']
    stock = predict(MaskFormerFusionHead, masks, sizes)['ins_results']
    with torch.autocast('cpu', torch.bfloat16):
        ours = predict(BlockwiseFusionHead, masks, sizes)['ins_results']
    check_same(ours, stock, masks, sizes)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('sizes', SIZES.values(), ids=SIZES)
def test_instances_on_a_gpu_are_those_on_the_cpu(sizes):
    masks, classes = logs(), torch.randn(QUERIES, CLASSES + 1, generator=torch.Generator().manual_seed(0)) * 3
    stock = predict(MaskFormerFusionHead, masks, sizes, classes=classes)['ins_results']
    ours = predict(BlockwiseFusionHead, masks.cuda(), sizes, classes=classes.cuda())['ins_results']
    assert ours.scores.is_cuda and ours.bboxes.is_cuda
    order = [at.scores.cpu().argsort(stable=True).tolist() for at in (ours, stock)]
    ours, stock = ours.cpu()[torch.tensor(order[0])], stock[torch.tensor(order[1])]
    check_same(ours, stock, masks, sizes)


@settings(max_examples=40)
@given(
    cells=st.tuples(st.integers(1, 12), st.integers(1, 40)),
    padded=st.tuples(st.integers(1, 90), st.integers(1, 300)),
    cut=st.tuples(st.floats(0.3, 1), st.floats(0.3, 1)),
    file=st.none() | st.tuples(st.integers(1, 200), st.integers(1, 150)),
    seed=st.integers(0, 9),
)
def test_no_positive_pixel_lies_outside_the_blocks_that_are_looked_at(cells, padded, cut, file, seed):
    image = tuple(max(1, int(side * share)) for side, share in zip(padded, cut, strict=True))
    sizes = (padded, image, file) if file else (padded, image)
    masks = torch.randn(2, *cells, generator=torch.Generator().manual_seed(seed)) - 1
    logits = enlarge(masks, sizes)
    axes = [axis(n, tuple(size[i] for size in sizes), masks.device) for i, n in enumerate(cells)]
    looked_at = torch.zeros_like(logits, dtype=torch.bool)
    for query, row, column in zip(*positive_blocks(masks, torch.arange(2), *axes, 1e6), strict=True):
        looked_at[query, row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK] = True
    assert not (logits > 0)[~looked_at].any()
    found = torch.from_numpy(
        np.concatenate([runs.dense() for runs, _ in enlarged_runs(masks, torch.arange(2), sizes, 1)])
    )
    assert torch.equal(found[logits.abs() > 1e-4], (logits > 0)[logits.abs() > 1e-4])


def test_little_is_looked_at_for_a_thin_log():
    masks = torch.full((1, 128, 128), -5.0)
    masks[0, range(10, 110), range(10, 110)] = 5.0  # from corner to corner of a 512 px tile
    both = axis(128, (512, 512), masks.device)
    assert len(positive_blocks(masks, torch.tensor([0]), both, both, 1e6)[0]) <= 3 * 512 // BLOCK


@pytest.mark.parametrize('threshold', [0.05, 0.2, 0.4])
def test_a_score_threshold_keeps_the_same_detections_as_filtering_afterwards(threshold):
    masks, sizes = logs(), SIZES['padding']
    every = predict(BlockwiseFusionHead, masks, sizes)['ins_results']
    kept = predict(BlockwiseFusionHead, masks, sizes, score_thr=threshold)['ins_results']
    expected = every[every.scores >= threshold]
    assert 0 < len(kept) < len(every)
    assert torch.equal(kept.scores, expected.scores)
    assert torch.equal(kept.bboxes, expected.bboxes)
    assert kept.masks == expected.masks


def squares(*places, side=32, size=8):
    """Logits of squares with their upper left corner at these cells; None is a query that shows nothing."""
    logits = torch.full((len(places), side, side), -5.0)
    for mask, place in zip(logits, places, strict=True):
        if place is not None:
            mask[place[0] : place[0] + size, place[1] : place[1] + size] = 5.0
    return logits


def scored(masks, labels, sizes=((128, 128),) * 3, **settings):
    """Final scores of one detection per query, the first query the surest, in the queries' order."""
    classes = torch.full((len(masks), CLASSES + 1), -9.0)
    for number, label in enumerate(labels):
        classes[number, label], classes[number, -1] = 3.0 - 0.3 * number, 0.0
    found = predict(BlockwiseFusionHead, masks, sizes, classes=classes, score_thr=1e-4, **settings)['ins_results']
    kept = found.scores > 1e-3
    order = found.scores[kept].argsort(descending=True)
    return found.scores[kept][order], found.bboxes[kept][order]


def test_duplicates_lose_score_by_their_overlap_and_nothing_else_does():
    masks = squares((0, 0), (20, 20), (0, 0), (4, 0), (0, 20))
    plain, _ = scored(masks, [0, 0, 0, 0, 0])
    lowered, boxes = scored(masks, [0, 0, 0, 0, 0], matrix_nms_sigma=2.0)
    # the third query is the first once more; the fourth has half of their rows, an IoU of 1/3
    expected = plain * torch.tensor([0.0, 0.0, -2.0, -2 / 9, 0.0]).exp()
    assert torch.allclose(lowered, expected.sort(descending=True).values, atol=1e-5)
    assert boxes[-1].tolist() == boxes[0].tolist()


def test_duplicates_are_of_one_class():
    masks = squares((0, 0), (0, 0))
    assert torch.equal(scored(masks, [0, 1])[0], scored(masks, [0, 1], matrix_nms_sigma=2.0)[0])
    assert scored(masks, [0, 0], matrix_nms_sigma=2.0)[0][1] < 0.2 * scored(masks, [0, 0])[0][1]


def test_queries_without_a_pixel_are_nobodys_duplicates():
    found = predict(
        BlockwiseFusionHead, squares((0, 0), None, None), ((128, 128),) * 3, matrix_nms_sigma=2.0, score_thr=0.0
    )['ins_results']
    assert torch.isfinite(found.scores).all()
    (first, *_), _ = scored(squares((0, 0), None, None), [0, 0, 0], matrix_nms_sigma=2.0)
    assert first == scored(squares((0, 0), None, None), [0, 0, 0])[0][0]


def test_padding_is_no_overlap():
    """Two neighbours that both run on into the padding overlap only there, where no image is."""
    masks = squares((0, 0), (8, 0), size=8)
    masks[:, :, 16:] = 5.0
    sizes = ((128, 128), (128, 64), (128, 64))
    assert torch.equal(scored(masks, [0, 0], sizes)[0], scored(masks, [0, 0], sizes, matrix_nms_sigma=2.0)[0])


@pytest.mark.parametrize('mask_format', ['rle', 'crop', 'tensor'])
def test_nothing_above_the_threshold_is_an_empty_result(mask_format):
    found = predict(BlockwiseFusionHead, logs(), SIZES['padding'], score_thr=1.1, mask_format=mask_format)
    found = found['ins_results']
    assert (found.bboxes.shape, found.scores.shape, len(found.masks)) == ((0, 4), (0,), 0)


def test_masks_come_in_three_formats():
    masks, sizes = logs(), SIZES['file larger, odd']
    rle, crop, tensor = (
        predict(BlockwiseFusionHead, masks, sizes, mask_format=name)['ins_results']
        for name in ('rle', 'crop', 'tensor')
    )
    assert tensor.masks.dtype == torch.bool
    assert tensor.masks.shape == (QUERIES, *sizes[-1])
    for n, (x0, y0, x1, y1) in enumerate(crop.bboxes.int().tolist()):
        assert np.array_equal(pycoco.decode(rle.masks[n]), tensor.masks[n])
        assert np.array_equal(crop.masks[n], tensor.masks[n, y0:y1, x0:x1])
    with pytest.raises(ConfigError, match="mask_format must be one of .*, not 'png'"):
        predict(BlockwiseFusionHead, masks, sizes, mask_format='png')


def test_more_detections_than_there_can_be_are_all_that_there_are():
    """MMDetection's head ends in an error there; one query stands for both classes."""
    masks, sizes = logs(), SIZES['same size']
    found = predict(BlockwiseFusionHead, masks, sizes, max_per_image=1000)['ins_results']
    assert len(found) == QUERIES * CLASSES
    assert len({mask['counts'] for mask in found.masks}) == QUERIES
    stock = predict(MaskFormerFusionHead, masks, sizes, max_per_image=QUERIES * CLASSES)['ins_results']
    check_same(found, stock, masks, sizes)


def test_panoptic_results_are_mmdetections():
    sizes, classes = SIZES['padding'], torch.full((QUERIES, CLASSES + 1), -5.0)
    classes[range(2, QUERIES), np.arange(2, QUERIES) % CLASSES] = 5.0
    switched = dict(panoptic_on=True, instance_on=False, iou_thr=0.1, filter_low_score=True)
    stock, ours = (
        predict(kind, logs(), sizes, classes=classes, **switched)['pan_results'].sem_seg
        for kind in (MaskFormerFusionHead, BlockwiseFusionHead)
    )
    assert len(stock.unique()) > 5
    assert torch.equal(stock, ours)


def test_groups_are_whole_and_within_the_limit():
    assert list(whole_groups([2, 3, 9, 9, 10, 12], 4)) == [(0, 2), (2, 3), (3, 6)]
    assert list(whole_groups([], 4)) == [(0, 0)]


MEASURE = """
import re, torch
from mmengine.config import ConfigDict
from mmdet.structures import DetDataSample
from fallen_trees.heads.fusion_head import BlockwiseFusionHead
head = BlockwiseFusionHead(1, 0, test_cfg=ConfigDict(
    panoptic_on=False, instance_on=True, max_per_image=100, mask_memory_mb=32))
shape = dict.fromkeys(('batch_input_shape', 'img_shape', 'ori_shape'), (1024, 1024))
masks = torch.nn.functional.interpolate(torch.randn(1, 100, 8, 8), 64)  # half of all pixels are positive
def predict(count):
    head.predict(torch.zeros(1, count, 2), masks[:, :count], [DetDataSample(metainfo=shape)])
def status_mb(name):
    return int(re.search(name + r':\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024
predict(1)
open('/proc/self/clear_refs', 'w').write('5')  # forgets the peak
before = status_mb('VmRSS')
predict(100)
print(status_mb('VmHWM') - before)
"""


@pytest.mark.skipif(not os.access('/proc/self/clear_refs', os.W_OK), reason='needs a peak that can be reset (Linux)')
def test_working_memory_stays_below_the_setting():
    """100 masks of 1024 px a side are 400 MB as floats and 100 MB as bits."""
    allocator = dict(MALLOC_MMAP_THRESHOLD_='65536', MALLOC_TRIM_THRESHOLD_='65536', MALLOC_TOP_PAD_='0')
    environment = {**os.environ, **allocator, 'OMP_NUM_THREADS': '1'}
    done = subprocess.run([sys.executable, '-c', MEASURE], env=environment, capture_output=True, text=True, check=True)
    assert 1 < float(done.stdout.split()[-1]) < 32

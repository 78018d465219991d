"""Objects pasted from other tiles: nothing that was there is lost, and what is said of a tile is what is seen on it."""

import copy
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import DATASETS, TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.logging import MMLogger

from fallen_trees.derive.config import derive
from fallen_trees.errors import ConfigError
from fallen_trees.loading.donor_objects import Cutout, cut_out, moved_about
from fallen_trees.loading.outline_masks import OutlineMasks
from fallen_trees.loading.paste_objects import PasteObjects, soft_edge
from fallen_trees.resume.seeded_dataset import SeededDataset

SIDE, GROUND, OLD, NEW = 64, 40, 120, 250


def bar(x0, y0, x1, y1):
    return [np.array([x0, y0, x1, y0, x1, y1, x0, y1], float)]


def sample(outlines, kind, value, labels=None):
    """A tile of one grey, its objects of another."""
    masks = OutlineMasks(outlines, SIDE, SIDE)
    image = np.full((SIDE, SIDE, 3), GROUND, np.uint8)
    image[masks.masks.any(axis=0)] = value
    boxes = [[ring[0][0::2].min(), ring[0][1::2].min(), ring[0][0::2].max(), ring[0][1::2].max()] for ring in outlines]
    return dict(
        img=image,
        gt_masks=masks if kind is OutlineMasks else BitmapMasks(masks.masks, SIDE, SIDE),
        gt_bboxes=HorizontalBoxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)),
        gt_bboxes_labels=np.array(labels or [0] * len(outlines), np.int64),
        gt_ignore_flags=np.zeros(len(outlines), bool),
    )


whole_bar = st.tuples(*[st.integers(2, SIDE - 22)] * 2, *[st.integers(3, 20)] * 2).map(
    lambda box: bar(box[0], box[1], box[0] + box[2], box[1] + box[3])
)


@settings(max_examples=60)
@given(
    st.sampled_from([OutlineMasks, BitmapMasks]),
    st.lists(whole_bar, max_size=5),
    st.lists(whole_bar, min_size=1, max_size=4),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.sampled_from([(1, 1), (0.8, 1.25)]),
    st.integers(0, 2**16),
)
def test_what_is_there_keeps_its_share_and_masks_are_what_is_seen(kind, there, pasted, max_hidden, scales, seed):
    random.seed(seed)
    tile, donor = sample(there, kind, OLD), sample(pasted, kind, NEW, labels=[1] * len(pasted))
    before, step = tile['gt_masks'].masks, PasteObjects(max_hidden=max_hidden, feather=0, scale_range=scales)
    after = step.paste(tile, [step._cutout(donor, n) for n in range(len(pasted))])
    masks, labels = after['gt_masks'].masks, after['gt_bboxes_labels']
    assert len(masks) == len(labels) == len(after['gt_bboxes']) == len(after['gt_ignore_flags'])
    assert labels.tolist() == [0] * len(there) + [1] * (len(masks) - len(there))
    kept = masks[: len(there)].sum(axis=(1, 2)) / before.sum(axis=(1, 2))
    assert (kept >= 1 - max_hidden - 1e-9).all()
    assert not (masks[: len(there)] & ~before).any()
    new = masks[len(there) :].any(axis=0)
    assert not (masks[: len(there)] & new).any()
    assert np.array_equal(after['img'][..., 0][~new] == OLD, masks[: len(there)].any(axis=0)[~new])
    assert scales != (1, 1) or np.array_equal(after['img'][..., 0] == NEW, new)
    drawn = after['gt_masks'].get_bboxes(HorizontalBoxes).tensor
    changed = [n for n in range(len(masks)) if n >= len(there) or (masks[n] != before[n]).any()]
    assert torch.equal(after['gt_bboxes'].tensor[changed], drawn[changed])
    assert after['img'].dtype == np.uint8 and type(after['gt_masks']) is kind


def test_a_place_is_found_beside_a_thin_trunk_or_none_is_taken():
    trunk = sample([bar(0, 31, SIDE, 33)], OutlineMasks, OLD)
    patch = moved_about(cut_out(sample([bar(4, 4, 44, 44)], OutlineMasks, NEW), 0, 3), 1.0, False, 0)
    assert PasteObjects(max_hidden=0.1, tries=300).paste(copy.deepcopy(trunk), [patch])['gt_masks'].areas[0] == 128
    pasted = PasteObjects(max_hidden=0.9, tries=300).paste(copy.deepcopy(trunk), [patch])
    assert pasted['gt_masks'].areas.tolist() == [128 - 2 * 40, 1600]
    assert pasted['gt_bboxes'].tensor[0].tolist() in ([0, 31, 64, 33], [40 + 4, 31, 64, 33], [0, 31, 24, 33])


@pytest.mark.parametrize('kind', [OutlineMasks, BitmapMasks])
@pytest.mark.parametrize('mirrored', [False, True])
@pytest.mark.parametrize('quarters', range(4))
def test_an_objects_pixels_move_with_its_mask_and_its_cut_sides(kind, mirrored, quarters):
    donor = sample([bar(0, 10, 30, 16)], kind, NEW)
    moved = moved_about(cut_out(donor, 0, 3), 1.0, mirrored, quarters)
    assert np.array_equal(moved.image[..., 0] == NEW, moved.masks.masks[0] > 0)
    mask = moved.masks.masks[0]
    assert moved.edges == (mask[:, 0].any(), mask[0].any(), mask[:, -1].any(), mask[-1].any())
    assert sum(moved.edges) == 1
    after = PasteObjects(max_hidden=0).paste(sample([], kind, OLD), [moved])
    x0, y0, x1, y1 = after['gt_bboxes'].tensor[0].tolist()
    assert (x0 == 0, y0 == 0, x1 == SIDE, y1 == SIDE) == moved.edges
    assert after['gt_masks'].areas.tolist() == [180]


def test_a_soft_edge_leaves_thin_objects_solid():
    mask = np.zeros((9, 9), bool)
    mask[4] = True
    alpha = soft_edge(mask, 2)
    assert (alpha[4] == 1).all()
    assert np.allclose(alpha[:, 0], [0, 0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3, 0, 0], atol=1e-6)


def test_covered_outlines_stay_sharp_through_every_later_step():
    """Covering and then moving gives what moving and then covering gives, polygons as they were."""
    trunk, over = bar(2, 30, 62, 33), [np.array([20.3, 10, 41, 14.5, 30, 55.2])]
    one = OutlineMasks([trunk, over], SIDE, SIDE).covered({0: [1]}).flip('vertical').turn(1).resize((150, 150))
    one = one.crop(np.array([10, 5, 140, 130]))
    two = OutlineMasks([trunk, over], SIDE, SIDE).flip('vertical').turn(1).resize((150, 150))
    two = two.crop(np.array([10, 5, 140, 130])).masks
    assert np.array_equal(one.masks[1], two[1])
    assert np.array_equal(one.masks[0], two[0] & ~two[1] & 1)
    assert 0 < one.masks[0].sum() < two[0].sum()
    assert [len(one[[0]]), one[[0]].areas.tolist()] == [1, [int(one.masks[0].sum())]]


def test_settled_masks_are_those_that_were_seen():
    masks = OutlineMasks([bar(3, 5, 40, 9), bar(-5, 20, 90, 26)], SIDE, SIDE)
    moved = masks.resize((96, 96)).crop(np.array([0, 0, 90, 80])).expand(100, 120, 7, 11)
    settled = moved.settled()
    assert np.array_equal(settled.masks, moved.masks)
    assert isinstance(settled._outlines[0], list) and isinstance(settled._outlines[1], dict)  # the second was cut
    assert np.array_equal(settled.flip().masks, moved.flip().masks)


@pytest.fixture
def pasting(demo_config):
    """The demo's training set, every sample of which is given objects."""
    pipeline = demo_config.train_dataloader.dataset.pipeline
    pipeline.insert(2, dict(type='PasteObjects', donors=None, prob=1.0, parts=True, max_objects=3))
    derive(demo_config, ('train',))
    return demo_config.train_dataloader


def fed(dataset, indices):
    samples = [dataset[index] for index in indices]
    return [(s['inputs'].numpy().tobytes(), s['data_samples'].gt_instances.masks.masks.tobytes()) for s in samples]


def test_empty_tiles_are_given_objects(pasting):
    dataset = DATASETS.build(pasting.dataset)
    empty = [n for n in range(len(dataset)) if not dataset.get_data_info(n)['instances']]
    assert empty
    random.seed(0)
    results = [dataset.pipeline.transforms[2](load(dataset, n)) for n in empty for _ in range(3)]
    assert all(len(item['gt_bboxes']) for item in results)
    assert all(item['gt_bboxes_labels'].tolist() == [0] * len(item['gt_masks']) for item in results)


def load(dataset, number):
    results = dataset.get_data_info(number)
    for step in dataset.pipeline.transforms[:2]:
        results = step(results)
    return results


def test_a_sample_follows_from_its_seed_in_any_worker(pasting):
    dataset = SeededDataset(pasting.dataset, seed=5)
    size, again = 6, SeededDataset(copy.deepcopy(pasting.dataset), seed=5)
    here = fed(dataset, range(size))
    loader = torch.utils.data.DataLoader(
        again, batch_size=1, sampler=range(size), num_workers=2, collate_fn=lambda batch: fed(batch, [0])
    )
    assert [item for batch in loader for item in batch] == here
    assert fed(dataset, range(len(dataset), len(dataset) + size)) != here  # another epoch, other pastes
    assert fed(SeededDataset(pasting.dataset, seed=6), range(size)) != here


def test_whole_objects_only_unless_parts_are_asked_for(pasting):
    step = dict(pasting.dataset.pipeline[2])
    dataset = DATASETS.build(pasting.dataset)
    for parts in (False, True):
        paste = TRANSFORMS.build(step | dict(parts=parts))
        random.seed(0)
        for _ in range(10):
            found = paste.donors.draw()
            if found is not None:
                height, width = found[0]['img'].shape[:2]
                boxes = found[0]['gt_bboxes'].tensor[found[1]].numpy()
                inside = (boxes[:, :2] >= 1).all(1) & (boxes[:, 2:] <= (width - 1, height - 1)).all(1)
                assert parts or inside.all()
        assert bool(paste.donors.tiles) or not parts
    random.seed(0)
    image_id = dataset.get_data_info(0)['img_id']
    assert all(paste.donors.draw(image_id)[0]['img_id'] != image_id for _ in range(20))


def test_tiles_without_anything_to_take_are_said_and_left_as_they_are(pasting, caplog):
    MMLogger.get_current_instance().addHandler(caplog.handler)
    donors = copy.deepcopy(pasting.dataset.pipeline[2]['donors'])
    donors.indices = [n for n, info in enumerate(DATASETS.build(donors)) if not info['gt_masks']][:2]
    step = PasteObjects(donors, prob=1.0)
    assert 'PasteObjects pastes nothing: no object of' in caplog.text
    MMLogger.get_current_instance().removeHandler(caplog.handler)
    tile = sample([bar(3, 3, 20, 9)], OutlineMasks, OLD)
    assert step.transform(tile) is tile


def test_an_object_larger_than_the_tile_is_left_out():
    huge = Cutout(np.zeros((90, 10, 3), np.uint8), OutlineMasks([bar(2, 2, 8, 88)], 90, 10), 0)
    tile = sample([bar(3, 3, 20, 9)], OutlineMasks, OLD)
    assert PasteObjects().paste(tile, [huge]) is tile


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match='max_hidden'):
        PasteObjects(max_hidden=1)
    with pytest.raises(ConfigError, match='donors is None'):
        PasteObjects(prob=1.0).transform(sample([], OutlineMasks, OLD))
